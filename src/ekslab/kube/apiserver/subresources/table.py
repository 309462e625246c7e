"""Which door of which resource leads where."""

from collections.abc import Awaitable, Callable, Mapping

from ekslab.kube.api import errors
from ekslab.kube.api.ports import Answer
from ekslab.kube.api.requests import ApiRequest
from ekslab.kube.apiserver.patching import Patcher
from ekslab.kube.apiserver.reading import Reader
from ekslab.kube.apiserver.registry import Served
from ekslab.kube.apiserver.subresources.partial import PARTIAL_RULES, RulesOf
from ekslab.kube.apiserver.subresources.scale import ScaleDoor
from ekslab.kube.apiserver.writing import Writer, status_rules

Door = Callable[[Served, ApiRequest], Awaitable[Answer]]


class Subresources:
    """Answers requests for subresources. `doors` are those of one resource alone, by storage name
    and subresource.
    """

    def __init__(
        self,
        *,
        reader: Reader,
        writer: Writer,
        patcher: Patcher,
        scale: ScaleDoor,
        doors: Mapping[tuple[str, str], Door],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._patcher = patcher
        self._scale = scale
        self._doors = doors

    async def handle(self, served: Served, request: ApiRequest) -> Answer:
        """Answer a request for a subresource.

        Raises:
            ApiError: 404 for one that is not there, 405 for a verb it does not know.
        """
        known = served.info.subresource(request.subresource)
        if known is None:
            raise errors.path_not_found()
        # OPTIONS comes this far only on its way through a proxy, and is in no list of verbs.
        if request.verb not in known.verbs and request.verb != "options":
            qualified = f"{served.resource.plural}/{known.name}"
            raise errors.method_not_supported(served.resource.group, qualified, request.verb)
        door = self._doors.get((served.storage, request.subresource))
        if door is not None:
            return await door(served, request)
        if request.subresource == "scale":
            return await self._scale.handle(served, request)
        return await self._partial(served, request)

    async def _partial(self, served: Served, request: ApiRequest) -> Answer:
        """Doors that show the whole object and change a part of it: status and its like."""
        rules_of: RulesOf | None = PARTIAL_RULES.get((served.storage, request.subresource))
        if rules_of is None and request.subresource == "status":
            rules_of = status_rules
        if rules_of is None:
            message = f"{request.subresource} is not served by this cluster"
            raise errors.ApiError(501, "NotImplemented", message)
        if request.verb == "get":
            return Answer(item=self._reader.get(served, request))
        rules = rules_of(served)
        if request.verb == "patch":
            return await self._patcher.patch_by(served, request, rules)
        return await self._writer.update(served, request, rules)
