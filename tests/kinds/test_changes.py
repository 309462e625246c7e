"""What may change, what may not, and what a change does to generation and status."""

import copy
from typing import Any

import pytest

from tests.kinds.building import (
    changed,
    created,
    meta,
    pod,
    service,
    strategy,
    workload,
    wrong_change,
)

PVC = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": meta("c"),
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "gp3",
        "volumeName": "pv",
        "resources": {"requests": {"storage": "2Gi"}},
    },
}
ROLE_BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "RoleBinding",
    "metadata": meta("b"),
    "roleRef": {"kind": "Role", "name": "r"},
}
FROZEN = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": meta("c"),
    "immutable": True,
    "data": {"a": "b"},
}
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "n"},
    "spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"], "providerID": "aws:///a/i-1"},
}
TAGGED = changed(pod(), "spec.containers.0.image", "nginx:1")
STATEFUL_TEXT = (
    "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals',"
    " 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy'"
    " and 'minReadySeconds' are forbidden"
)


@pytest.mark.parametrize(
    ("old", "path", "value", "expected"),
    [
        pytest.param(TAGGED, "spec.containers.0.image", "nginx:2", [], id="pod image"),
        pytest.param(pod(), "metadata.labels", {"a": "b"}, [], id="pod labels"),
        pytest.param(
            pod(),
            "spec.containers",
            [{"name": "web", "image": "nginx"}, {"name": "b", "image": "i"}],
            ["spec.containers: Forbidden: pod updates may not add or remove containers"],
            id="pod containers",
        ),
        pytest.param(
            pod(),
            "spec.nodeSelector",
            {"zone": "a"},
            [
                (
                    "spec: Forbidden: pod updates may not change fields other than"
                    " `spec.containers[*].image`,`spec.initContainers[*].image`,"
                    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing"
                    " tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if"
                    " it was previously negative)\n"
                    "  core.PodSpec{\n"
                    '+ \tnodeSelector: {"zone":"a"},\n'
                    "  }\n"
                )
            ],
            id="pod node selector",
        ),
        pytest.param(
            pod(schedulingGates=[{"name": "acme.io/wait"}]),
            "spec.nodeSelector",
            {"zone": "a"},
            [],
            id="node selector of a gated pod",
        ),
        pytest.param(
            pod(tolerations=[{"key": "a", "operator": "Exists"}]),
            "spec.tolerations",
            [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}],
            [],
            id="one more toleration",
        ),
        pytest.param(
            pod(tolerations=[{"key": "a", "operator": "Exists"}]),
            "spec.tolerations",
            [],
            [
                (
                    "spec.tolerations: Forbidden: existing toleration can not be modified except"
                    " its tolerationSeconds"
                )
            ],
            id="one toleration less",
        ),
        pytest.param(workload("Deployment"), "spec.replicas", 5, [], id="deployment replicas"),
        pytest.param(
            workload("Deployment"),
            "spec.selector",
            {"matchLabels": {"app": "web"}, "matchExpressions": []},
            [
                (
                    "spec.selector: Invalid value:"
                    ' {"matchLabels":{"app":"web"},"matchExpressions":[]}: field is immutable'
                )
            ],
            id="deployment selector",
        ),
        pytest.param(workload("StatefulSet"), "spec.replicas", 2, [], id="stateful replicas"),
        pytest.param(
            workload("StatefulSet"),
            "spec.serviceName",
            "other",
            [STATEFUL_TEXT],
            id="stateful service name",
        ),
        pytest.param(
            service(clusterIP="10.100.0.7"),
            "spec.clusterIP",
            "10.100.0.8",
            ['spec.clusterIPs[0]: Invalid value: ["10.100.0.8"]: may not change once set'],
            id="service address",
        ),
        pytest.param(
            service(clusterIP="10.100.0.7"),
            "spec.clusterIP",
            None,
            [],
            id="service address left out",
        ),
        pytest.param(
            FROZEN,
            "data",
            {"a": "c"},
            ["data: Forbidden: field is immutable when `immutable` is set"],
            id="frozen config",
        ),
        pytest.param(
            ROLE_BINDING,
            "roleRef.name",
            "other",
            [
                (
                    'roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io",'
                    '"Kind":"Role","Name":"other"}: cannot change roleRef'
                )
            ],
            id="bound role",
        ),
        pytest.param(
            NODE,
            "spec.podCIDRs",
            ["10.0.1.0/24"],
            [
                (
                    'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from ""'
                    " to valid"
                )
            ],
            id="node address range",
        ),
        pytest.param(NODE, "spec.unschedulable", True, [], id="cordon"),
        pytest.param(PVC, "spec.resources.requests.storage", "3Gi", [], id="claim grows"),
        pytest.param(
            PVC,
            "spec.resources.requests.storage",
            "1Gi",
            [
                (
                    "spec.resources.requests.storage: Forbidden: field can not be less than"
                    " status.capacity"
                )
            ],
            id="claim shrinks",
        ),
        pytest.param(
            PVC,
            "spec.storageClassName",
            "io2",
            [
                (
                    "spec: Forbidden: spec is immutable after creation except resources.requests"
                    " and volumeAttributesClassName for bound claims"
                )
            ],
            id="class of a claim",
        ),
        pytest.param(
            changed(pod(), "metadata.deletionTimestamp", "2026-01-01T00:00:00Z"),
            "metadata.finalizers",
            ["acme.io/x"],
            [
                (
                    "metadata.finalizers: Forbidden: no new finalizers can be added if the object"
                    ' is being deleted, found new finalizers []string{"acme.io/x"}'
                )
            ],
            id="finalizer of a dying pod",
        ),
    ],
)
def test_changes_are_judged_as_upstream_does(
    old: Any, path: str, value: Any, expected: list[str]
) -> None:
    assert wrong_change(old, changed(old, path, value)) == expected


@pytest.mark.parametrize(
    ("path", "value", "generation"),
    [
        pytest.param("spec.replicas", 3, 2, id="spec"),
        pytest.param("metadata.labels", {"a": "b"}, 1, id="labels"),
        pytest.param("metadata.annotations", {"a": "b"}, 2, id="annotations of a deployment"),
        pytest.param("status.replicas", 7, 1, id="status"),
    ],
)
def test_the_generation_counts_changes_of_the_spec(path: str, value: Any, generation: int) -> None:
    known, old = strategy("apps/v1", "Deployment"), created(workload("Deployment"))
    new = changed(old, path, value)
    known.prepare_update(new, old)
    assert new["metadata"]["generation"] == generation
    assert new["status"] == {}


def test_a_status_update_changes_nothing_but_the_status() -> None:
    known, old = strategy("v1", "Pod"), created(pod())
    new = changed(changed(old, "spec.nodeName", "n"), "status.phase", "Running")
    known.prepare_status_update(new, old)
    assert new["spec"] == old["spec"]
    assert new["status"] == {"phase": "Running", "qosClass": "BestEffort"}


def test_preparing_an_update_never_changes_the_old_object() -> None:
    for obj in (pod(), service(type="NodePort"), workload("Deployment"), NODE, PVC):
        known, old = strategy(obj["apiVersion"], obj["kind"]), created(obj)
        before = copy.deepcopy(old)
        new = copy.deepcopy(obj)
        known.default(new)
        known.prepare_update(new, old)
        known.validate_update(new, old)
        assert old == before


def test_node_ports_that_a_client_leaves_out_are_kept() -> None:
    old = created(service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}]))
    new = copy.deepcopy(service(type="NodePort"))
    known = strategy("v1", "Service")
    known.default(new)
    known.prepare_update(new, old)
    assert new["spec"]["ports"][0]["nodePort"] == 30080


def test_a_service_that_becomes_external_loses_its_address() -> None:
    old = created(service(clusterIP="10.100.0.7"))
    new = changed(changed(old, "spec.type", "ExternalName"), "spec.externalName", "a.example")
    known = strategy("v1", "Service")
    known.default(new)
    known.prepare_update(new, old)
    assert known.validate_update(new, old) == []
    assert not {"clusterIP", "clusterIPs", "ipFamilies"} & new["spec"].keys()


@pytest.mark.parametrize(
    ("spec", "phase", "requested", "grace"),
    [
        pytest.param({"nodeName": "n"}, "Running", None, 30, id="its own"),
        pytest.param({"nodeName": "n"}, "Running", 5, 5, id="requested"),
        pytest.param({"nodeName": "n"}, "Running", 0, 0, id="now"),
        pytest.param({}, "Pending", None, 0, id="nobody runs it"),
        pytest.param({"nodeName": "n"}, "Succeeded", None, 0, id="it is over"),
    ],
)
def test_the_grace_of_a_deleted_pod(
    spec: Any, phase: str, requested: int | None, grace: int
) -> None:
    obj = changed(created(pod(**spec)), "status.phase", phase)
    assert strategy("v1", "Pod").deletion_grace_s(obj, requested) == grace


def test_pods_are_selectable_by_upstreams_fields() -> None:
    known = strategy("v1", "Pod")
    made = changed(created(pod(nodeName="n")), "status.podIPs", [{"ip": "10.0.0.1"}])
    found = known.fields(made)
    assert found.keys() | {"spec.host"} == known.selectable
    assert found["spec.nodeName"] == "n"
    assert found["status.podIPs"] == "10.0.0.1"
    assert found["spec.hostNetwork"] == "false"
