"""Which columns each kind has, and who fills them: `AddHandlers` of upstream's printers.

A line of the table below is one kind: its columns as `Name` (text), `Name:integer`, and `+Name`
for those that only `-o wide` shows. The first column is the name unless said otherwise.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.apiserver.tables import core, pods, policy, workloads

Object = dict[str, Any]
Cells = Callable[[Object, float], list[Any]]

_TEMPLATE: Final = "+Containers +Images +Selector"
_BINDING: Final = "Name Role Age +Users +Groups +ServiceAccounts"
_WEBHOOKS: Final = "Name Webhooks:integer Age"

_NODE: Final = (
    "Name Status Roles Age Version +Internal-IP +External-IP +OS-Image +Kernel-Version"
    " +Container-Runtime"
)
_PERSISTENT_VOLUME: Final = (
    "Name Capacity Access_Modes Reclaim_Policy Status Claim StorageClass"
    " VolumeAttributesClass Reason Age +VolumeMode"
)
_PERSISTENT_VOLUME_CLAIM: Final = (
    "Name Status Volume Capacity Access_Modes StorageClass VolumeAttributesClass Age +VolumeMode"
)
_EVENT: Final = "Last_Seen Type Reason Object +Subobject +Source Message +First_Seen +Count +Name"
_DAEMON_SET: Final = (
    "Name Desired:integer Current:integer Ready:integer Up-to-date:integer"
    f" Available:integer Node_Selector Age {_TEMPLATE}"
)
_CSI_DRIVER: Final = (
    "Name AttachRequired:boolean PodInfoOnMount:boolean StorageCapacity:boolean TokenRequests"
    " RequiresRepublish:boolean Modes Age"
)

_KINDS: Final[dict[tuple[str, str], tuple[str, Cells]]] = {
    ("", "Pod"): (
        "Name Ready Status Restarts Age +IP +Node +Nominated_Node +Readiness_Gates",
        pods.pod_cells,
    ),
    ("", "PodTemplate"): ("Name Containers Images Pod_Labels", workloads.pod_template),
    ("", "ReplicationController"): (
        f"Name Desired:integer Current:integer Ready:integer Age {_TEMPLATE}",
        workloads.replication_controller,
    ),
    ("", "Service"): ("Name Type Cluster-IP External-IP Port(s) Age +Selector", core.service),
    ("", "Endpoints"): ("Name Endpoints Age", core.endpoints),
    ("", "Node"): (_NODE, core.node),
    ("", "Event"): (_EVENT, core.event),
    ("events.k8s.io", "Event"): (_EVENT, core.event),
    ("", "Namespace"): ("Name Status Age", core.namespace),
    ("", "Secret"): ("Name Type Data Age", core.secret),
    ("", "ConfigMap"): ("Name Data Age", core.config_map),
    ("", "ServiceAccount"): ("Name Secrets Age", core.service_account),
    ("", "ComponentStatus"): ("Name Status Message Error", core.component_status),
    ("", "ResourceQuota"): ("Name Request Limit Age", core.resource_quota),
    ("", "PersistentVolume"): (_PERSISTENT_VOLUME, core.volume),
    ("", "PersistentVolumeClaim"): (_PERSISTENT_VOLUME_CLAIM, core.claim),
    ("apps", "Deployment"): (
        f"Name Ready Up-to-date Available Age {_TEMPLATE}",
        workloads.deployment,
    ),
    ("apps", "ReplicaSet"): (
        f"Name Desired:integer Current:integer Ready:integer Age {_TEMPLATE}",
        workloads.replica_set,
    ),
    ("apps", "DaemonSet"): (_DAEMON_SET, workloads.daemon_set),
    ("apps", "StatefulSet"): ("Name Ready Age +Containers +Images", workloads.stateful_set),
    ("apps", "ControllerRevision"): (
        "Name Controller Revision Age",
        workloads.controller_revision,
    ),
    ("batch", "Job"): (f"Name Status Completions Duration Age {_TEMPLATE}", workloads.job),
    ("batch", "CronJob"): (
        f"Name Schedule Timezone Suspend:boolean Active:integer Last_Schedule Age {_TEMPLATE}",
        workloads.cron_job,
    ),
    ("policy", "PodDisruptionBudget"): (
        "Name Min_Available Max_Unavailable Allowed_Disruptions:integer Age",
        workloads.disruption_budget,
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): (
        "Name Reference Targets MinPods MaxPods Replicas Age",
        workloads.autoscaler,
    ),
    ("autoscaling", "Scale"): ("Name Desired:integer Available:integer Age", policy.scale),
    ("discovery.k8s.io", "EndpointSlice"): (
        "Name AddressType Ports Endpoints Age",
        core.endpoint_slice,
    ),
    ("storage.k8s.io", "StorageClass"): (
        "Name Provisioner ReclaimPolicy VolumeBindingMode AllowVolumeExpansion Age",
        core.storage_class,
    ),
    ("storage.k8s.io", "VolumeAttachment"): (
        "Name Attacher PV Node Attached:boolean Age",
        core.volume_attachment,
    ),
    ("storage.k8s.io", "VolumeAttributesClass"): (
        "Name DriverName Age",
        core.volume_attributes_class,
    ),
    ("storage.k8s.io", "CSINode"): ("Name Drivers:integer Age", core.csi_node),
    ("storage.k8s.io", "CSIDriver"): (_CSI_DRIVER, core.csi_driver),
    ("storage.k8s.io", "CSIStorageCapacity"): (
        "Name StorageClassName Capacity",
        core.csi_storage_capacity,
    ),
    ("networking.k8s.io", "Ingress"): ("Name Class Hosts Address Ports Age", policy.ingress),
    ("networking.k8s.io", "IngressClass"): (
        "Name Controller Parameters Age",
        policy.ingress_class,
    ),
    ("networking.k8s.io", "NetworkPolicy"): ("Name Pod-Selector Age", policy.network_policy),
    ("networking.k8s.io", "ServiceCIDR"): ("Name CIDRs Age", policy.service_cidr),
    ("networking.k8s.io", "IPAddress"): ("Name ParentRef", policy.ip_address),
    ("rbac.authorization.k8s.io", "RoleBinding"): (_BINDING, policy.role_binding),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): (_BINDING, policy.role_binding),
    ("certificates.k8s.io", "CertificateSigningRequest"): (
        "Name Age SignerName Requestor RequestedDuration Condition",
        policy.signing_request,
    ),
    ("certificates.k8s.io", "ClusterTrustBundle"): ("Name SignerName", policy.trust_bundle),
    ("coordination.k8s.io", "Lease"): ("Name Holder Age", policy.lease),
    ("coordination.k8s.io", "LeaseCandidate"): (
        "Name LeaseName BinaryVersion EmulationVersion Age",
        policy.lease_candidate,
    ),
    ("scheduling.k8s.io", "PriorityClass"): (
        "Name Value:integer Global-Default:boolean Age PreemptionPolicy",
        policy.priority_class,
    ),
    ("node.k8s.io", "RuntimeClass"): ("Name Handler Age", policy.runtime_class),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): (_WEBHOOKS, policy.webhooks),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): (
        _WEBHOOKS,
        policy.webhooks,
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): (
        "Name Validations:integer ParamKind Age",
        policy.admission_policy,
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): (
        "Name PolicyName ParamRef Age",
        policy.admission_binding,
    ),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): (
        "Name Mutations:integer ParamKind Age",
        policy.admission_policy,
    ),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): (
        "Name PolicyName ParamRef Age",
        policy.admission_binding,
    ),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): (
        "Name PriorityLevel MatchingPrecedence DistinguisherMethod Age MissingPL",
        policy.flow_schema,
    ),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): (
        "Name Type NominalConcurrencyShares Queues HandSize QueueLengthLimit Age",
        policy.priority_level,
    ),
    ("apiregistration.k8s.io", "APIService"): ("Name Service Available Age", policy.api_service),
    ("resource.k8s.io", "DeviceClass"): ("Name Age", policy.named),
    ("resource.k8s.io", "ResourceClaim"): ("Name State Age", policy.resource_claim),
    ("resource.k8s.io", "ResourceClaimTemplate"): ("Name Age", policy.named),
    ("resource.k8s.io", "ResourceSlice"): ("Name Node Driver Pool Age", policy.resource_slice),
}
_WITHOUT_PRINTER: Final = ("Name Created_At:date", policy.created)
_CUSTOM: Final = ("Name Age:date", policy.named)

# Kinds that upstream prints with its generic converter, which knows creation times, not ages.
_GENERIC_GROUPS: Final = frozenset(
    {"", "rbac.authorization.k8s.io", "apiextensions.k8s.io", "internal.apiserver.k8s.io",
     "storagemigration.k8s.io"}
)  # fmt: skip

_MEANING: Final = {
    "Name": "Name must be unique within a namespace.",
    "Age": "CreationTimestamp is the time at which the object was created.",
    "Created At": "CreationTimestamp is the time at which the object was created.",
    "Ready": "How many are ready, of how many.",
    "Containers": "Names of each container in the template.",
    "Images": "Images referenced by each container in the template.",
    "Selector": "Which pods it is about.",
}


def columns(info: ResourceInfo) -> list[dict[str, Any]]:
    """The `columnDefinitions` of a kind's table; shared, never to be changed."""
    if info.printer is not None:
        return info.printer.columns
    return _columns(info.resource.group, info.kind)


def row_cells(info: ResourceInfo, obj: Object, now: float) -> list[Any]:
    """The cells of one object, in the order of `columns`; `now` is lab time in seconds."""
    if info.printer is not None:
        return info.printer.cells(obj, now)
    return _table(info.resource.group, info.kind)[1](obj, now)


def _table(group: str, kind: str) -> tuple[str, Cells]:
    found = _KINDS.get((group, kind))
    if found is not None:
        return found
    return _WITHOUT_PRINTER if group in _GENERIC_GROUPS else _CUSTOM


@lru_cache(maxsize=1024)
def _columns(group: str, kind: str) -> list[dict[str, Any]]:
    return [_column(word) for word in _table(group, kind)[0].split()]


def _column(word: str) -> dict[str, Any]:
    name, _, kind = word.removeprefix("+").replace("_", " ").partition(":")
    return {
        "name": name,
        "type": kind or "string",
        "format": "name" if name == "Name" else "",
        "description": _MEANING.get(name, f"{name} of the object."),
        "priority": 1 if word.startswith("+") else 0,
    }
