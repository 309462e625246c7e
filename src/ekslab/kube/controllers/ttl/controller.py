"""Writes the annotation of nodes. Key: the node's name."""

from typing import ClassVar

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import NODES
from ekslab.kube.controllers.ttl import plan
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox


class TtlController(Controller[str]):
    """Upstream's `ttl-controller`. As there, a step reaches a node with the node's next change."""

    name: ClassVar[str] = "ttl"

    def __init__(self, tools: Toolbox) -> None:
        super().__init__(tools)
        self._count = 0
        self._step = 0
        self._nodes = self.watch(NODES, self._on_node)

    def _on_node(self, old: Item | None, new: Item | None) -> None:
        self._count += (new is not None) - (old is not None)
        self._step = plan.step_for(self._step, self._count)
        if new is not None and self._is_behind(new.object):
            self.queue.add(new.name)

    def _is_behind(self, node: Object) -> bool:
        annotations = node["metadata"].get("annotations") or {}
        return bool(annotations.get(plan.ANNOTATION) != plan.wanted(self._step))

    async def reconcile(self, key: str) -> Result:
        """Write the annotation."""
        item = self._nodes.get("", key)
        if item is None or not self._is_behind(item.object):
            return DONE
        patch = {"metadata": {"annotations": {plan.ANNOTATION: plan.wanted(self._step)}}}
        try:
            await self.client.patch(NODES, key, patch=patch)
        except ApiError as error:
            if error.reason != "NotFound":
                raise
        return DONE
