"""What webhooks need of the server they run in."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ekslab.kit.ids import Ids
from ekslab.kube.api.ports import Authorizer, Lister
from ekslab.kube.apiserver.decoding import Decoder
from ekslab.kube.apiserver.registry import Registry

if TYPE_CHECKING:
    from ekslab.kube.apiserver.admission.webhooks.calling import Caller


@dataclass(slots=True, kw_only=True)
class WebhookParts:
    """Shared by both plugins; the caller is made when a webhook is called for the first time."""

    lister: Lister
    registry: Registry
    decoder: Decoder
    authorizer: Authorizer
    ids: Ids
    caller: "Caller | None" = None

    async def close(self) -> None:
        """Close the connections to webhooks."""
        if self.caller is not None:
            await self.caller.close()
