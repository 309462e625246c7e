"""The plugins that are on, in upstream's order (`pkg/kubeapiserver/options/plugins.go`).

Of upstream's default plugins there are missing: StorageObjectInUseProtection (nothing would take
its finalizers away yet) and MutatingAdmissionPolicy. The webhooks are added by the server, because
they need what it serves (`webhooks.plugins`).
"""

from ekslab.kit.clock import Clock
from ekslab.kit.ids import Ids
from ekslab.kube.api.ports import Admission, Authorizer, Lister
from ekslab.kube.apiserver.admission.certificates import (
    CertificateApproval,
    CertificateRequester,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from ekslab.kube.apiserver.admission.classes import (
    DefaultIngressClass,
    DefaultStorageClass,
    PersistentVolumeClaimResize,
)
from ekslab.kube.apiserver.admission.escalation import RoleEscalation
from ekslab.kube.apiserver.admission.limit_ranger import LimitRanger
from ekslab.kube.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from ekslab.kube.apiserver.admission.nodes import NodeRestriction, TaintNodesByCondition
from ekslab.kube.apiserver.admission.pod_security import PodSecurity
from ekslab.kube.apiserver.admission.policies.plugin import ValidatingAdmissionPolicies
from ekslab.kube.apiserver.admission.resource_quota import ResourceQuota
from ekslab.kube.apiserver.admission.scheduling import (
    DefaultTolerationSeconds,
    Priority,
    RuntimeClass,
)
from ekslab.kube.apiserver.admission.service_account import ServiceAccountAdmission
from ekslab.kube.store.port import Store


def default_plugins(
    lister: Lister, clock: Clock, ids: Ids, *, authorizer: Authorizer, store: Store
) -> list[Admission]:
    """All plugins of a cluster. `authorizer` is the server's own: some plugins ask it again;
    `store` is where quotas are taken from.
    """
    return [
        NamespaceLifecycle(lister),
        LimitRanger(lister),
        ServiceAccountAdmission(lister, clock, ids),
        NodeRestriction(lister),
        TaintNodesByCondition(),
        PodSecurity(lister),
        Priority(lister),
        DefaultTolerationSeconds(),
        DefaultStorageClass(lister),
        PersistentVolumeClaimResize(lister),
        RuntimeClass(lister),
        CertificateRequester(),
        CertificateApproval(authorizer),
        CertificateSigning(authorizer),
        CertificateSubjectRestriction(),
        DefaultIngressClass(lister),
        RoleEscalation(lister, authorizer),
        ValidatingAdmissionPolicies(lister, authorizer),
        ResourceQuota(lister, store),
    ]
