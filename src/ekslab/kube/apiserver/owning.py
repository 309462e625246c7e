"""managedFields of creates and updates: who set what, kept as upstream keeps it.

Upstream: `apimachinery/pkg/util/managedfields`. The sets are computed in `kube.api.ownership`; here
stands which parts of an object a door lets its caller own (upstream: `GetResetFields`).
"""

from typing import Any

from ekslab.kit.clock import Clock, rfc3339
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ownership import managers
from ekslab.kube.api.requests import ApiRequest, Object
from ekslab.kube.apiserver.options import WriteOptions
from ekslab.kube.apiserver.registry import Served


class Owning:
    """Computes managedFields. A client may hand in its own list; `[{}]` resets it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def created(
        self, served: Served, request: ApiRequest, options: WriteOptions, obj: Object
    ) -> list[Any]:
        """The list of a new object. Its status is nobody's yet: the server sets it."""
        if served.has_status and "status" in obj:
            obj = {key: value for key, value in obj.items() if key != "status"}
        return managers.after_update(
            served.schema,
            None,
            obj,
            [],
            manager=options.field_manager,
            api_version=served.info.api_version,
            subresource=request.subresource,
            time=rfc3339(self._clock.now()),
        )

    def changed(
        self,
        served: Served,
        options: WriteOptions,
        subresource: str,
        old: Object,
        obj: Object,
    ) -> list[Any]:
        """The list of a changed object; `obj` has what the caller may not change from `old`.

        A list that the client hands in counts on the object itself only, and only if it can be
        understood (upstream: `decodeLiveOrNew`). An object without managers gets none until
        somebody applies (`skipNonAppliedManager`).
        """
        live = old["metadata"].get("managedFields") or []
        given = obj["metadata"].get("managedFields")
        if given and not subresource and given is not live and given != live:
            live = _understood(given, live)
        if not live:
            return []
        return managers.after_update(
            served.schema,
            old,
            obj,
            live,
            manager=options.field_manager,
            api_version=served.info.api_version,
            subresource=subresource,
            time=rfc3339(self._clock.now()),
        )


def _understood(given: list[Any], live: list[Any]) -> list[Any]:
    """The client's list; nothing where it resets, the live one where it makes no sense."""
    if not any(given):
        return []
    try:
        return managers.canonical(given)
    except ApiError:
        return live
