"""What the controller of stateful sets does, on virtual time."""

from typing import Any

import pytest

from ekslab.kube.api.ports import PatchType
from ekslab.kube.api.well_known import CONTROLLER_REVISIONS, PODS, STATEFUL_SETS
from tests.conformance.api import Object
from tests.conformance.objects import UNREADY, new_image, workload
from tests.conformance.running import Running, condition, image_of, lived

conformance = pytest.mark.conformance


def stateful(name: str, **spec: Any) -> Object:
    return workload(name, serviceName=name, **spec)


def pod_images(lab: Running) -> list[str]:
    """The images of all pods, by their ordinals."""
    return [image_of(one) for one in lab.all(PODS)]


GATE = "example.com/gate"  # a pod is Ready only while it has this condition
OPEN = {"status": {"conditions": [{"type": GATE, "status": "True"}]}}
SHUT = {"status": {"conditions": [{"type": GATE, "status": "False"}]}}


@conformance("statefulset-ordered-scaling")
@lived()
async def test_pods_of_a_stateful_set_come_and_go_in_order(lab: Running) -> None:
    await lab.create(STATEFUL_SETS, stateful("db", replicas=3))
    await lab.until(lambda: lab.ready() == 3)
    ready = [condition(one, "Ready")["lastTransitionTime"] for one in lab.all(PODS)]
    made = [one["metadata"]["creationTimestamp"] for one in lab.all(PODS)]
    assert all(before <= after for before, after in zip(ready, made[1:], strict=False))
    assert lab.names(PODS) == ["db-0", "db-1", "db-2"]
    await lab.patch(STATEFUL_SETS, "db", {"spec": {"replicas": 0}})
    for left in (["db-0", "db-1"], ["db-0"], []):
        await lab.until(lambda left=left: len(lab.names(PODS)) == len(left))
        assert lab.names(PODS) == left


@conformance("statefulset-ordered-scaling")
@lived()
async def test_a_pod_that_is_not_ready_halts_both_directions(lab: Running) -> None:
    body = stateful("db", replicas=3)
    body["spec"]["template"]["spec"]["readinessGates"] = [{"conditionType": GATE}]
    await lab.create(STATEFUL_SETS, body)
    for number in range(3):
        await lab.until(lambda number=number: is_running(lab, f"db-{number}"))
        await lab.sleep(60)
        assert lab.names(PODS)[-1] == f"db-{number}"
        await gate(lab, f"db-{number}", OPEN)
    await lab.until(lambda: lab.ready() == 3)
    for name in lab.names(PODS):
        await gate(lab, name, SHUT)
    await lab.until(lambda: lab.ready() == 0)
    await lab.patch(STATEFUL_SETS, "db", {"spec": {"replicas": 0}})
    await lab.sleep(60)
    assert lab.names(PODS) == ["db-0", "db-1", "db-2"]
    for name in lab.names(PODS):
        await gate(lab, name, OPEN)
    await lab.until(lambda: lab.names(PODS) == [])


def is_running(lab: Running, name: str) -> bool:
    found = lab.find(PODS, name)
    return found is not None and found["status"]["phase"] == "Running"


async def gate(lab: Running, name: str, change: Object) -> None:
    """Open or shut the gate of a pod."""
    await lab.client.patch(
        PODS, name, "default", patch=change, patch_type=PatchType.STRATEGIC, subresource="status"
    )


@conformance("statefulset-burst")
@lived()
async def test_parallel_pods_wait_for_no_one(lab: Running) -> None:
    body = stateful("db", replicas=3, podManagementPolicy="Parallel")
    body["spec"]["template"]["metadata"]["annotations"] = UNREADY
    probe = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}
    body["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = probe
    await lab.create(STATEFUL_SETS, body)
    await lab.until(lambda: lab.names(PODS) == ["db-0", "db-1", "db-2"])
    await lab.until(lambda: {one["status"]["phase"] for one in lab.all(PODS)} == {"Running"})
    assert lab.ready() == 0
    await lab.patch(STATEFUL_SETS, "db", {"spec": {"replicas": 0}})
    await lab.until(lambda: lab.names(PODS) == [])


@conformance("statefulset-recreate-evicted")
@lived()
async def test_a_failed_pod_is_made_again_by_its_name(lab: Running) -> None:
    await lab.create(STATEFUL_SETS, stateful("db", replicas=1))
    await lab.until(lambda: lab.ready() == 1)
    before = lab.one(PODS, "db-0")["metadata"]["uid"]
    failed = {"status": {"phase": "Failed", "reason": "Evicted"}}
    await lab.patch(PODS, "db-0", failed, "status")
    await lab.until(lambda: is_another(lab, "db-0", before) and lab.ready() == 1)


def is_another(lab: Running, name: str, uid: str) -> bool:
    """Whether there is a pod of this name that is not the one of this uid."""
    found = lab.find(PODS, name)
    return found is not None and found["metadata"]["uid"] != uid


@conformance("statefulset-rolling-update")
@lived()
async def test_a_changed_template_goes_from_the_last_pod_to_the_first(lab: Running) -> None:
    await lab.create(STATEFUL_SETS, stateful("db", replicas=3))
    await lab.until(lambda: lab.ready() == 3)
    status = lab.one(STATEFUL_SETS, "db")["status"]
    first = status["currentRevision"]
    assert status["updateRevision"] == first
    await lab.patch(STATEFUL_SETS, "db", new_image("nginx:2"))
    for updated in (1, 2, 3):
        await lab.until(lambda updated=updated: pod_images(lab).count("nginx:2") == updated)
        assert pod_images(lab)[-updated:] == ["nginx:2"] * updated
    await lab.until(lambda: lab.ready() == 3)
    await lab.until(lambda: lab.one(STATEFUL_SETS, "db")["status"]["currentRevision"] != first)
    status = lab.one(STATEFUL_SETS, "db")["status"]
    assert status["currentRevision"] == status["updateRevision"]
    await lab.patch(STATEFUL_SETS, "db", new_image("nginx:1"))
    await lab.until(lambda: pod_images(lab) == ["nginx:1"] * 3 and lab.ready() == 3)
    await lab.until(lambda: lab.one(STATEFUL_SETS, "db")["status"]["currentRevision"] == first)
    assert len(lab.names(CONTROLLER_REVISIONS)) == 2


@conformance("statefulset-canary")
@lived()
async def test_a_partition_holds_back_the_lower_ordinals(lab: Running) -> None:
    def strategy(partition: int) -> Object:
        rolling = {"partition": partition}
        return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}

    await lab.create(STATEFUL_SETS, stateful("db", replicas=3, **strategy(2)))
    await lab.until(lambda: lab.ready() == 3)
    await lab.patch(STATEFUL_SETS, "db", new_image("nginx:2"))
    await lab.until(lambda: pod_images(lab)[-1] == "nginx:2" and lab.ready() == 3)
    await lab.sleep(60)
    canary = ["nginx:1", "nginx:1", "nginx:2"]
    assert pod_images(lab) == canary
    for name in ("db-0", "db-2"):
        uid = lab.one(PODS, name)["metadata"]["uid"]
        await lab.delete(PODS, name)
        await lab.until(lambda name=name, uid=uid: is_another(lab, name, uid))
    await lab.until(lambda: lab.ready() == 3)
    assert pod_images(lab) == canary
    await lab.patch(STATEFUL_SETS, "db", {"spec": strategy(0)})
    await lab.until(lambda: pod_images(lab) == ["nginx:2"] * 3 and lab.ready() == 3)
