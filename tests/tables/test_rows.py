"""Cells of typical objects: what people see when they type kubectl get."""

from typing import Any

import pytest

from ekslab.kit.clock import parse_rfc3339, rfc3339
from ekslab.kube.api.schema import catalog
from ekslab.kube.apiserver import tables
from ekslab.kube.apiserver.tables.durations import human_duration

NOW = parse_rfc3339("2026-03-01T12:00:00Z")
CATALOG = catalog.load(catalog.DEFAULT_VERSION)
HOUR = 3600
DAY = 24 * HOUR


def ago(seconds: float) -> str:
    return rfc3339(NOW - seconds)


def row(api_version: str, kind: str, **parts: Any) -> list[Any]:
    meta = {"name": "web", "creationTimestamp": ago(90), **parts.pop("metadata", {})}
    obj = {"apiVersion": api_version, "kind": kind, "metadata": meta, **parts}
    return tables.row_cells(CATALOG.by_kind[api_version, kind], obj, NOW)


def pod_row(status: Any, *, spec: Any = None, metadata: Any = None) -> list[Any]:
    containers = {"containers": [{"name": "web"}]}
    spec = {**containers, **(spec or {})}
    return row("v1", "Pod", metadata=metadata or {}, spec=spec, status=status)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"), (-1, "0s"), (0, "0s"), (5, "5s"), (119, "119s"), (120, "2m"),
        (182, "3m2s"), (600, "10m"), (3 * HOUR - 1, "179m"), (3 * HOUR, "3h"),
        (3 * HOUR + 60, "3h1m"), (8 * HOUR, "8h"), (47 * HOUR, "47h"), (48 * HOUR, "2d"),
        (5 * DAY + 12 * HOUR, "5d12h"), (8 * DAY + HOUR, "8d"), (729 * DAY, "729d"),
        (730 * DAY, "2y"), (800 * DAY, "2y70d"), (9 * 365 * DAY, "9y"),
    ],
)  # fmt: skip
def test_ages_read_as_upstreams(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


RUNNING = {"name": "web", "ready": True, "restartCount": 0, "state": {"running": {}}}
PODS = [
    pytest.param({"phase": "Pending"}, None, ["0/1", "Pending", "0"], id="nobody has it yet"),
    pytest.param(
        {"phase": "Running", "containerStatuses": [RUNNING]},
        None,
        ["1/1", "Running", "0"],
        id="it runs",
    ),
    pytest.param(
        {
            "phase": "Pending",
            "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}],
        },
        None,
        ["0/1", "ContainerCreating", "0"],
        id="its container is made",
    ),
    pytest.param(
        {
            "phase": "Running",
            "containerStatuses": [
                {
                    "restartCount": 3,
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"finishedAt": ago(120), "exitCode": 1}},
                }
            ],
        },
        None,
        ["0/1", "CrashLoopBackOff", "3 (2m ago)"],
        id="it crashes again and again",
    ),
    pytest.param(
        {
            "phase": "Succeeded",
            "containerStatuses": [
                {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
            ],
        },
        None,
        ["0/1", "Completed", "0"],
        id="it is done",
    ),
    pytest.param(
        {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 2}}}]},
        None,
        ["0/1", "ExitCode:2", "0"],
        id="it failed without a reason",
    ),
    pytest.param(
        {"phase": "Failed", "reason": "Evicted"}, None, ["0/1", "Evicted", "0"], id="evicted"
    ),
    pytest.param(
        {"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]},
        {"initContainers": [{"name": "i"}, {"name": "j"}]},
        ["0/1", "Init:0/2", "0"],
        id="it initializes",
    ),
    pytest.param(
        {
            "phase": "Pending",
            "initContainerStatuses": [
                {
                    "name": "i",
                    "restartCount": 1,
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                }
            ],
        },
        {"initContainers": [{"name": "i"}]},
        ["0/1", "Init:CrashLoopBackOff", "1"],
        id="its init container crashes",
    ),
    pytest.param(
        {
            "phase": "Running",
            "initContainerStatuses": [
                {"name": "side", "started": True, "ready": True, "state": {"running": {}}}
            ],
            "containerStatuses": [RUNNING],
        },
        {"initContainers": [{"name": "side", "restartPolicy": "Always"}]},
        ["2/2", "Running", "0"],
        id="with a sidecar",
    ),
    pytest.param(
        {
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}],
        },
        None,
        ["0/1", "SchedulingGated", "0"],
        id="it is gated",
    ),
]


@pytest.mark.parametrize(("status", "spec", "expected"), PODS)
def test_the_status_of_a_pod_says_what_holds_it_up(
    status: Any, spec: Any, expected: list[str]
) -> None:
    assert pod_row(status, spec=spec)[1:4] == expected


def test_a_pod_that_is_being_deleted_is_terminating_whatever_it_does() -> None:
    dying = {"deletionTimestamp": ago(3)}
    status = {"phase": "Running", "containerStatuses": [RUNNING]}
    assert pod_row(status, metadata=dying)[2] == "Terminating"
    assert pod_row({**status, "reason": "NodeLost"}, metadata=dying)[2] == "Unknown"
    assert pod_row({"phase": "Succeeded"}, metadata=dying)[2] == "Succeeded"


def test_the_wide_columns_of_a_pod() -> None:
    status = {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}],
        "conditions": [{"type": "acme.io/ok", "status": "True"}],
    }
    spec = {"nodeName": "n", "readinessGates": [{"conditionType": "acme.io/ok"}]}
    assert pod_row(status, spec=spec)[4:] == ["90s", "10.0.0.1", "n", "<none>", "1/1"]
    assert pod_row({})[4:] == ["90s", "<none>", "<none>", "<none>", "<none>"]


TEMPLATE = {"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}}
SELECTOR = {"matchLabels": {"b": "2", "a": "1"}}
ROWS = [
    pytest.param(
        "apps/v1",
        "Deployment",
        {
            "spec": {"replicas": 6, "selector": SELECTOR, "template": TEMPLATE},
            "status": {"readyReplicas": 4, "updatedReplicas": 6, "availableReplicas": 4},
        },
        ["web", "4/6", 6, 4, "90s", "a,b", "x,y", "a=1,b=2"],
        id="deployment",
    ),
    pytest.param(
        "apps/v1",
        "ReplicaSet",
        {
            "spec": {
                "replicas": 2,
                "selector": {
                    "matchExpressions": [
                        {"key": "z", "operator": "In", "values": ["2", "1"]},
                        {"key": "y", "operator": "DoesNotExist"},
                    ]
                },
                "template": TEMPLATE,
            },
            "status": {"replicas": 2, "readyReplicas": 1},
        },
        ["web", 2, 2, 1, "90s", "a,b", "x,y", "!y,z in (1,2)"],
        id="replica set with expressions",
    ),
    pytest.param(
        "apps/v1",
        "DaemonSet",
        {"spec": {"selector": SELECTOR, "template": TEMPLATE}, "status": {"numberReady": 3}},
        ["web", 0, 0, 3, 0, 0, "<none>", "90s", "a,b", "x,y", "a=1,b=2"],
        id="daemon set",
    ),
    pytest.param(
        "apps/v1",
        "StatefulSet",
        {"spec": {"replicas": 3, "template": TEMPLATE}, "status": {"readyReplicas": 2}},
        ["web", "2/3", "90s", "a,b", "x,y"],
        id="stateful set",
    ),
    pytest.param(
        "batch/v1",
        "Job",
        {
            "spec": {"completions": 3, "template": TEMPLATE, "selector": SELECTOR},
            "status": {"succeeded": 1, "startTime": ago(30)},
        },
        ["web", "Running", "1/3", "30s", "90s", "a,b", "x,y", "a=1,b=2"],
        id="job that runs",
    ),
    pytest.param(
        "batch/v1",
        "CronJob",
        {
            "spec": {"schedule": "@daily", "suspend": False, "jobTemplate": {"spec": {}}},
            "status": {"lastScheduleTime": ago(HOUR)},
        },
        ["web", "@daily", "<none>", "False", 0, "60m", "90s", "", "", "<none>"],
        id="cron job",
    ),
    pytest.param(
        "v1",
        "Service",
        {
            "spec": {
                "type": "NodePort",
                "clusterIP": "10.100.0.7",
                "clusterIPs": ["10.100.0.7"],
                "ports": [
                    {"port": 80, "nodePort": 30080, "protocol": "TCP"},
                    {"port": 53, "protocol": "UDP"},
                ],
            }
        },
        ["web", "NodePort", "10.100.0.7", "<none>", "80:30080/TCP,53/UDP", "90s", "<none>"],
        id="service",
    ),
    pytest.param(
        "v1",
        "Service",
        {"spec": {"type": "LoadBalancer", "ports": []}},
        ["web", "LoadBalancer", "<none>", "<pending>", "<none>", "90s", "<none>"],
        id="load balancer without address",
    ),
    pytest.param(
        "v1",
        "Node",
        {
            "metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": True},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "10.0.0.9"}],
                "nodeInfo": {
                    "kubeletVersion": "v1.36.1-eks-1",
                    "osImage": "Amazon Linux 2023",
                    "kernelVersion": "6.1",
                    "containerRuntimeVersion": "containerd://2.1",
                },
            },
        },
        [
            "web",
            "Ready,SchedulingDisabled",
            "control-plane",
            "90s",
            "v1.36.1-eks-1",
            "10.0.0.9",
            "<none>",
            "Amazon Linux 2023",
            "6.1",
            "containerd://2.1",
        ],
        id="node",
    ),
    pytest.param(
        "v1",
        "Endpoints",
        {
            "subsets": [
                {
                    "addresses": [{"ip": f"10.0.0.{n}"} for n in range(1, 6)],
                    "ports": [{"port": 80}],
                }
            ]
        },
        ["web", "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more...", "90s"],
        id="endpoints",
    ),
    pytest.param(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        {"addressType": "IPv4", "endpoints": [], "ports": [{"port": 80}]},
        ["web", "IPv4", "80", "<unset>", "90s"],
        id="endpoint slice",
    ),
    pytest.param(
        "v1",
        "Event",
        {
            "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{web}"},
            "type": "Normal",
            "reason": "Pulled",
            "message": "Container image present ",
            "source": {"component": "kubelet", "host": "n"},
            "firstTimestamp": ago(60),
            "lastTimestamp": ago(5),
            "count": 2,
        },
        [
            "5s",
            "Normal",
            "Pulled",
            "pod/p",
            "spec.containers{web}",
            "kubelet, n",
            "Container image present",
            "60s",
            2,
            "web",
        ],
        id="event",
    ),
    pytest.param(
        "events.k8s.io/v1",
        "Event",
        {
            "regarding": {"kind": "Pod", "name": "p"},
            "type": "Warning",
            "reason": "FailedScheduling",
            "note": "no nodes",
            "reportingController": "default-scheduler",
            "eventTime": "2026-03-01T11:59:50.000000Z",
        },
        [
            "10s",
            "Warning",
            "FailedScheduling",
            "pod/p",
            "",
            "default-scheduler",
            "no nodes",
            "10s",
            1,
            "web",
        ],
        id="event, new style",
    ),
    pytest.param(
        "v1",
        "PersistentVolumeClaim",
        {"spec": {"storageClassName": "gp3"}, "status": {"phase": "Pending"}},
        ["web", "Pending", "", "", "", "gp3", "<unset>", "90s", "<unset>"],
        id="claim",
    ),
    pytest.param(
        "storage.k8s.io/v1",
        "StorageClass",
        {
            "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "ebs.csi.aws.com",
        },
        ["web (default)", "ebs.csi.aws.com", "Delete", "Immediate", False, "90s"],
        id="default class",
    ),
    pytest.param(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        {
            "spec": {
                "minReplicas": 1,
                "maxReplicas": 9,
                "scaleTargetRef": {"kind": "Deployment", "name": "web"},
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {"name": "cpu", "target": {"averageUtilization": 80}},
                    }
                ],
            },
            "status": {"currentReplicas": 2},
        },
        ["web", "Deployment/web", "cpu: <unknown>/80%", "1", 9, 2, "90s"],
        id="autoscaler",
    ),
    pytest.param(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        {
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [
                {"kind": "User", "name": "ann"},
                {"kind": "User", "name": "bob"},
                {"kind": "ServiceAccount", "name": "sa", "namespace": "ns"},
            ],
        },
        ["web", "Role/r", "90s", "ann, bob", "", "ns/sa"],
        id="role binding",
    ),
    pytest.param(
        "rbac.authorization.k8s.io/v1", "ClusterRole", {}, ["web", ago(90)], id="cluster role"
    ),
    pytest.param(
        "networking.k8s.io/v1",
        "Ingress",
        {"spec": {"tls": [{}], "rules": [{"host": "a.b"}]}, "status": {}},
        ["web", "<none>", "a.b", "", "80, 443", "90s"],
        id="ingress",
    ),
    pytest.param(
        "certificates.k8s.io/v1",
        "CertificateSigningRequest",
        {
            "spec": {"signerName": "s", "username": "ann", "expirationSeconds": 7200},
            "status": {"conditions": [{"type": "Approved"}], "certificate": "x"},
        },
        ["web", "90s", "s", "ann", "120m", "Approved,Issued"],
        id="signing request",
    ),
]


@pytest.mark.parametrize(("api_version", "kind", "parts", "expected"), ROWS)
def test_rows_read_as_upstreams(
    api_version: str, kind: str, parts: dict[str, Any], expected: list[Any]
) -> None:
    assert row(api_version, kind, **parts) == expected


def test_every_row_has_as_many_cells_as_there_are_columns() -> None:
    for info in CATALOG.resources.values():
        obj = {"metadata": {"name": "a"}, "spec": {}}
        cells = tables.row_cells(info, obj, NOW)
        assert len(cells) == len(tables.columns(info)), info.kind


def test_the_columns_of_pods_are_upstreams() -> None:
    columns = tables.columns(CATALOG.by_kind["v1", "Pod"])
    assert [(column["name"], column["priority"]) for column in columns] == [
        ("Name", 0),
        ("Ready", 0),
        ("Status", 0),
        ("Restarts", 0),
        ("Age", 0),
        ("IP", 1),
        ("Node", 1),
        ("Nominated Node", 1),
        ("Readiness Gates", 1),
    ]
    assert columns[0] | {"description": ""} == {
        "name": "Name",
        "type": "string",
        "format": "name",
        "description": "",
        "priority": 0,
    }
