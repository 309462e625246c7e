"""Which strategy each kind has. A kind that is not in the table is checked for types only."""

from typing import Final

from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.api.schema.model import Schema
from ekslab.kube.apiserver.kinds import (
    batch,
    configuration,
    coordination,
    definitions,
    devices,
    endpoints,
    events,
    extension,
    limits,
    namespaces,
    networking,
    nodes,
    pods,
    policies,
    rbac,
    services,
    storage,
    workloads,
)
from ekslab.kube.apiserver.kinds.strategy import CheckedOnly, Counted, Custom, Strategy

_ADMISSION: Final = "admissionregistration.k8s.io"
_FLOW: Final = "flowcontrol.apiserver.k8s.io"
_RBAC: Final = "rbac.authorization.k8s.io"
_STORAGE: Final = "storage.k8s.io"
_NETWORKING: Final = "networking.k8s.io"

_BY_KIND: Final[dict[tuple[str, str], type[Strategy]]] = {
    ("", "Pod"): pods.PodStrategy,
    ("", "PodTemplate"): workloads.PodTemplateStrategy,
    ("", "ReplicationController"): workloads.ReplicationControllerStrategy,
    ("", "Service"): services.ServiceStrategy,
    ("", "Endpoints"): endpoints.EndpointsStrategy,
    ("", "Namespace"): namespaces.NamespaceStrategy,
    ("", "Node"): nodes.NodeStrategy,
    ("", "ConfigMap"): configuration.ConfigMapStrategy,
    ("", "Secret"): configuration.SecretStrategy,
    ("", "ServiceAccount"): configuration.ServiceAccountStrategy,
    ("", "Event"): events.EventStrategy,
    ("events.k8s.io", "Event"): events.EventStrategy,
    ("", "LimitRange"): limits.LimitRangeStrategy,
    ("", "ResourceQuota"): limits.ResourceQuotaStrategy,
    ("", "PersistentVolume"): storage.VolumeStrategy,
    ("", "PersistentVolumeClaim"): storage.ClaimStrategy,
    ("apps", "Deployment"): workloads.DeploymentStrategy,
    ("apps", "ReplicaSet"): workloads.ReplicaSetStrategy,
    ("apps", "DaemonSet"): workloads.DaemonSetStrategy,
    ("apps", "StatefulSet"): workloads.StatefulSetStrategy,
    ("apps", "ControllerRevision"): workloads.ControllerRevisionStrategy,
    ("batch", "Job"): batch.JobStrategy,
    ("batch", "CronJob"): batch.CronJobStrategy,
    ("autoscaling", "HorizontalPodAutoscaler"): limits.AutoscalerStrategy,
    ("policy", "PodDisruptionBudget"): limits.DisruptionBudgetStrategy,
    ("scheduling.k8s.io", "PriorityClass"): limits.PriorityClassStrategy,
    ("discovery.k8s.io", "EndpointSlice"): endpoints.EndpointSliceStrategy,
    ("coordination.k8s.io", "Lease"): coordination.LeaseStrategy,
    ("certificates.k8s.io", "CertificateSigningRequest"): coordination.SigningRequestStrategy,
    ("node.k8s.io", "RuntimeClass"): coordination.RuntimeClassStrategy,
    (_FLOW, "FlowSchema"): coordination.FlowSchemaStrategy,
    (_FLOW, "PriorityLevelConfiguration"): coordination.PriorityLevelStrategy,
    (_RBAC, "Role"): rbac.RoleStrategy,
    (_RBAC, "ClusterRole"): rbac.RoleStrategy,
    (_RBAC, "RoleBinding"): rbac.BindingStrategy,
    (_RBAC, "ClusterRoleBinding"): rbac.BindingStrategy,
    (_STORAGE, "StorageClass"): storage.StorageClassStrategy,
    (_STORAGE, "CSIDriver"): storage.CsiDriverStrategy,
    (_STORAGE, "CSINode"): storage.CsiNodeStrategy,
    (_STORAGE, "VolumeAttachment"): storage.VolumeAttachmentStrategy,
    (_NETWORKING, "Ingress"): networking.IngressStrategy,
    (_NETWORKING, "IngressClass"): networking.IngressClassStrategy,
    (_NETWORKING, "NetworkPolicy"): networking.NetworkPolicyStrategy,
    (_ADMISSION, "MutatingWebhookConfiguration"): extension.WebhooksStrategy,
    (_ADMISSION, "ValidatingWebhookConfiguration"): extension.WebhooksStrategy,
    (_ADMISSION, "ValidatingAdmissionPolicy"): policies.PolicyStrategy,
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): policies.BindingStrategy,
    (_ADMISSION, "MutatingAdmissionPolicy"): Counted,
    (_ADMISSION, "MutatingAdmissionPolicyBinding"): Counted,
    ("resource.k8s.io", "ResourceSlice"): devices.ResourceSliceStrategy,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): definitions.DefinitionStrategy,
    ("apiregistration.k8s.io", "APIService"): extension.ApiServiceStrategy,
}

_OWN_GROUPS: Final = frozenset(
    {
        "", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io",
        "apps", "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch",
        "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io",
        "flowcontrol.apiserver.k8s.io", "internal.apiserver.k8s.io", "networking.k8s.io",
        "node.k8s.io", "policy", "rbac.authorization.k8s.io", "resource.k8s.io",
        "scheduling.k8s.io", "storage.k8s.io", "storagemigration.k8s.io",
    }
)  # fmt: skip


def strategy_for(info: ResourceInfo, schema: Schema) -> Strategy:
    """The strategy of a resource. Cheap, but make it once per resource and keep it."""
    found = _BY_KIND.get((info.resource.group, info.kind))
    if found is not None:
        return found(info, schema)
    if info.resource.group in _OWN_GROUPS:
        return CheckedOnly(info, schema)
    return Custom(info, schema)


_DEPRECATED: Final = {
    ("", "Endpoints"): (
        "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    ),
    ("", "ComponentStatus"): "v1 ComponentStatus is deprecated in v1.19+",
}


def deprecation(info: ResourceInfo) -> str:
    """The warning every request for a deprecated kind is answered with; empty for the others."""
    return _DEPRECATED.get((info.resource.group, info.kind), "")
