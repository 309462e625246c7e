"""The API server's own watch of its definitions. What it leads to is loaded with the first one.

A definition that was established is served from the start, before anybody can ask.
"""

from typing import TYPE_CHECKING, Final

from ekslab.kit.tasks import TaskGroup
from ekslab.kube.api.well_known import DEFINITIONS
from ekslab.kube.apiserver.custom.parts import Parts
from ekslab.kube.store.port import CompactedError

if TYPE_CHECKING:
    from ekslab.kube.apiserver.custom.controller import DefinitionController

_PAUSE_S: Final = 1.0


class CustomResources:
    """Keeps the registry as the definitions say."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._made: DefinitionController | None = None
        if parts.store.published_all(DEFINITIONS.qualified):
            self._controller.serve_established()

    @property
    def _controller(self) -> "DefinitionController":
        if self._made is None:
            from ekslab.kube.apiserver.custom.controller import DefinitionController

            self._made = DefinitionController(self._parts)
        return self._made

    async def run(self) -> None:
        """Follow the definitions until cancelled or until the store closes."""
        async with TaskGroup("definitions") as tasks:
            while True:
                await self._follow(tasks)
                await self._parts.clock.sleep(_PAUSE_S)

    async def _follow(self, tasks: TaskGroup) -> None:
        """One watch, until it ends because we were too slow."""
        store = self._parts.store
        revision = store.revision
        if self._made is not None or store.published_all(DEFINITIONS.qualified):
            await self._controller.resync(tasks)
        try:
            watch = store.watch(DEFINITIONS.qualified, after=revision)
        except CompactedError:
            return
        try:
            async for batch in watch:
                if batch:
                    await self._controller.changed(batch, tasks)
        finally:
            watch.close()
