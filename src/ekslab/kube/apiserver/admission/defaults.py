"""The plugins that are on, in upstream's order (`pkg/kubeapiserver/options/plugins.go`)."""

from ekslab.kit.clock import Clock
from ekslab.kit.ids import Ids
from ekslab.kube.api.ports import Admission, Authorizer, Lister
from ekslab.kube.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from ekslab.kube.apiserver.admission.scheduling import (
    DefaultTolerationSeconds,
    Priority,
    RuntimeClass,
)
from ekslab.kube.apiserver.admission.service_account import ServiceAccountAdmission


def default_plugins(
    lister: Lister, clock: Clock, ids: Ids, *, authorizer: Authorizer
) -> list[Admission]:
    """All plugins of a cluster. `authorizer` is the server's own: some plugins ask it again."""
    del authorizer
    return [
        NamespaceLifecycle(lister),
        ServiceAccountAdmission(lister, clock, ids),
        Priority(lister),
        DefaultTolerationSeconds(),
        RuntimeClass(lister),
    ]
