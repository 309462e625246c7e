"""Objects after defaulting and creation, as Kubernetes 1.36 returns them (ours, by the source)."""

from typing import Any

import pytest

from ekslab.kube.apiserver.kinds.pod_defaults import pull_policy
from tests.kinds.building import created, pod, service, workload

CONTAINER = {
    "name": "web",
    "image": "nginx:1.27",
    "imagePullPolicy": "IfNotPresent",
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
POD_SPEC = {
    "containers": [CONTAINER],
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "terminationGracePeriodSeconds": 30,
}


def test_a_pod_is_born_pending_with_upstreams_defaults() -> None:
    made = created(pod(containers=[{"name": "web", "image": "nginx:1.27"}]))
    assert made["spec"] == {**POD_SPEC, "enableServiceLinks": True}
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert made["metadata"]["generation"] == 1


def test_a_deployment_gets_strategy_history_and_a_defaulted_template() -> None:
    made = created(workload("Deployment"))
    assert made["spec"] == {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "web"}},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
        },
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": POD_SPEC},
    }
    assert made["status"] == {}
    assert made["metadata"]["generation"] == 1


def test_a_service_gets_type_target_port_and_families() -> None:
    made = created(service(clusterIP="10.100.0.7"))
    assert made["spec"] == {
        "type": "ClusterIP",
        "selector": {"app": "web"},
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "clusterIP": "10.100.0.7",
        "clusterIPs": ["10.100.0.7"],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
    }
    assert made["status"] == {"loadBalancer": {}}


def test_a_job_makes_its_selector_from_its_uid() -> None:
    job: dict[str, Any] = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "pi", "namespace": "default", "uid": "u-1"},
        "spec": {"template": {"spec": {"containers": [], "restartPolicy": "Never"}}},
    }
    spec = created(job)["spec"]
    assert spec["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}}
    assert spec["template"]["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": "u-1",
        "batch.kubernetes.io/job-name": "pi",
        "controller-uid": "u-1",
        "job-name": "pi",
    }
    wanted = {"completions": 1, "parallelism": 1, "backoffLimit": 6, "suspend": False}
    assert {key: spec[key] for key in wanted} == wanted
    assert spec["completionMode"] == "NonIndexed"
    assert spec["podReplacementPolicy"] == "TerminatingOrFailed"


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("registry:5000/team/nginx", "Always"),
        ("registry:5000/team/nginx:1", "IfNotPresent"),
        ("nginx@sha256:abc", "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


def test_requests_default_to_limits_in_a_pod_but_not_in_a_template() -> None:
    resources = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}
    containers = [{"name": "web", "image": "nginx", "resources": resources}]
    made = created(pod(containers=containers))["spec"]["containers"][0]["resources"]
    assert made["requests"] == {"cpu": "500m", "memory": "1Gi"}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}}
    kept = created(workload("Deployment", template=template))["spec"]["template"]["spec"]
    assert kept["containers"][0]["resources"] == resources


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        pytest.param({"name": "v"}, {"name": "v", "emptyDir": {}}, id="none is emptyDir"),
        pytest.param(
            {"name": "v", "configMap": {"name": "c"}},
            {"name": "v", "configMap": {"name": "c", "defaultMode": 420}},
            id="configMap",
        ),
        pytest.param(
            {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {
                "name": "v",
                "projected": {
                    "defaultMode": 420,
                    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                },
            },
            id="projected token",
        ),
        pytest.param(
            {"name": "v", "hostPath": {"path": "/x"}},
            {"name": "v", "hostPath": {"path": "/x", "type": ""}},
            id="hostPath",
        ),
    ],
)
def test_volumes_are_defaulted_by_their_source(volume: Any, expected: Any) -> None:
    assert created(pod(volumes=[volume]))["spec"]["volumes"] == [expected]


def test_probes_get_their_numbers_and_their_path() -> None:
    probe = {"httpGet": {"port": 80}}
    containers = [{"name": "web", "image": "nginx", "readinessProbe": probe}]
    made = created(pod(containers=containers))["spec"]["containers"][0]["readinessProbe"]
    assert made == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        pytest.param({}, "BestEffort", id="nothing asked"),
        pytest.param({"requests": {"cpu": "1"}}, "Burstable", id="request without limit"),
        pytest.param({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed", id="limits only"),
        pytest.param({"limits": {"cpu": "1"}}, "Burstable", id="one resource only"),
        pytest.param(
            {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m"}},
            "Guaranteed",
            id="the same amount, spelled otherwise",
        ),
    ],
)
def test_the_qos_class_follows_requests_and_limits(resources: Any, expected: str) -> None:
    containers = [{"name": "web", "image": "nginx", "resources": resources}]
    assert created(pod(containers=containers))["status"]["qosClass"] == expected


@pytest.mark.parametrize(
    ("obj", "path", "expected"),
    [
        pytest.param(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dev"}},
            ("spec",),
            {"finalizers": ["kubernetes"]},
            id="a namespace has the finalizer",
        ),
        pytest.param(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dev"}},
            ("metadata", "labels"),
            {"kubernetes.io/metadata.name": "dev"},
            id="a namespace is labelled with its name",
        ),
        pytest.param(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "s"},
                "stringData": {"user": "admin"},
                "data": {"user": "b2xk"},
            },
            ("data",),
            {"user": "YWRtaW4="},
            id="a secret's text wins over its data",
        ),
        pytest.param(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "b"},
                "roleRef": {"kind": "ClusterRole", "name": "view"},
                "subjects": [
                    {"kind": "User", "name": "ann"},
                    {"kind": "ServiceAccount", "name": "sa", "namespace": "ns"},
                ],
            },
            ("subjects",),
            [
                {"kind": "User", "name": "ann", "apiGroup": "rbac.authorization.k8s.io"},
                {"kind": "ServiceAccount", "name": "sa", "namespace": "ns"},
            ],
            id="users get the group, service accounts do not",
        ),
        pytest.param(
            workload("DaemonSet"),
            ("spec", "updateStrategy"),
            {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            id="a daemon set rolls one by one",
        ),
        pytest.param(
            workload("StatefulSet"),
            ("spec", "persistentVolumeClaimRetentionPolicy"),
            {"whenDeleted": "Retain", "whenScaled": "Retain"},
            id="a stateful set retains its claims",
        ),
        pytest.param(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": "n"},
                "status": {"capacity": {"cpu": "2"}},
            },
            ("status", "allocatable"),
            {"cpu": "2"},
            id="a node keeps the status it brings",
        ),
    ],
)
def test_kinds_are_born_as_upstream_has_them(obj: Any, path: Any, expected: Any) -> None:
    found: Any = created(obj)
    for part in path:
        found = found[part]
    assert found == expected
