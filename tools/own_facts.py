"""Facts of the API that no package on PyPI holds, from upstream's sources (named at each table)."""

from typing import Any

# kube-aggregator, apiVersionPriorities: the order of groups in /apis. "" is the core group.
GROUPS = (
    "", "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io",
    "authorization.k8s.io", "autoscaling", "batch", "certificates.k8s.io", "networking.k8s.io",
    "policy", "rbac.authorization.k8s.io", "storage.k8s.io", "admissionregistration.k8s.io",
    "apiextensions.k8s.io", "scheduling.k8s.io", "coordination.k8s.io", "node.k8s.io",
    "discovery.k8s.io", "flowcontrol.apiserver.k8s.io", "resource.k8s.io",
)  # fmt: skip

# pkg/registry/*/storage: ShortNames.
SHORT_NAMES = {
    "certificatesigningrequests": ["csr"], "componentstatuses": ["cs"], "configmaps": ["cm"],
    "cronjobs": ["cj"], "customresourcedefinitions": ["crd", "crds"], "daemonsets": ["ds"],
    "deployments": ["deploy"], "endpoints": ["ep"], "events": ["ev"],
    "horizontalpodautoscalers": ["hpa"], "ingresses": ["ing"], "ipaddresses": ["ip"],
    "limitranges": ["limits"], "namespaces": ["ns"], "networkpolicies": ["netpol"],
    "nodes": ["no"], "persistentvolumeclaims": ["pvc"], "persistentvolumes": ["pv"],
    "poddisruptionbudgets": ["pdb"], "pods": ["po"], "priorityclasses": ["pc"],
    "replicasets": ["rs"], "replicationcontrollers": ["rc"], "resourcequotas": ["quota"],
    "serviceaccounts": ["sa"], "services": ["svc"], "statefulsets": ["sts"],
    "storageclasses": ["sc"], "volumeattributesclasses": ["vac"],
}  # fmt: skip

# pkg/registry/*/storage: Categories.
CATEGORIES = {
    **dict.fromkeys(
        (
            "pods", "services", "replicationcontrollers", "daemonsets", "deployments",
            "replicasets", "statefulsets", "horizontalpodautoscalers", "cronjobs", "jobs",
        ),
        ("all",),
    ),
    **dict.fromkeys(
        (
            "customresourcedefinitions", "apiservices", "mutatingwebhookconfigurations",
            "validatingwebhookconfigurations", "validatingadmissionpolicies",
            "validatingadmissionpolicybindings", "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
        ),
        ("api-extensions",),
    ),
}  # fmt: skip

# Discovery differs from what the OpenAPI paths say here: no watch.
VERBS = {"componentstatuses": ["get", "list"]}

_PROXY = ["create", "delete", "get", "patch", "update"]
# pkg/registry/core/rest: subresources that stream, which OpenAPI shows only as `connect`.
SUBRESOURCES: dict[str, list[dict[str, Any]]] = {
    "pods": [
        {"n": "attach", "gvk": ["", "v1", "PodAttachOptions"], "v": ["create", "get"]},
        {"n": "exec", "gvk": ["", "v1", "PodExecOptions"], "v": ["create", "get"]},
        {"n": "portforward", "gvk": ["", "v1", "PodPortForwardOptions"], "v": ["create", "get"]},
        {"n": "proxy", "gvk": ["", "v1", "PodProxyOptions"], "v": _PROXY},
        {"n": "log", "gvk": ["", "v1", "Pod"], "v": ["get"]},
    ],
    "services": [{"n": "proxy", "gvk": ["", "v1", "ServiceProxyOptions"], "v": _PROXY}],
    "nodes": [{"n": "proxy", "gvk": ["", "v1", "NodeProxyOptions"], "v": _PROXY}],
}

# pkg/kubeapiserver/default_storage_factory_builder.go: stored in another group or version.
STORED_AS = {
    ("events.k8s.io", "events"): ["", "v1"],
    ("autoscaling", "horizontalpodautoscalers"): ["autoscaling", "v2"],
}

RESOURCES: list[dict[str, Any]] = []  # served, but unknown to the packages: none now

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
# Types that no resource refers to, but the API speaks of.
OTHER_TYPES = [
    _META + name
    for name in (
        "DeleteOptions", "Status", "WatchEvent", "Patch", "APIGroup", "APIGroupList",
        "APIResourceList", "APIVersions",
    )
] + ["io.k8s.apimachinery.pkg.version.Info", "io.k8s.api.autoscaling.v1.Scale"]  # fmt: skip
