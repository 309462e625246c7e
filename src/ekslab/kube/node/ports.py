"""What a node agent needs from others."""

from typing import Protocol


class NoAddressError(Exception):
    """A pod cannot have an address now.

    The text is what the network plugin says, as containerd passes it on, for the event:
    `plugin type="aws-cni" name="aws-cni" failed (add): add cmd: failed to assign an IP address to
    container`.
    """


class PodAddresses(Protocol):
    """Addresses of the pods of one node (upstream: the CNI plugin)."""

    async def allocate(self, namespace: str, pod: str, uid: str) -> str:
        """An address for a pod; the same one if it has one already.

        Raises:
            NoAddressError: there is none to be had now.
        """

    def adopt(self, uid: str, address: str) -> None:
        """A pod has had this address since before the agent started."""

    def release(self, uid: str) -> None:
        """The pod is gone. Releasing twice does nothing."""
