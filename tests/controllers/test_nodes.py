"""What controllers do about nodes: daemon sets, silence, taints, eviction."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from ekslab.kit.clock import rfc3339
from ekslab.kube.api.objects import editable
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import CONTROLLER_REVISIONS, DAEMON_SETS, LEASES, NODES, PODS
from ekslab.kube.controllers.daemon_set.controller import DaemonSetController
from ekslab.kube.controllers.daemon_set.plan import should_run, view_node, wishes
from ekslab.kube.controllers.node_lifecycle.controller import NodeLifecycleController
from ekslab.kube.controllers.node_lifecycle.plan import ZoneState, evictions_per_s, zone_state
from ekslab.kube.controllers.taint_eviction.controller import TaintEvictionController
from ekslab.kube.controllers.taint_eviction.plan import leave_at_s, no_execute
from ekslab.kube.controllers.ttl.controller import TtlController
from ekslab.kube.controllers.ttl.plan import ANNOTATION, step_for
from ekslab.kube.runtime.controller import Controller
from tests.controllers.world import World, lived, pinned_to, pod, template


def controllers(world: World) -> Sequence[Controller[Any]]:
    return [
        DaemonSetController(world.tools("daemon-set-controller"), world.pods),
        NodeLifecycleController(world.tools("node-controller"), world.pods),
        TaintEvictionController(world.tools("node-controller"), world.pods),
        TtlController(world.tools("ttl-controller")),
    ]


def node(name: str, *, taints: Sequence[Object] = (), **labels: str) -> Object:
    return {
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}},
        "spec": {"taints": list(taints)},
        "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]},
    }  # fmt: skip


def daemon_set(image: str = "nginx", **pod_spec: Any) -> Object:
    wanted = template(image)
    wanted["spec"] |= pod_spec
    return {
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": "ns"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": wanted,
            "updateStrategy": {
                "type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
            },
            "revisionHistoryLimit": 10,
        },
    }  # fmt: skip


_NO_SCHEDULE = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
_NO_EXECUTE = {"key": "dedicated", "value": "db", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("the_node", "pod_spec", "expected"),
    [
        pytest.param(node("a"), {}, (True, True), id="an ordinary node"),
        pytest.param(node("a"), {"nodeName": "b"}, (False, False), id="another node by name"),
        pytest.param(
            node("a"), {"nodeSelector": {"disk": "ssd"}}, (False, False), id="labels do not match"
        ),
        pytest.param(
            node("a", disk="ssd"), {"nodeSelector": {"disk": "ssd"}}, (True, True), id="they do"
        ),
        pytest.param(
            node("a", taints=[_NO_SCHEDULE]), {}, (False, True), id="NoSchedule keeps the old one"
        ),
        pytest.param(
            node("a", taints=[_NO_EXECUTE]), {}, (False, False), id="NoExecute ends it"
        ),
        pytest.param(
            node("a", taints=[_NO_EXECUTE]),
            {"tolerations": [{"operator": "Exists"}]},
            (True, True),
            id="everything is tolerated",
        ),
        pytest.param(
            node("a", taints=[
                {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"},
                {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
            ]),
            {}, (True, True), id="silence and cordons are always tolerated",
        ),
    ],
)  # fmt: skip
def test_where_a_daemon_runs(
    the_node: Object, pod_spec: Object, expected: tuple[bool, bool]
) -> None:
    assert should_run(wishes(daemon_set(**pod_spec)), view_node(the_node)) == expected


def test_every_node_gets_one_pod_pinned_to_it_also_those_that_come_later() -> None:
    async def story(world: World) -> None:
        for name in ("a", "b"):
            await world.client.create(NODES, node(name))
        await world.client.create(NODES, node("c", taints=[_NO_SCHEDULE]))
        await world.client.create(DAEMON_SETS, daemon_set())
        await world.pass_s(3)
        assert sorted(targets(world)) == ["a", "b"]
        status = world.the(DAEMON_SETS, "agent")["status"]
        assert status == {
            "currentNumberScheduled": 2, "numberMisscheduled": 0, "desiredNumberScheduled": 2,
            "numberReady": 2, "observedGeneration": 1, "updatedNumberScheduled": 2,
            "numberAvailable": 2,
        }  # fmt: skip
        await world.client.create(NODES, node("d"))
        await world.pass_s(3)
        assert sorted(targets(world)) == ["a", "b", "d"]
        reasons = {reason for reason, _ in world.said("agent")}
        assert reasons == {"SuccessfulCreate"}

    lived(controllers, story)


def targets(world: World) -> list[str]:
    return [pinned_to(one) for one in world.all(PODS)]


def test_a_new_template_replaces_pods_one_at_a_time() -> None:
    async def story(world: World) -> None:
        for name in ("a", "b", "c"):
            await world.client.create(NODES, node(name))
        await world.client.create(DAEMON_SETS, daemon_set())
        await world.pass_s(3)

        def renew(obj: Object) -> None:
            obj["spec"]["template"]["spec"]["containers"][0]["image"] = "other"

        await world.change(DAEMON_SETS, "agent", renew)
        least = 3
        for _ in range(100):
            await world.pass_s(0.1)
            ready = [
                one for one in world.all(PODS)
                if "deletionTimestamp" not in one["metadata"]
                and any(c["status"] == "True" for c in one["status"].get("conditions", []))
            ]  # fmt: skip
            least = min(least, len(ready))
        assert least == 2
        images = {one["spec"]["containers"][0]["image"] for one in world.all(PODS)}
        assert images == {"other"}
        revisions = sorted(one["revision"] for one in world.all(CONTROLLER_REVISIONS))
        assert revisions == [1, 2]

    lived(controllers, story)


async def beat(world: World, *names: str) -> None:
    """Renew the leases of nodes."""
    for name in names:
        lease = world.get(LEASES, name, "kube-node-lease")
        spec = {"holderIdentity": name, "renewTime": rfc3339(world.clock.now())}
        if lease is None:
            meta = {"name": name, "namespace": "kube-node-lease"}
            await world.client.create(LEASES, {
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta,
                "spec": spec,
            })  # fmt: skip
        else:
            await world.client.update(LEASES, {**editable(lease), "spec": spec})


def taints_of(world: World, name: str) -> set[tuple[str, str]]:
    spec = world.the(NODES, name, "")["spec"]
    return {(one["key"].split("/")[1], one["effect"]) for one in spec.get("taints") or ()}


def test_a_silent_node_becomes_unknown_is_tainted_and_its_pods_leave() -> None:
    async def story(world: World) -> None:
        for name in ("alive", "silent"):
            await world.client.create(NODES, node(name))
        tolerated = pod("p", node="silent", app="x")
        tolerated["spec"]["tolerations"] = [{
            "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": 300,
        }]  # fmt: skip
        await world.client.create(PODS, tolerated)
        await world.client.create(PODS, pod("q", node="silent", app="x"))
        for _ in range(4):
            await beat(world, "alive", "silent")
            await world.pass_s(10)
        assert taints_of(world, "silent") == set()
        for _ in range(7):
            await beat(world, "alive")
            await world.pass_s(10)
        ready = world.the(NODES, "silent", "")["status"]["conditions"][0]
        assert (ready["status"], ready["reason"], ready["message"]) == (
            "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.",
        )  # fmt: skip
        assert taints_of(world, "silent") == {
            ("unreachable", "NoSchedule"), ("unreachable", "NoExecute"),
        }  # fmt: skip
        assert taints_of(world, "alive") == set()
        assert world.get(PODS, "q") is None
        held = world.the(PODS, "p")
        assert held["status"]["conditions"][0]["status"] == "False"
        assert "deletionTimestamp" not in held["metadata"]
        for _ in range(30):
            await beat(world, "alive")
            await world.pass_s(10)
        assert world.get(PODS, "p") is None
        assert ("TaintManagerEviction", "Marking for deletion Pod ns/p") in world.said("p")

    lived(controllers, story)


def test_a_node_that_is_heard_again_loses_its_taints() -> None:
    async def story(world: World) -> None:
        for name in ("alive", "silent"):
            await world.client.create(NODES, node(name))
        for _ in range(8):
            await beat(world, "alive")
            await world.pass_s(10)
        assert taints_of(world, "silent")
        await beat(world, "silent")
        item = world.api.items["nodes", "", "silent"]
        back = {**editable(item.object), "status": node("silent")["status"]}
        world.api.write(NODES, back, "MODIFIED")
        await world.pass_s(1)
        assert taints_of(world, "silent") == set()

    lived(controllers, story)


def test_where_every_node_is_silent_nobody_is_evicted() -> None:
    async def story(world: World) -> None:
        await world.client.create(NODES, node("only"))
        await world.client.create(PODS, pod("p", node="only", app="x"))
        await world.pass_s(200)
        assert taints_of(world, "only") == {("unreachable", "NoSchedule")}
        assert "deletionTimestamp" not in world.the(PODS, "p")["metadata"]

    lived(controllers, story)


@pytest.mark.parametrize(
    ("ready", "lost", "state", "rate"),
    [
        pytest.param(10, 0, ZoneState.NORMAL, 0.1, id="all well"),
        pytest.param(1, 2, ZoneState.NORMAL, 0.1, id="two lost are no disruption"),
        pytest.param(2, 3, ZoneState.PARTIAL, 0.0, id="a small zone mostly lost is left alone"),
        pytest.param(20, 40, ZoneState.PARTIAL, 0.01, id="a large one is evicted slowly"),
        pytest.param(0, 5, ZoneState.FULL, 0.1, id="a zone lost whole"),
    ],
)
def test_how_fast_a_zone_is_evicted(ready: int, lost: int, state: ZoneState, rate: float) -> None:
    assert zone_state(ready, lost) is state
    assert evictions_per_s(state, ready + lost) == rate


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        pytest.param([], 500.0, id="not tolerated: at once"),
        pytest.param([{"operator": "Exists"}], None, id="tolerated for good"),
        pytest.param(
            [{"operator": "Exists", "tolerationSeconds": 300}], 400.0, id="tolerated for a while"
        ),
        pytest.param(
            [{"key": "other", "operator": "Exists"}], 500.0, id="another taint is tolerated"
        ),
    ],
)
def test_when_a_pod_must_leave(tolerations: list[Object], expected: float | None) -> None:
    taint = {"key": "k", "effect": "NoExecute", "timeAdded": "1970-01-01T00:01:40Z"}
    assert leave_at_s([taint], tolerations, since_s=50.0, now_s=500.0) == expected


def test_a_taint_without_a_time_counts_from_when_it_was_first_seen() -> None:
    bare, own = {"key": "k", "effect": "NoExecute"}, {"key": "own", "effect": "NoExecute"}
    own["timeAdded"] = "1970-01-01T00:00:05Z"
    tainted = {"spec": {"taints": [bare, own, {"key": "other", "effect": "NoSchedule"}]}}
    first = no_execute(tainted, now_s=100.5)
    assert [one["timeAdded"] for one in first] == ["1970-01-01T00:01:40.500000Z", own["timeAdded"]]
    assert no_execute(tainted, known=first, now_s=200.0) == first


@pytest.mark.parametrize(
    ("step", "nodes", "after"),
    [
        pytest.param(0, 100, 0, id="small"),
        pytest.param(0, 101, 1, id="grown"),
        pytest.param(1, 95, 1, id="a little smaller"),
        pytest.param(1, 89, 0, id="small again"),
        pytest.param(0, 3000, 4, id="at once large"),
    ],
)
def test_how_long_kubelets_may_keep_what_they_read(step: int, nodes: int, after: int) -> None:
    assert step_for(step, nodes) == after


def test_every_node_says_how_long_its_kubelet_may_keep_what_it_reads() -> None:
    async def story(world: World) -> None:
        await world.client.create(NODES, node("one"))
        await asyncio.sleep(1)
        assert world.the(NODES, "one", "")["metadata"]["annotations"] == {ANNOTATION: "0"}
        for number in range(100):
            await world.client.create(NODES, node(f"n{number}"))
        await asyncio.sleep(1)
        assert world.the(NODES, "n99", "")["metadata"]["annotations"] == {ANNOTATION: "15"}

    lived(controllers, story)
