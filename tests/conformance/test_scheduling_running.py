"""Placement and preemption, on virtual time."""

import pytest

from ekslab.kube.api.well_known import EVENTS, NODES, PODS, PRIORITY_CLASSES, REPLICA_SETS
from tests.conformance.api import Object
from tests.conformance.objects import pod, workload
from tests.conformance.running import Running, condition, is_ready, lived

conformance = pytest.mark.conformance


def sized(name: str, cpu: str, **spec: object) -> Object:
    """A pod that asks for so much CPU."""
    body = pod(name, **spec)
    body["spec"]["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
    return body


async def make_classes(lab: Running, **values: int) -> None:
    """Make priority classes."""
    for name, value in values.items():
        body = {"metadata": {"name": name}, "value": value}
        await lab.create(PRIORITY_CLASSES, body, namespace="")


def node_of(lab: Running, name: str) -> str:
    return str(lab.one(PODS, name)["spec"].get("nodeName", ""))


@conformance("two-schedulable-nodes")
@lived(nodes=2)
async def test_pods_are_placed_on_both_of_two_nodes(lab: Running) -> None:
    nodes = lab.all(NODES, "")
    assert len(nodes) == 2
    assert all(is_ready(node) and not node["spec"].get("taints") for node in nodes)
    for name in ("one", "two"):
        await lab.create(PODS, sized(name, "2"))
    await lab.until(lambda: lab.ready() == 2)
    assert {node_of(lab, "one"), node_of(lab, "two")} == set(lab.names(NODES, ""))


@conformance("sched-resource-limits")
@lived(nodes=2)
async def test_what_fits_nowhere_stays_pending_and_says_why(lab: Running) -> None:
    for number in range(2):
        await lab.create(PODS, sized(f"filler-{number}", "3"))
    await lab.until(lambda: lab.ready() == 2)
    await lab.create(PODS, sized("additional", "2"))
    await lab.until(lambda: any(one["reason"] == "FailedScheduling" for one in lab.all(EVENTS)))
    await lab.sleep(60)
    assert lab.phase("additional") == "Pending"
    assert node_of(lab, "additional") == ""
    told = condition(lab.one(PODS, "additional"), "PodScheduled")
    assert (told["status"], told["reason"]) == ("False", "Unschedulable")
    assert "0/2 nodes are available: 2 Insufficient cpu" in told["message"]


@conformance("sched-node-selector-match")
@lived(nodes=2)
async def test_a_selector_leads_a_pod_to_its_node(lab: Running) -> None:
    chosen = lab.names(NODES, "")[1]
    await lab.patch(NODES, chosen, {"metadata": {"labels": {"k": "v"}}}, namespace="")
    await lab.create(PODS, pod("choosy", nodeSelector={"k": "v"}))
    await lab.until(lambda: lab.ready() == 1)
    assert node_of(lab, "choosy") == chosen


@conformance("sched-node-selector-mismatch")
@lived(nodes=2)
async def test_a_selector_that_no_node_fits_keeps_a_pod_pending(lab: Running) -> None:
    await lab.create(PODS, pod("choosy", nodeSelector={"k": "nowhere"}))
    await lab.until(lambda: condition(lab.one(PODS, "choosy"), "PodScheduled"))
    await lab.sleep(60)
    assert lab.phase("choosy") == "Pending"
    assert condition(lab.one(PODS, "choosy"), "PodScheduled")["reason"] == "Unschedulable"


def with_host_port(name: str, host_ip: str, **spec: object) -> Object:
    body = pod(name, **spec)
    port = {"containerPort": 80, "hostPort": 54322, "hostIP": host_ip, "protocol": "TCP"}
    body["spec"]["containers"][0]["ports"] = [port]
    return body


@conformance("sched-hostport-conflict")
@lived(nodes=2)
async def test_a_host_port_on_all_addresses_is_taken_on_each(lab: Running) -> None:
    chosen = lab.names(NODES, "")[0]
    selector = {"kubernetes.io/hostname": chosen}
    await lab.create(PODS, with_host_port("first", "0.0.0.0", nodeSelector=selector))
    await lab.until(lambda: lab.ready() == 1)
    await lab.create(PODS, with_host_port("second", "127.0.0.1", nodeSelector=selector))
    await lab.until(lambda: condition(lab.one(PODS, "second"), "PodScheduled"))
    await lab.sleep(60)
    assert node_of(lab, "second") == ""


@conformance("preemption-basic")
@lived(nodes=2)
async def test_a_pod_of_higher_priority_takes_the_place_of_a_lower(lab: Running) -> None:
    await make_classes(lab, low=1, middle=100, high=1000)
    await lab.create(PODS, sized("low", "3", priorityClassName="low"))
    await lab.until(lambda: lab.ready() == 1)
    await lab.create(PODS, sized("middle", "3", priorityClassName="middle"))
    await lab.until(lambda: lab.ready() == 2)
    place = node_of(lab, "low")
    await lab.create(PODS, sized("high", "3", priorityClassName="high"))
    await lab.until(lambda: node_of(lab, "high"))
    assert lab.find(PODS, "low") is None
    assert node_of(lab, "high") == place
    assert lab.phase("middle") == "Running"


@conformance("preemption-critical")
@lived(nodes=2)
async def test_a_critical_pod_displaces_a_lesser(lab: Running) -> None:
    await make_classes(lab, low=1, middle=100)
    await lab.create(PODS, sized("low", "3", priorityClassName="low"))
    await lab.create(PODS, sized("middle", "3", priorityClassName="middle"))
    await lab.until(lambda: lab.ready() == 2)
    critical = sized("critical", "3", priorityClassName="system-cluster-critical")
    await lab.create(PODS, critical, namespace="kube-system")
    await lab.until(
        lambda: lab.one(PODS, "critical", namespace="kube-system")["spec"].get("nodeName")
    )
    assert lab.find(PODS, "low") is None
    assert lab.phase("middle") == "Running"


@conformance("preemption-disruption-condition")
@lived(nodes=1)
async def test_a_preempted_pod_says_so_while_its_finalizer_keeps_it(lab: Running) -> None:
    await make_classes(lab, low=1, high=1000)
    body = sized("low", "3", priorityClassName="low")
    body["metadata"]["finalizers"] = ["example.com/test-finalizer"]
    await lab.create(PODS, body)
    await lab.until(lambda: lab.ready() == 1)
    await lab.create(PODS, sized("high", "3", priorityClassName="high"))
    await lab.until(lambda: "deletionTimestamp" in lab.one(PODS, "low")["metadata"])
    told = condition(lab.one(PODS, "low"), "DisruptionTarget")
    assert (told["status"], told["reason"]) == ("True", "PreemptionByScheduler")
    await lab.sleep(60)
    assert lab.find(PODS, "low") is not None
    await lab.patch(PODS, "low", {"metadata": {"finalizers": None}})
    await lab.until(lambda: lab.find(PODS, "low") is None)
    await lab.until(lambda: node_of(lab, "high"))


@conformance("preemption-path")
@lived(nodes=1)
async def test_replica_sets_end_with_what_their_priorities_leave_them(lab: Running) -> None:
    await make_classes(lab, p1=1, p2=2, p3=3, p4=4)

    async def make(name: str, replicas: int, cpu: str) -> None:
        body = workload(name, replicas=replicas)
        spec = body["spec"]["template"]["spec"]
        spec["priorityClassName"] = name
        spec["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
        await lab.create(REPLICA_SETS, body)

    await make("p1", 5, "300m")
    await make("p2", 4, "300m")
    await make("p3", 4, "200m")
    await lab.until(lambda: lab.ready() == 13)  # 3500m of 3920m
    await make("p4", 1, "1500m")
    await lab.until(lambda: lab.ready(app="p4") == 1)
    await lab.sleep(120)
    # Four of the lowest make room: 420m were free, 1200m are freed.
    ready = [lab.ready(app=name) for name in ("p1", "p2", "p3", "p4")]
    assert ready == [1, 4, 4, 1]
