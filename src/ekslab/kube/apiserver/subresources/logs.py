"""`pods/log`: what a container has printed, through the connection to its node.

Upstream: `pkg/registry/core/pod/rest/log.go` and `pod/strategy.go` (LogLocation).
"""

from collections.abc import AsyncIterator

from ekslab.kube.api import errors
from ekslab.kube.api.errors import Cause, bad_request
from ekslab.kube.api.ports import Answer, LogOptions, NodeConnections
from ekslab.kube.api.requests import ApiRequest, Object
from ekslab.kube.apiserver.options import flag, integer
from ekslab.kube.apiserver.reading import Reader
from ekslab.kube.apiserver.registry import Served


class LogDoor:
    """Streams logs."""

    def __init__(self, reader: Reader, nodes: NodeConnections) -> None:
        self._reader = reader
        self._nodes = nodes

    async def handle(self, served: Served, request: ApiRequest) -> Answer:
        """The log of one container.

        Raises:
            ApiError: 404; 400 for a container that is not there or must be named; 422.
        """
        options = _log_options(request)
        pod = self._reader.get(served, request).object
        container = container_of(pod, options.container)
        node = pod["spec"].get("nodeName")
        if not node:
            return Answer(stream=_nothing())
        options = LogOptions(
            container=container,
            follow=options.follow,
            previous=options.previous,
            tail_lines=options.tail_lines,
            since_s=options.since_s,
            since_time=options.since_time,
            timestamps=options.timestamps,
            limit_bytes=options.limit_bytes,
        )
        connection = self._nodes.connect(node)
        stream = connection.logs(request.namespace, request.name, options)
        return Answer(stream=await _started(stream))


async def _nothing() -> AsyncIterator[bytes]:
    """The log of a pod no node has taken yet."""
    nothing: tuple[bytes, ...] = ()
    for piece in nothing:
        yield piece


async def _started(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same stream after its first piece: its refusals come before the answer's status."""
    try:
        first = await anext(stream)
    except StopAsyncIteration:
        return _nothing()

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for piece in stream:
            yield piece

    return rest()


def _log_options(request: ApiRequest) -> LogOptions:
    query = request.options
    tail = integer(query, "tailLines")
    since = integer(query, "sinceSeconds")
    limit = integer(query, "limitBytes")
    causes = []
    if tail is not None and tail < 0:
        causes.append(_invalid("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        causes.append(_invalid("limitBytes", limit, "must be greater than 0"))
    if since is not None and since < 1:
        causes.append(_invalid("sinceSeconds", since, "must be greater than 0"))
    if since is not None and query.get("sinceTime"):
        text = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        causes.append(Cause("", text, "FieldValueForbidden"))
    if causes:
        raise errors.invalid("", "PodLogOptions", request.name, causes)
    return LogOptions(
        container=query.get("container", ""),
        follow=bool(flag(query, "follow")),
        previous=bool(flag(query, "previous")),
        tail_lines=tail,
        since_s=since,
        since_time=query.get("sinceTime", ""),
        timestamps=bool(flag(query, "timestamps")),
        limit_bytes=limit,
    )


def _invalid(field: str, value: int, why: str) -> Cause:
    return Cause(field, f"Invalid value: {value}: {why}")


def container_of(pod: Object, asked: str) -> str:
    """The container that is meant: the one asked for, or the only one there is.

    Raises:
        ApiError: 400 if it is not there or must be named.
    """
    spec = pod["spec"]
    names = [entry["name"] for entry in spec.get("containers") or ()]
    first = [entry["name"] for entry in spec.get("initContainers") or ()]
    late = [entry["name"] for entry in spec.get("ephemeralContainers") or ()]
    pod_name = pod["metadata"]["name"]
    if asked:
        if asked in names or asked in first or asked in late:
            return asked
        raise bad_request(f"container {asked} is not valid for pod {pod_name}")
    if len(names) == 1:
        return str(names[0])
    text = (
        f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(names)}]"
    )
    if first:
        text += f" or one of the init containers: [{' '.join(first)}]"
    raise bad_request(text)
