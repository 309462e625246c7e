"""The resource types and names that components speak of by name."""

from typing import Final

from ekslab.kube.api.resources import Resource

PODS: Final = Resource("", "v1", "pods")
NODES: Final = Resource("", "v1", "nodes")
NAMESPACES: Final = Resource("", "v1", "namespaces")
SERVICES: Final = Resource("", "v1", "services")
ENDPOINTS: Final = Resource("", "v1", "endpoints")
EVENTS: Final = Resource("", "v1", "events")
CONFIG_MAPS: Final = Resource("", "v1", "configmaps")
SECRETS: Final = Resource("", "v1", "secrets")
SERVICE_ACCOUNTS: Final = Resource("", "v1", "serviceaccounts")
PERSISTENT_VOLUMES: Final = Resource("", "v1", "persistentvolumes")
PERSISTENT_VOLUME_CLAIMS: Final = Resource("", "v1", "persistentvolumeclaims")
REPLICATION_CONTROLLERS: Final = Resource("", "v1", "replicationcontrollers")
RESOURCE_QUOTAS: Final = Resource("", "v1", "resourcequotas")
LIMIT_RANGES: Final = Resource("", "v1", "limitranges")
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments")
REPLICA_SETS: Final = Resource("apps", "v1", "replicasets")
DAEMON_SETS: Final = Resource("apps", "v1", "daemonsets")
STATEFUL_SETS: Final = Resource("apps", "v1", "statefulsets")
CONTROLLER_REVISIONS: Final = Resource("apps", "v1", "controllerrevisions")
JOBS: Final = Resource("batch", "v1", "jobs")
CRON_JOBS: Final = Resource("batch", "v1", "cronjobs")
ENDPOINT_SLICES: Final = Resource("discovery.k8s.io", "v1", "endpointslices")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases")
ROLES: Final = Resource("rbac.authorization.k8s.io", "v1", "roles")
ROLE_BINDINGS: Final = Resource("rbac.authorization.k8s.io", "v1", "rolebindings")
CLUSTER_ROLES: Final = Resource("rbac.authorization.k8s.io", "v1", "clusterroles")
CLUSTER_ROLE_BINDINGS: Final = Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings")
PRIORITY_CLASSES: Final = Resource("scheduling.k8s.io", "v1", "priorityclasses")
STORAGE_CLASSES: Final = Resource("storage.k8s.io", "v1", "storageclasses")
CSI_NODES: Final = Resource("storage.k8s.io", "v1", "csinodes")
CERTIFICATE_SIGNING_REQUESTS: Final = Resource(
    "certificates.k8s.io", "v1", "certificatesigningrequests"
)
DEFINITIONS: Final = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")
POD_DISRUPTION_BUDGETS: Final = Resource("policy", "v1", "poddisruptionbudgets")

MASTERS_GROUP: Final = "system:masters"
NODES_GROUP: Final = "system:nodes"
BOOTSTRAPPERS_GROUP: Final = "system:bootstrappers"
AUTHENTICATED_GROUP: Final = "system:authenticated"
UNAUTHENTICATED_GROUP: Final = "system:unauthenticated"
SERVICE_ACCOUNTS_GROUP: Final = "system:serviceaccounts"
NODE_USER_PREFIX: Final = "system:node:"
KUBE_SYSTEM: Final = "kube-system"
