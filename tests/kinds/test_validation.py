"""What new objects are refused for, in upstream's words."""

from typing import Any

import pytest

from tests.kinds.building import changed, meta, pod, service, workload, wrong


def job(**spec: Any) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": meta("pi", uid="u"),
        "spec": {"template": template, **spec},
    }


def cron(**spec: Any) -> dict[str, Any]:
    template = {"spec": {"template": job()["spec"]["template"]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": meta("tick"),
        "spec": {"schedule": "*/5 * * * *", "jobTemplate": template, **spec},
    }


def binding(**more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": meta("b"),
        "roleRef": {"kind": "Role", "name": "r"},
        **more,
    }


GOOD = [
    pytest.param(pod(), id="pod"),
    pytest.param(service(), id="service"),
    pytest.param(service(clusterIP="None", ports=[]), id="headless service without ports"),
    pytest.param(workload("Deployment"), id="deployment"),
    pytest.param(workload("ReplicaSet"), id="replica set"),
    pytest.param(workload("DaemonSet"), id="daemon set"),
    pytest.param(workload("StatefulSet", serviceName="web"), id="stateful set"),
    pytest.param(job(), id="job"),
    pytest.param(cron(), id="cron job"),
    pytest.param(binding(), id="role binding"),
]


@pytest.mark.parametrize("obj", GOOD)
def test_good_objects_are_not_refused(obj: Any) -> None:
    assert wrong(obj) == []


OTHERS = [
    pytest.param(
        changed(workload("Deployment"), "spec.selector", {"matchLabels": {"app": "other"}}),
        [
            (
                'spec.template.metadata.labels: Invalid value: {"app":"web"}:'
                " `selector` does not match template `labels`"
            )
        ],
        id="selector that does not match",
    ),
    pytest.param(
        workload("Deployment", selector=None),
        ["spec.selector: Required value"],
        id="no selector",
    ),
    pytest.param(
        workload("Deployment", selector={}),
        ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
        id="empty selector",
    ),
    pytest.param(
        workload("Deployment", replicas=-1),
        ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        id="negative replicas",
    ),
    pytest.param(
        workload("Deployment", strategy={"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}),
        [
            (
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0:"
                " may not be 0 when `maxSurge` is 0"
            )
        ],
        id="a roll that cannot move",
    ),
    pytest.param(
        workload("Deployment", strategy={"type": "Recreate", "rollingUpdate": {}}),
        [
            (
                "spec.strategy.rollingUpdate: Forbidden:"
                " may not be specified when strategy `type` is 'Recreate'"
            )
        ],
        id="recreate with rolling update",
    ),
    pytest.param(
        changed(workload("ReplicaSet"), "spec.template.spec.restartPolicy", "Never"),
        [
            (
                'spec.template.spec.restartPolicy: Unsupported value: "Never":'
                ' supported values: "Always"'
            )
        ],
        id="replica set that does not restart",
    ),
    pytest.param(
        changed(job(), "spec.template.spec.restartPolicy", None),
        ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
        id="job that always restarts",
    ),
    pytest.param(
        cron(schedule="* *"),
        [
            'spec.schedule: Invalid value: "* *": expected exactly 5 fields, found 2: [* *]',
        ],
        id="cron of two fields",
    ),
    pytest.param(
        cron(schedule="61 * * * *"),
        [
            'spec.schedule: Invalid value: "61 * * * *": end of range (61) above maximum (59): 61',
        ],
        id="cron minute out of range",
    ),
    pytest.param(
        cron(timeZone="Mars/Olympus"),
        ['spec.timeZone: Invalid value: "Mars/Olympus": unknown time zone Mars/Olympus'],
        id="unknown time zone",
    ),
    pytest.param(service(ports=[]), ["spec.ports: Required value"], id="service without ports"),
    pytest.param(
        service(ports=[{"port": 80}, {"port": 81}]),
        ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        id="unnamed ports",
    ),
    pytest.param(
        service(type="Magic"),
        [
            (
                'spec.type: Unsupported value: "Magic": supported values: "ClusterIP",'
                ' "ExternalName", "LoadBalancer", "NodePort"'
            )
        ],
        id="service type",
    ),
    pytest.param(
        service(ports=[{"port": 80, "nodePort": 30080}]),
        ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        id="node port of a cluster service",
    ),
    pytest.param(
        changed(service(), "metadata.name", "1web"),
        [
            (
                'metadata.name: Invalid value: "1web": a DNS-1035 label must consist of lower case'
                " alphanumeric characters or '-', start with an alphabetic character,"
                " and end with an"
                " alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used"
                " for validation is"
                " '[a-z]([-a-z0-9]*[a-z0-9])?')"
            )
        ],
        id="service name that begins with a digit",
    ),
    pytest.param(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": meta("c"),
            "data": {"a b": "x"},
        },
        [
            (
                'data[a b]: Invalid value: "a b": a valid config key must consist of alphanumeric'
                " characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or"
                " 'key-name', regex"
                " used for validation is '[-._a-zA-Z0-9]+')"
            )
        ],
        id="config key",
    ),
    pytest.param(
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta("s"), "type": "kubernetes.io/tls"},
        ["data[tls.crt]: Required value", "data[tls.key]: Required value"],
        id="tls secret without keys",
    ),
    pytest.param(
        binding(roleRef={"kind": "Thing", "name": "r"}),
        ['roleRef.kind: Unsupported value: "Thing": supported values: "Role", "ClusterRole"'],
        id="binding to a thing",
    ),
    pytest.param(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": meta("r"),
            "rules": [{"apiGroups": [""], "resources": ["pods"]}],
        },
        ["rules[0].verbs: Required value: verbs must contain at least one value"],
        id="rule without verbs",
    ),
    pytest.param(
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "high"},
            "value": 1_000_000_001,
        },
        ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
        id="priority too high",
    ),
    pytest.param(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": meta("i"),
            "spec": {"rules": [{"host": "a.b", "http": {"paths": [{"path": "/", "backend": {}}]}}]},
        },
        [
            "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
            (
                "spec.rules[0].http.paths[0].backend: Required value:"
                " resource or service backend is required"
            ),
        ],
        id="ingress without path type and backend",
    ),
    pytest.param(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": meta("b"),
            "spec": {"minAvailable": 1, "maxUnavailable": 1},
        },
        [
            (
                'spec: Invalid value: {"minAvailable":1,"maxUnavailable":1}:'
                " minAvailable and maxUnavailable cannot be both set"
            )
        ],
        id="budget with both bounds",
    ),
    pytest.param(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": meta("h"),
            "spec": {
                "minReplicas": 3,
                "maxReplicas": 2,
                "scaleTargetRef": {"kind": "Deployment", "name": "web"},
            },
        },
        ["spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`"],
        id="autoscaler with crossed bounds",
    ),
    pytest.param(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": meta("c"),
            "spec": {},
        },
        [
            "spec.accessModes: Required value: at least 1 access mode is required",
            "spec.resources[storage]: Required value",
        ],
        id="empty claim",
    ),
    pytest.param(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": meta("l"),
            "spec": {"leaseDurationSeconds": 0},
        },
        ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
        id="lease of no time",
    ),
    pytest.param(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": meta("e"),
            "involvedObject": {"kind": "Pod", "name": "p", "namespace": "other"},
        },
        ['involvedObject.namespace: Invalid value: "other": does not match event.namespace'],
        id="event about another namespace",
    ),
    pytest.param(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": meta("s"),
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["127.0.0.1"]}],
        },
        [
            (
                'endpoints[0].addresses[0]: Invalid value: "127.0.0.1":'
                " may not be in the loopback range (127.0.0.0/8, ::1/128)"
            )
        ],
        id="loopback endpoint",
    ),
    pytest.param(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.acme.io"},
            "spec": {
                "group": "acme.dev",
                "scope": "Namespaced",
                "names": {"plural": "things", "kind": "Thing"},
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": {"type": "object"}},
                    }
                ],
            },
        },
        [
            (
                'metadata.name: Invalid value: "things.acme.io":'
                ' must be spec.names.plural+"."+spec.group'
            )
        ],
        id="definition with another name",
    ),
]


@pytest.mark.parametrize(("obj", "expected"), OTHERS)
def test_other_kinds_are_refused_in_upstreams_words(obj: Any, expected: list[str]) -> None:
    cleaned = changed(obj, "spec.selector", None) if _null_selector(obj) else obj
    assert wrong(cleaned) == expected


def _null_selector(obj: dict[str, Any]) -> bool:
    spec = obj.get("spec") or {}
    return "selector" in spec and spec["selector"] is None


@pytest.mark.parametrize(
    ("kind", "metadata", "expected"),
    [
        pytest.param(
            "ConfigMap",
            {"namespace": "default"},
            ["metadata.name: Required value: name or generateName is required"],
            id="no name",
        ),
        pytest.param(
            "ConfigMap", {"name": "a"}, ["metadata.namespace: Required value"], id="no namespace"
        ),
        pytest.param(
            "Namespace",
            {"name": "a", "namespace": "b"},
            ["metadata.namespace: Forbidden: not allowed on this type"],
            id="namespace of a cluster object",
        ),
        pytest.param(
            "Namespace",
            {"name": "a.b"},
            ['metadata.name: Invalid value: "a.b": must not contain dots'],
            id="dots in a namespace",
        ),
        pytest.param(
            "ConfigMap",
            {"name": "a", "namespace": "b", "ownerReferences": [{"apiVersion": "v1"}]},
            [
                'metadata.ownerReferences[0].kind: Invalid value: "": must not be empty',
                'metadata.ownerReferences[0].name: Invalid value: "": must not be empty',
                'metadata.ownerReferences[0].uid: Invalid value: "": must not be empty',
            ],
            id="half an owner",
        ),
    ],
)
def test_metadata_is_refused_in_upstreams_words(
    kind: str, metadata: Any, expected: list[str]
) -> None:
    assert wrong({"apiVersion": "v1", "kind": kind, "metadata": metadata}) == expected
