"""Publishes the cluster's CA in every namespace. Key: the namespace's name."""

from typing import ClassVar

from ekslab.kube.api.errors import ApiError, namespace_is_terminating
from ekslab.kube.api.objects import Item
from ekslab.kube.api.well_known import CONFIG_MAPS, NAMESPACES
from ekslab.kube.controllers.root_ca.plan import NAME, wanted
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox


class RootCaController(Controller[str]):
    """Upstream's `root-ca-certificate-publisher-controller`.

    `root_ca_pem` is what clients verify the API server with.
    """

    name: ClassVar[str] = "root-ca-cert-publisher"

    def __init__(self, tools: Toolbox, *, root_ca_pem: bytes) -> None:
        super().__init__(tools)
        self._root_ca = root_ca_pem.decode()
        self._namespaces = self.watch(NAMESPACES, self._on_namespace)
        self._config_maps = self.watch(CONFIG_MAPS, self._on_config_map)

    def _on_namespace(self, _old: Item | None, new: Item | None) -> None:
        if new is not None:
            self.queue.add(new.name)

    def _on_config_map(self, old: Item | None, new: Item | None) -> None:
        # A creation is our own: only what others change or delete is looked at.
        if old is not None and old.name == NAME:
            self.queue.add((new or old).namespace)

    async def reconcile(self, key: str) -> Result:
        """Create or correct the ConfigMap."""
        namespace = self._namespaces.get("", key)
        published = self._config_maps.get(key, NAME)
        config_map = wanted(
            namespace.object if namespace else None,
            published.object if published else None,
            self._root_ca,
        )
        if config_map is None:
            return DONE
        try:
            if published is None:
                await self.client.create(CONFIG_MAPS, config_map)
            else:
                await self.client.update(CONFIG_MAPS, config_map)
        except ApiError as error:
            # The namespace has gone, or is going away: nothing is wanted there any more.
            if error.reason != "NotFound" and not namespace_is_terminating(error):
                raise
        return DONE
