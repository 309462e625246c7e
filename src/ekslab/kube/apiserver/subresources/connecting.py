"""Doors that lead to a conversation: `pods/exec`, `attach`, `portforward`.

Upstream: `pkg/registry/core/pod/rest/subresources.go`, `pod/strategy.go` (ExecLocation and its
like) and the CONNECT handler of `apiserver/pkg/endpoints/handlers/rest.go`: admission sees the
options, the pod must be on a node and have the container; then the node is asked.

What is spoken in such a conversation is imported when somebody asks for one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs

from ekslab.kit.exchange import Exchange, Headers
from ekslab.kube.api.errors import bad_request
from ekslab.kube.api.ports import AdmissionRequest, Answer, NodeConnections, Operation
from ekslab.kube.api.requests import ApiRequest, Object
from ekslab.kube.api.streams import CommandOptions, Port, Run
from ekslab.kube.apiserver.admission.chain import AdmissionChain
from ekslab.kube.apiserver.options import flag
from ekslab.kube.apiserver.reading import Reader
from ekslab.kube.apiserver.registry import Served
from ekslab.kube.apiserver.subresources.logs import container_of

_KINDS: Final = {"exec": "PodExecOptions", "attach": "PodAttachOptions"}


class ConnectDoor:
    """Opens conversations with pods."""

    def __init__(
        self,
        *,
        reader: Reader,
        admission: AdmissionChain,
        nodes: NodeConnections,
        may_create: Callable[[ApiRequest], None],
    ) -> None:
        self._reader = reader
        self._admission = admission
        self._nodes = nodes
        self._may_create = may_create

    async def command(self, served: Served, request: ApiRequest) -> Answer:
        """Run a command in a container, or attach to what runs there.

        Raises:
            ApiError: 404; 400 for a container that is not there or must be named.
        """
        asked = _command_options(request)
        await self._admit(served, request, _as_object(request, asked))
        if request.verb != "create":
            # A WebSocket begins with a GET, and who may only read may not act: from 1.35 on,
            # AuthorizePodWebsocketUpgradeCreatePermission.
            self._may_create(request)
        pod = self._reader.get(served, request).object
        options = CommandOptions(
            container=container_of(pod, asked.container),
            command=asked.command,
            stdin=asked.stdin,
            stdout=asked.stdout,
            stderr=asked.stderr and not asked.tty,
            tty=asked.tty,
        )
        node = _node_of(pod)

        def start() -> Run:
            connection = self._nodes.connect(node)
            ask = connection.attach if request.subresource == "attach" else connection.exec
            return ask(request.namespace, request.name, options)

        return Answer(connect=partial(_run_command, options=options, start=start))

    async def port_forward(self, served: Served, request: ApiRequest) -> Answer:
        """Forward ports to a pod.

        Raises:
            ApiError: 404; 400 for a pod that is on no node.
        """
        options: Object = {"kind": "PodPortForwardOptions", "apiVersion": "v1"}
        ports = [int(one) for one in _all_of(request, "ports") if one.isdecimal()]
        await self._admit(served, request, options | ({"ports": ports} if ports else {}))
        if request.verb != "create":
            self._may_create(request)
        node = _node_of(self._reader.get(served, request).object)

        def forward(port: int) -> Port:
            return self._nodes.connect(node).forward(request.namespace, request.name, port)

        return Answer(connect=partial(_forward, forward=forward))

    async def _admit(self, served: Served, request: ApiRequest, options: Object) -> None:
        await self._admission.run(
            AdmissionRequest(request, served.info, Operation.CONNECT, options, None)
        )


async def _run_command(exchange: Exchange, headers: Headers, **more: Any) -> None:
    from ekslab.kube.apiserver.streaming import commands

    await commands.serve(exchange, headers, **more)


async def _forward(exchange: Exchange, headers: Headers, **more: Any) -> None:
    from ekslab.kube.apiserver.streaming import forwarding

    await forwarding.serve(exchange, headers, **more)


def _all_of(request: ApiRequest, name: str) -> list[str]:
    """All values of a query parameter."""
    return parse_qs(request.query, keep_blank_values=True).get(name, [])


def _node_of(pod: Object) -> str:
    node = pod["spec"].get("nodeName")
    if not node:
        raise bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
    return str(node)


def _command_options(request: ApiRequest) -> CommandOptions:
    query = request.options
    return CommandOptions(
        container=query.get("container", ""),
        command=tuple(_all_of(request, "command")),
        stdin=bool(flag(query, "stdin")),
        stdout=bool(flag(query, "stdout")),
        stderr=bool(flag(query, "stderr")),
        tty=bool(flag(query, "tty")),
    )


def _as_object(request: ApiRequest, options: CommandOptions) -> Object:
    """The options as admission sees them."""
    obj: Object = {"kind": _KINDS[request.subresource], "apiVersion": "v1"}
    for name in ("stdin", "stdout", "stderr", "tty"):
        if getattr(options, name):
            obj[name] = True
    if options.container:
        obj["container"] = options.container
    if options.command:
        obj["command"] = list(options.command)
    return obj
