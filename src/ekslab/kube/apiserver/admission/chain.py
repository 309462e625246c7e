"""How plugins are run: which want to see a request, in which order, and the words of a refusal.

Upstream: apiserver `pkg/admission/{chain,errors,handler}.go`. First all mutating phases in order,
then, after the object was validated, all validating phases.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from ekslab.kube.api import errors
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import Admission, AdmissionRequest, Operation
from ekslab.kube.api.resources import Resource, ResourceInfo

_ROUTES_MOST: Final = 16_384  # types * subresources * operations; custom resources come and go

CREATE: Final = frozenset({Operation.CREATE})
UPDATE: Final = frozenset({Operation.UPDATE})
CREATE_OR_UPDATE: Final = CREATE | UPDATE
ANY_WRITE: Final = CREATE_OR_UPDATE | {Operation.DELETE}


Takes = Mapping[tuple[str, str], frozenset[Operation]]
"""(`Resource.qualified`, subresource) -> operations a plugin wants to see."""


class Plugin:
    """A plugin that names what it takes in a table and does nothing else by default.

    Attributes:
        name: upstream's name of the plugin.
        takes: what it wants to see.
        mutates: False for one that only looks, although upstream runs it in the mutating phase.
    """

    name: str = ""
    mutates: bool = True
    takes: ClassVar[Takes] = {}

    def handles(self, info: ResourceInfo, subresource: str, operation: Operation) -> bool:
        """Whether the table has the request."""
        return operation in self.takes.get((info.resource.qualified, subresource), ())

    async def admit(self, request: AdmissionRequest) -> None:
        """Mutating phase: nothing."""

    async def validate(self, request: AdmissionRequest) -> None:
        """Validating phase: nothing."""


@dataclass(frozen=True, slots=True)
class _Route:
    """The plugins that want one kind of request, by phase."""

    admit: tuple[Admission, ...]
    validate: tuple[Admission, ...]
    mutates: bool


class AdmissionChain:
    """All plugins of a server as one. Remembers which plugins want which requests, as long as
    `revision` stays: it changes when a plugin may answer otherwise.
    """

    name = "chain"

    def __init__(
        self, plugins: Sequence[Admission], *, revision: Callable[[], int] = lambda: 0
    ) -> None:
        self._plugins = tuple(plugins)
        self._revision = revision
        self._seen = 0
        self._routes: dict[tuple[Resource, str, Operation], _Route] = {}

    def handles(self, info: ResourceInfo, subresource: str, operation: Operation) -> bool:
        """Whether any plugin wants to see such requests."""
        self._look_again()
        route = self._route(info, subresource, operation)
        return bool(route.admit or route.validate)

    async def run(self, request: AdmissionRequest) -> None:
        """Both phases at once, for a request that has no object to validate between them."""
        await self.admit(request)
        await self.validate(request)

    async def admit(self, request: AdmissionRequest) -> bool:
        """All mutating phases, in order; the first refusal ends it. False: nothing was changed.

        Once more, if one of them wants what it did to be seen (upstream: `reinvocation.go`).
        """
        self._look_again()
        route = self._route(request.info, request.request.subresource, request.operation)
        for plugin in route.admit:
            await plugin.admit(request)
        if request.reinvocation is not None:
            for plugin in route.admit:
                await plugin.admit(request)
        return route.mutates

    async def validate(self, request: AdmissionRequest) -> None:
        """All validating phases, in order; the first refusal ends it."""
        route = self._route(request.info, request.request.subresource, request.operation)
        for plugin in route.validate:
            await plugin.validate(request)

    def _look_again(self) -> None:
        revision = self._revision()
        if revision != self._seen:
            self._routes.clear()
            self._seen = revision

    def _route(self, info: ResourceInfo, subresource: str, operation: Operation) -> _Route:
        key = (info.resource, subresource, operation)
        route = self._routes.get(key)
        if route is None:
            wanting = [
                plugin for plugin in self._plugins if plugin.handles(info, subresource, operation)
            ]
            # A phase that a plugin leaves empty is not called at all: most have only one.
            admit = tuple(p for p in wanting if type(p).admit is not Plugin.admit)
            route = _Route(
                admit=admit,
                validate=tuple(p for p in wanting if type(p).validate is not Plugin.validate),
                mutates=any(getattr(plugin, "mutates", True) for plugin in admit),
            )
            if len(self._routes) >= _ROUTES_MOST:
                self._routes.clear()
            self._routes[key] = route
        return route


def refusal(request: AdmissionRequest, why: str) -> ApiError:
    """The 403 of a plugin: `pods "web" is forbidden: <why>`.

    An object without a name yet is called by its generateName, as upstream does.
    """
    resource = request.info.resource
    return errors.forbidden(resource.group, resource.plural, object_name(request), why)


def object_name(request: AdmissionRequest) -> str:
    """How a message calls the object: its name, else generateName, else "Unknown"."""
    if request.request.name:
        return request.request.name
    metadata = (request.obj or {}).get("metadata") or {}
    return metadata.get("name") or metadata.get("generateName") or "Unknown"
