"""The `Client` port over HTTP: the same calls against any API server that serves JSON.

What client-go's REST client does: paths by group and version, watches as lines of JSON, errors as
`Status` objects. Failures of the connection become 503, so that callers know one kind of error.
"""

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson

from ekslab.kube.api import errors
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item, encode
from ekslab.kube.api.ports import ListPage, PatchType, WatchEvent
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource

_CONNECT_TIMEOUT_S: Final = 10.0
_REQUEST_TIMEOUT_S: Final = 65.0
_LINE_BYTES_MOST: Final = 8 * 1024 * 1024
_CONNECTIONS_MOST: Final = 64
_JSON: Final = "application/json"


class HttpWatch:
    """A watch stream; iterating ends when the server ends it."""

    def __init__(self, response: aiohttp.ClientResponse, resource: Resource) -> None:
        self._response = response
        self._resource = resource
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[Sequence[WatchEvent]]:
        """Batches of events: all lines that have arrived."""
        rest = b""
        try:
            async for piece in self._response.content.iter_any():
                lines = (rest + piece).split(b"\n")
                rest = lines.pop()
                if len(rest) > _LINE_BYTES_MOST:
                    raise errors.service_unavailable("a line of the watch is too long")
                if lines:
                    yield [self._event(line) for line in lines if line]
        except (aiohttp.ClientError, TimeoutError) as error:
            if self._is_closed:
                return
            raise errors.service_unavailable(f"the watch broke: {error}") from error

    def close(self) -> None:
        """End the watch."""
        self._is_closed = True
        self._response.close()

    def _event(self, line: bytes) -> WatchEvent:
        event = orjson.loads(line)
        obj = event["object"]
        if event["type"] == "ERROR":
            raise _error_of(obj, obj.get("code", 500))
        revision = int(obj["metadata"].get("resourceVersion") or 0)
        if event["type"] == "BOOKMARK":
            return WatchEvent("BOOKMARK", revision)
        item = _item(obj, self._resource)
        return WatchEvent(event["type"], revision, item)


class HttpClient:
    """A client of an API server at `base_url`. See `api.ports.Client` for the contract.

    `tls` holds the trusted CA and the client's certificate, if it has one; `token` is a bearer
    token. Use it as `async with`, or `close` it.
    """

    def __init__(
        self,
        base_url: str,
        *,
        tls: ssl.SSLContext | None = None,
        token: str = "",
        field_manager: str = "ekslab",
    ) -> None:
        headers = {"Accept": _JSON, "User-Agent": field_manager}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._base_url = base_url.rstrip("/")
        self._field_manager = field_manager
        connector = (
            aiohttp.TCPConnector(ssl=tls, limit=_CONNECTIONS_MOST)
            if tls is not None
            else aiohttp.TCPConnector(limit=_CONNECTIONS_MOST)
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            timeout=aiohttp.ClientTimeout(
                total=_REQUEST_TIMEOUT_S, sock_connect=_CONNECT_TIMEOUT_S
            ),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(
        self, resource: Resource, name: str, namespace: str = "", *, subresource: str = ""
    ) -> Object:
        """Read one object."""
        return await self._ask("GET", _path(resource, namespace, name, subresource))

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
    ) -> ListPage:
        """Read objects, all of them or a page of `limit`."""
        params = _selectors(label_selector, field_selector)
        if limit:
            params["limit"] = str(limit)
        if continue_token:
            params["continue"] = continue_token
        body = await self._ask("GET", _path(resource, namespace), params=params)
        kind, meta = body["kind"].removesuffix("List"), body["metadata"]
        types = {"apiVersion": body["apiVersion"], "kind": kind}
        # Items of a list do not say their type: the list does.
        items = [_item({**types, **obj}, resource) for obj in body.get("items") or ()]
        return ListPage(
            items,
            int(meta.get("resourceVersion") or 0),
            meta.get("continue", ""),
            meta.get("remainingItemCount"),
        )

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        revision: int,
        label_selector: str = "",
        field_selector: str = "",
    ) -> HttpWatch:
        """Follow changes after `revision`; bookmarks are on."""
        params = _selectors(label_selector, field_selector) | {
            "watch": "true",
            "resourceVersion": str(revision),
            "allowWatchBookmarks": "true",
        }
        try:
            response = await self._session.get(
                self._base_url + _path(resource, namespace),
                params=params,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
            )
            if response.status >= 400:
                raise _error_of(_decoded(await response.read()), response.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise errors.service_unavailable(f"cannot reach the API server: {error}") from error
        return HttpWatch(response, resource)

    async def create(
        self, resource: Resource, obj: Object, *, subresource: str = "", name: str = ""
    ) -> Object:
        """Create; the namespace is the object's own."""
        path = _path(resource, obj["metadata"].get("namespace", ""), name, subresource)
        return await self._ask("POST", path, body=obj)

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        """Replace; a resourceVersion in `obj` is a precondition."""
        meta = obj["metadata"]
        path = _path(resource, meta.get("namespace", ""), meta["name"], subresource)
        return await self._ask("PUT", path, body=obj)

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        patch: Object | Sequence[Object],
        patch_type: PatchType = PatchType.MERGE,
        subresource: str = "",
    ) -> Object:
        """Change parts; an apply is forced."""
        params = {"fieldManager": self._field_manager}
        if patch_type is PatchType.APPLY:
            params["force"] = "true"
        path = _path(resource, namespace, name, subresource)
        return await self._ask(
            "PATCH", path, params=params, body=patch, content_type=patch_type.value
        )

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        revision: int = 0,
        grace_period_s: int | None = None,
        propagation: str = "",
    ) -> None:
        """Delete; `uid` and `revision` are preconditions."""
        options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
        preconditions = {"uid": uid, "resourceVersion": str(revision) if revision else ""}
        wanted = {key: text for key, text in preconditions.items() if text}
        if wanted:
            options["preconditions"] = wanted
        if grace_period_s is not None:
            options["gracePeriodSeconds"] = grace_period_s
        if propagation:
            options["propagationPolicy"] = propagation
        await self._ask("DELETE", _path(resource, namespace, name), body=options)

    async def delete_collection(
        self, resource: Resource, namespace: str = "", *, label_selector: str = ""
    ) -> None:
        """Delete all objects of the type in the namespace that match."""
        params = _selectors(label_selector, "")
        await self._ask("DELETE", _path(resource, namespace), params=params)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Object | Sequence[Object] | None = None,
        content_type: str = _JSON,
    ) -> Object:
        data = orjson.dumps(body) if body is not None else None
        headers = {"Content-Type": content_type} if data is not None else {}
        try:
            async with self._session.request(
                method, self._base_url + path, params=params, data=data, headers=headers
            ) as response:
                raw, code = await response.read(), response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise errors.service_unavailable(f"cannot reach the API server: {error}") from error
        answer = _decoded(raw)
        if code >= 400:
            raise _error_of(answer, code)
        return answer


def _path(resource: Resource, namespace: str, name: str = "", subresource: str = "") -> str:
    root = f"/apis/{resource.group}" if resource.group else "/api"
    parts = [root, resource.version]
    if namespace and resource.plural != "namespaces":
        parts += ["namespaces", namespace]
    parts.append(resource.plural)
    if name:
        parts.append(name)
        if subresource:
            parts.append(subresource)
    return "/".join(parts)


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    params = {}
    if label_selector:
        params["labelSelector"] = label_selector
    if field_selector:
        params["fieldSelector"] = field_selector
    return params


def _decoded(raw: bytes) -> Object:
    try:
        answer = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {"message": raw[:1000].decode(errors="replace")}
    return answer if isinstance(answer, dict) else {}


def _error_of(status: Object, code: int) -> ApiError:
    return ApiError(
        code,
        status.get("reason", ""),
        status.get("message") or "unknown",
        details=status.get("details"),
    )


def _item(obj: Object, resource: Resource) -> Item:
    meta = obj["metadata"]
    managed = meta.get("managedFields")
    return encode(
        obj,
        resource=resource.qualified,
        revision=int(meta.get("resourceVersion") or 0),
        managed=orjson.dumps(managed) if managed else b"",
    )
