import pytest

from ekslab.kube.api.requests import Object
from ekslab.kube.auth import bootstrap

# The names of Kubernetes 1.36 (bootstrappolicy/testdata), written down once more by hand, so that a
# slip in the table of roles cannot go unseen.
CLUSTER_ROLES = """
admin cluster-admin edit system:aggregate-to-admin system:aggregate-to-edit
system:aggregate-to-view system:auth-delegator system:basic-user
system:certificates.k8s.io:certificatesigningrequests:nodeclient
system:certificates.k8s.io:certificatesigningrequests:selfnodeclient
system:certificates.k8s.io:kube-apiserver-client-approver
system:certificates.k8s.io:kube-apiserver-client-kubelet-approver
system:certificates.k8s.io:kubelet-serving-approver
system:certificates.k8s.io:legacy-unknown-approver system:discovery system:heapster
system:kube-aggregator system:kube-controller-manager system:kube-dns system:kube-scheduler
system:kubelet-api-admin system:monitoring system:node system:node-bootstrapper
system:node-problem-detector system:node-proxier system:persistent-volume-provisioner
system:public-info-viewer system:service-account-issuer-discovery system:volume-scheduler
view
"""
CONTROLLERS = """
attachdetach-controller certificate-controller clusterrole-aggregation-controller
cronjob-controller daemon-set-controller deployment-controller
device-taint-eviction-controller disruption-controller endpoint-controller
endpointslice-controller endpointslicemirroring-controller ephemeral-volume-controller
expand-controller generic-garbage-collector horizontal-pod-autoscaler job-controller
legacy-service-account-token-cleaner namespace-controller node-controller
persistent-volume-binder pod-garbage-collector pv-protection-controller
pvc-protection-controller replicaset-controller replication-controller
resource-claim-controller resourcequota-controller root-ca-cert-publisher route-controller
selinux-warning-controller service-account-controller service-cidrs-controller
service-controller statefulset-controller ttl-after-finished-controller ttl-controller
validatingadmissionpolicy-status-controller volumeattributesclass-protection-controller
"""
CLUSTER_BINDINGS = """
cluster-admin system:basic-user system:discovery system:kube-controller-manager
system:kube-dns system:kube-scheduler system:monitoring system:node system:node-proxier
system:public-info-viewer system:service-account-issuer-discovery system:volume-scheduler
"""
ROLES = """
kube-public/system:controller:bootstrap-signer
kube-system/extension-apiserver-authentication-reader
kube-system/system::leader-locking-kube-controller-manager
kube-system/system::leader-locking-kube-scheduler
kube-system/system:controller:bootstrap-signer
kube-system/system:controller:cloud-provider
kube-system/system:controller:token-cleaner
"""
BINDINGS = ROLES.replace("/extension-", "/system::extension-")


def names(kind: str) -> list[str]:
    found = [obj["metadata"] for obj in bootstrap.objects() if obj["kind"] == kind]
    return [f"{meta.get('namespace', '')}/{meta['name']}".strip("/") for meta in found]


def of(kind: str, name: str) -> Object:
    return next(
        obj
        for obj in bootstrap.objects()
        if obj["kind"] == kind and obj["metadata"]["name"] == name
    )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("ClusterRole", CLUSTER_ROLES),
        ("ClusterRoleBinding", CLUSTER_BINDINGS),
        ("Role", ROLES),
        ("RoleBinding", BINDINGS),
    ],
)
def test_every_default_object_is_there_by_name(kind: str, expected: str):
    wanted = expected.split()
    if kind.startswith("Cluster"):
        wanted += [f"system:controller:{name}" for name in CONTROLLERS.split()]
    assert sorted(names(kind)) == sorted(wanted)


def test_roles_come_before_what_binds_them():
    kinds = [obj["kind"] for obj in bootstrap.objects()]
    assert list(dict.fromkeys(kinds)) == [
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
    ]


def test_all_carry_the_label_and_annotation_of_bootstrapping():
    for obj in bootstrap.objects():
        meta = obj["metadata"]
        assert meta["labels"]["kubernetes.io/bootstrapping"] == "rbac-defaults"
        assert meta["annotations"] == {"rbac.authorization.kubernetes.io/autoupdate": "true"}


def test_the_objects_are_the_callers_own():
    bootstrap.objects()[0]["metadata"]["name"] = "spoiled"
    assert bootstrap.objects()[0]["metadata"]["name"] == "admin"


def test_a_rule_is_written_out_in_full():
    assert of("ClusterRole", "system:controller:attachdetach-controller")["rules"][:3] == [
        {
            "apiGroups": [""],
            "resources": ["persistentvolumeclaims", "persistentvolumes"],
            "verbs": ["list", "watch"],
        },
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch", "update"]},
    ]


def test_names_and_paths_are_kept():
    manager = of("ClusterRole", "system:kube-controller-manager")["rules"]
    assert {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": ["kube-controller-manager"],
        "verbs": ["get", "update"],
    } in manager
    viewer = of("ClusterRole", "system:public-info-viewer")["rules"]
    assert viewer == [
        {
            "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"],
            "verbs": ["get"],
        }
    ]


def test_the_node_role_is_bound_to_nobody():
    assert "subjects" not in of("ClusterRoleBinding", "system:node")


def test_aggregated_roles_say_whom_they_gather_and_come_filled():
    edit = of("ClusterRole", "edit")
    label = "rbac.authorization.k8s.io/aggregate-to-edit"
    assert edit["aggregationRule"] == {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}
    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-admin"] == "true"
    assert len(edit["rules"]) > 20
