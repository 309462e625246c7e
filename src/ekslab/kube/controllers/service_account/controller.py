"""Keeps the service account `default` in every namespace. Key: the namespace's name."""

from typing import ClassVar

from ekslab.kube.api.errors import ApiError, namespace_is_terminating
from ekslab.kube.api.objects import Item
from ekslab.kube.api.well_known import NAMESPACES, SERVICE_ACCOUNTS
from ekslab.kube.controllers.service_account.plan import DEFAULT_ACCOUNT, missing_account
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox


class ServiceAccountController(Controller[str]):
    """Upstream's `serviceaccount-controller`."""

    name: ClassVar[str] = "service-account-controller"

    def __init__(self, tools: Toolbox) -> None:
        super().__init__(tools)
        self._namespaces = self.watch(NAMESPACES, self._on_namespace)
        self._accounts = self.watch(SERVICE_ACCOUNTS, self._on_account)

    def _on_namespace(self, _old: Item | None, new: Item | None) -> None:
        if new is not None:
            self.queue.add(new.name)

    def _on_account(self, old: Item | None, new: Item | None) -> None:
        if new is None and old is not None and old.name == DEFAULT_ACCOUNT:
            self.queue.add(old.namespace)

    async def reconcile(self, key: str) -> Result:
        """Create the account if it is missing."""
        namespace = self._namespaces.get("", key)
        account = missing_account(
            namespace.object if namespace else None,
            exists=self._accounts.get(key, DEFAULT_ACCOUNT) is not None,
        )
        if account is None:
            return DONE
        try:
            await self.client.create(SERVICE_ACCOUNTS, account)
        except ApiError as error:
            # It is there already, or the namespace is gone or going: nothing is wanted any more.
            pointless = error.reason in {"AlreadyExists", "NotFound"}
            if not pointless and not namespace_is_terminating(error):
                raise
        return DONE
