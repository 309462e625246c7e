"""What to do for one namespace. Upstream: `pkg/controller/serviceaccount`."""

from typing import Final

from ekslab.kube.api.requests import Object

DEFAULT_ACCOUNT: Final = "default"


def missing_account(namespace: Object | None, *, exists: bool) -> Object | None:
    """The service account to create in a namespace; None if nothing is to do.

    A namespace that is gone or going away gets nothing.
    """
    if namespace is None or exists:
        return None
    if (namespace.get("status") or {}).get("phase") != "Active":
        return None
    metadata = {"name": DEFAULT_ACCOUNT, "namespace": namespace["metadata"]["name"]}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
