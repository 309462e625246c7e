"""Scheduler and simulated nodes against the real API server, on virtual time."""

from ekslab.kit.clock import parse_rfc3339
from ekslab.kube.api.ports import LogOptions
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import LEASES, PODS
from ekslab.testing.cluster import TestCluster, run_virtual


def pod(name: str, **spec: object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "web", "image": "nginx"}], **spec},
    }


def shown(lab: TestCluster, name: str, resource: Resource = PODS) -> Object:
    item = lab.cluster.lister.get(resource, name, "default")
    assert item is not None
    return item.object


def test_pods_come_to_run_and_no_reason_stays_behind() -> None:
    async def story(lab: TestCluster) -> None:
        await lab.add_nodes(3)
        for number in range(3):
            await lab.admin.create(PODS, pod(f"web-{number}"))
        await lab.until(lambda: lab.ready_pods() == 3, patience_s=20)
        status = shown(lab, "web-0")["status"]
        assert {row["status"] for row in status["conditions"]} == {"True"}
        assert [row for row in status["conditions"] if "reason" in row or "message" in row] == []
        connection = lab.cluster.nodes.connect(shown(lab, "web-0")["spec"]["nodeName"])
        pieces = [piece async for piece in connection.logs("default", "web-0", LogOptions())]
        assert pieces[0].startswith(b"simulated by ekslab")
        await lab.admin.delete(PODS, "web-0", "default")
        await lab.until(lambda: len(lab.pods()) == 2, patience_s=20)

    run_virtual(story)


def test_leases_are_renewed_for_ever() -> None:
    async def story(lab: TestCluster) -> None:
        await lab.add_nodes(1)
        await lab.clock.sleep(120)
        lease = await lab.admin.get(LEASES, "sim-00001", "kube-node-lease")
        assert lab.clock.now() - parse_rfc3339(lease["spec"]["renewTime"]) <= 10

    run_virtual(story)


def test_a_more_important_pod_gets_the_place_of_a_lesser_one() -> None:
    async def story(lab: TestCluster) -> None:
        await lab.add_nodes(1)
        want = {"requests": {"cpu": "3"}}
        box = {"name": "web", "image": "nginx", "resources": want}
        await lab.admin.create(PODS, pod("low", containers=[box]))
        await lab.until(lambda: lab.ready_pods() == 1, patience_s=20)
        critical = "system-cluster-critical"
        await lab.admin.create(PODS, pod("vip", containers=[box], priorityClassName=critical))
        await lab.until(lambda: [one.name for one in lab.pods()] == ["vip"], patience_s=60)
        await lab.until(lambda: lab.ready_pods() == 1, patience_s=60)

    run_virtual(story)
