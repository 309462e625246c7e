"""What webhooks need of the server they run in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ekslab.kit.ids import Ids
from ekslab.kube.api.ports import Authorizer, Lister
from ekslab.kube.api.resources import Resource
from ekslab.kube.apiserver.decoding import Decoder
from ekslab.kube.apiserver.registry import Registry

if TYPE_CHECKING:
    from ekslab.kube.apiserver.admission.webhooks.calling import Caller

GROUP: Final = "admissionregistration.k8s.io"
MUTATING: Final = Resource(GROUP, "v1", "mutatingwebhookconfigurations")
VALIDATING: Final = Resource(GROUP, "v1", "validatingwebhookconfigurations")
_MUTATING: Final = MUTATING.qualified
_VALIDATING: Final = VALIDATING.qualified


@dataclass(slots=True, kw_only=True)
class WebhookParts:
    """Shared by both plugins; the caller is made when a webhook is called for the first time.

    `changed` is the store's own: it is asked with every write, and `lister` costs twice that.
    """

    lister: Lister
    changed: Callable[[str], int]
    registry: Registry
    decoder: Decoder
    authorizer: Authorizer
    ids: Ids
    caller: "Caller | None" = None

    def revision(self) -> int:
        """Changes whenever webhooks may want to see other requests."""
        changed = self.changed
        return changed(_MUTATING) + changed(_VALIDATING) + self.registry.generation

    async def close(self) -> None:
        """Close the connections to webhooks."""
        if self.caller is not None:
            await self.caller.close()
