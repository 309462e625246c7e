"""The `Client` port without HTTP: the same requests, handed straight to the pipeline.

Bound to one identity; authentication is replaced by who composed it, authorization and everything
behind it is not. Objects that come back are the store's own and shared.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson

from ekslab.kit.bug import Bug
from ekslab.kube.api.ports import Answer, ListPage, PatchType, RequestHandler, Watch
from ekslab.kube.api.requests import ApiRequest, Object, UserInfo
from ekslab.kube.api.resources import Resource

_NO_OPTIONS: Mapping[str, str] = {}


class InProcessClient:
    """A client of one API server in this process. See `api.ports.Client` for the contract."""

    def __init__(self, handler: RequestHandler, user: UserInfo, *, field_manager: str) -> None:
        self._handler = handler
        self._user = user
        self._field_manager = field_manager

    async def get(
        self, resource: Resource, name: str, namespace: str = "", *, subresource: str = ""
    ) -> Object:
        """Read one object."""
        answer = await self._ask(
            "get", resource, namespace=namespace, name=name, subresource=subresource
        )
        return _object(answer)

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
        options = _selectors(label_selector, field_selector)
        if limit:
            options["limit"] = str(limit)
        if continue_token:
            options["continue"] = continue_token
        answer = await self._ask("list", resource, namespace=namespace, options=options)
        if answer.page is None:
            raise Bug("a list was not answered by a page")
        return answer.page

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        revision: int,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Watch:
        """Follow changes after `revision`; bookmarks are on."""
        options = _selectors(label_selector, field_selector)
        options["resourceVersion"] = str(revision)
        options["allowWatchBookmarks"] = "true"
        answer = await self._ask("watch", resource, namespace=namespace, options=options)
        if answer.watch is None:
            raise Bug("a watch was not answered by a watch")
        return answer.watch

    async def create(
        self, resource: Resource, obj: Object, *, subresource: str = "", name: str = ""
    ) -> Object:
        """Create; the namespace is the object's own."""
        answer = await self._ask(
            "create",
            resource,
            namespace=_namespace(obj),
            name=name,
            subresource=subresource,
            body=obj,
        )
        return _object(answer)

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        """Replace; a resourceVersion in `obj` is a precondition."""
        answer = await self._ask(
            "update",
            resource,
            namespace=_namespace(obj),
            name=obj["metadata"]["name"],
            subresource=subresource,
            body=obj,
        )
        return _object(answer)

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
        options: Mapping[str, str] = _NO_OPTIONS
        if patch_type is PatchType.APPLY:
            options = {"fieldManager": self._field_manager, "force": "true"}
        answer = await self._ask(
            "patch",
            resource,
            namespace=namespace,
            name=name,
            subresource=subresource,
            options=options,
            body=orjson.dumps(patch),
            content_type=patch_type.value,
        )
        return _object(answer)

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
        if uid or revision:
            preconditions = {"uid": uid, "resourceVersion": str(revision) if revision else ""}
            options["preconditions"] = {key: text for key, text in preconditions.items() if text}
        if grace_period_s is not None:
            options["gracePeriodSeconds"] = grace_period_s
        if propagation:
            options["propagationPolicy"] = propagation
        body = options if len(options) > 2 else None
        await self._ask("delete", resource, namespace=namespace, name=name, body=body)

    async def delete_collection(
        self, resource: Resource, namespace: str = "", *, label_selector: str = ""
    ) -> None:
        """Delete all objects of the type in the namespace that match."""
        options = _selectors(label_selector, "")
        await self._ask("deletecollection", resource, namespace=namespace, options=options)

    async def _ask(
        self,
        verb: str,
        resource: Resource,
        *,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        options: Mapping[str, str] = _NO_OPTIONS,
        body: Object | bytes | None = None,
        content_type: str = "application/json",
    ) -> Answer:
        return await self._handler.handle(
            ApiRequest(
                verb=verb,
                user=self._user,
                resource=resource,
                namespace=namespace,
                name=name,
                subresource=subresource,
                options=options,
                body=body,
                content_type=content_type,
                user_agent=self._field_manager,
            )
        )


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    options = {}
    if label_selector:
        options["labelSelector"] = label_selector
    if field_selector:
        options["fieldSelector"] = field_selector
    return options


def _namespace(obj: Object) -> str:
    return cast("str", obj["metadata"].get("namespace", ""))


def _object(answer: Answer) -> Object:
    if answer.item is not None:
        return answer.item.object
    if answer.obj is None:
        raise Bug("the answer holds no object")
    return answer.obj
