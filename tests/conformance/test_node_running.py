"""What simulated nodes show of the life of pods, and what taints do to them, on virtual time."""

from ipaddress import ip_address

import pytest

from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import NODES, PODS
from tests.conformance.api import Object
from tests.conformance.objects import pod
from tests.conformance.running import Running, condition, lived

conformance = pytest.mark.conformance

RUNTIME_CLASSES = Resource("node.k8s.io", "v1", "runtimeclasses")
TAINT = {"key": "example.com/taint", "value": "evict", "effect": "NoExecute"}


def tolerating(name: str, seconds: int) -> Object:
    toleration = {**TAINT, "operator": "Equal", "tolerationSeconds": seconds}
    return pod(name, tolerations=[toleration])


@conformance("taint-eviction-toleration-seconds")
@lived(nodes=1)
async def test_each_pod_is_evicted_when_its_toleration_ends(lab: Running) -> None:
    for name, seconds in (("short", 5), ("long", 25)):
        await lab.create(PODS, tolerating(name, seconds))
    await lab.until(lambda: lab.ready() == 2)
    (node,) = lab.names(NODES, "")
    await lab.patch(NODES, node, {"spec": {"taints": [TAINT]}}, namespace="")
    before = lab.clock.now()
    took = {}
    for name in ("short", "long"):
        await lab.until(lambda name=name: "deletionTimestamp" in lab.one(PODS, name)["metadata"])
        took[name] = lab.clock.now() - before
    assert 5 <= took["short"] < 15
    assert 25 <= took["long"] < 35


@conformance("taint-removal-cancels-eviction")
@lived(nodes=1)
async def test_a_taint_taken_off_in_time_evicts_nobody(lab: Running) -> None:
    await lab.create(PODS, tolerating("patient", 60))
    await lab.until(lambda: lab.ready() == 1)
    (node,) = lab.names(NODES, "")
    await lab.patch(NODES, node, {"spec": {"taints": [TAINT]}}, namespace="")
    await lab.sleep(30)
    await lab.patch(NODES, node, {"spec": {"taints": None}}, namespace="")
    await lab.sleep(120)
    assert lab.ready() == 1


@conformance("pod-submit-remove")
@lived()
async def test_a_pod_is_seen_to_run_and_to_go(lab: Running) -> None:
    made = await lab.create(PODS, pod("shown", labels={"time": "now"}))
    page = await lab.client.list(PODS, "default", label_selector="time=now")
    assert [item.name for item in page.items] == ["shown"]
    watched = await lab.follow(PODS, made, "time=now")
    await lab.until(lambda: lab.phase("shown") == "Running")
    await lab.delete(PODS, "shown", grace_period_s=30)
    assert "deletionTimestamp" in lab.one(PODS, "shown")["metadata"]
    seen = await watched.until_deleted()
    running = [kind for kind, obj in seen if obj["status"]["phase"] == "Running"]
    going = [kind for kind, obj in seen if "deletionTimestamp" in obj["metadata"]]
    assert running[0] == going[0] == "MODIFIED"
    assert lab.names(PODS, time="now") == []


@conformance("pod-host-ip")
@lived()
async def test_a_pod_knows_the_address_of_its_node(lab: Running) -> None:
    await lab.create(PODS, pod("shown"))
    await lab.until(lambda: lab.one(PODS, "shown")["status"].get("hostIP"))
    found = lab.one(PODS, "shown")
    assert ip_address(found["status"]["hostIP"])
    assert found["status"]["hostIPs"] == [{"ip": found["status"]["hostIP"]}]
    node = lab.one(NODES, found["spec"]["nodeName"], namespace="")
    internal = [one["address"] for one in node["status"]["addresses"] if "IP" in one["type"]]
    assert found["status"]["hostIP"] in internal


@pytest.mark.parametrize(
    "overhead",
    [
        pytest.param(None, marks=conformance("runtimeclass-no-overhead")),
        pytest.param({"cpu": "10m", "memory": "1Mi"}, marks=conformance("runtimeclass-overhead")),
    ],
)
@lived()
async def test_a_pod_takes_the_overhead_of_its_runtime_class(
    lab: Running, overhead: Object | None
) -> None:
    body: Object = {"metadata": {"name": "shown"}, "handler": "runc"}
    if overhead is not None:
        body["overhead"] = {"podFixed": overhead}
    await lab.create(RUNTIME_CLASSES, body, namespace="")
    made = await lab.create(PODS, pod("shown", runtimeClassName="shown"))
    assert made["spec"].get("overhead") == overhead
    await lab.until(lambda: lab.one(PODS, "shown")["spec"].get("nodeName"))


def restarts(lab: Running, name: str) -> int:
    statuses = lab.one(PODS, name)["status"].get("containerStatuses") or [{"restartCount": 0}]
    return int(statuses[0]["restartCount"])


# What needs no program in the container


def with_init(name: str, restart_policy: str, **annotations: str) -> Object:
    body = pod(name, restartPolicy=restart_policy)
    inits = [{"name": f"init{number}", "image": "busybox:1"} for number in (1, 2)]
    body["spec"]["initContainers"] = inits
    body["metadata"]["annotations"] = annotations
    return body


@conformance("init-restart-always")
@lived()
async def test_init_containers_end_in_order_before_the_others_start(lab: Running) -> None:
    await lab.create(PODS, with_init("shown", "Always"))
    await lab.until(lambda: lab.ready() == 1)
    found = lab.one(PODS, "shown")
    assert condition(found, "Initialized")["status"] == "True"
    ends = [one["state"]["terminated"] for one in found["status"]["initContainerStatuses"]]
    assert [one["exitCode"] for one in ends] == [0, 0]
    running = found["status"]["containerStatuses"][0]["state"]["running"]
    assert ends[0]["finishedAt"] <= ends[1]["startedAt"]
    assert ends[1]["finishedAt"] <= running["startedAt"]


@conformance("init-restart-never")
@lived()
async def test_a_pod_of_init_containers_runs_once(lab: Running) -> None:
    await lab.create(PODS, with_init("shown", "Never"))
    await lab.until(lambda: lab.phase("shown") == "Succeeded")
    status = lab.one(PODS, "shown")["status"]
    assert condition(lab.one(PODS, "shown"), "Initialized")["status"] == "True"
    for one in (*status["initContainerStatuses"], *status["containerStatuses"]):
        assert one["state"]["terminated"]["exitCode"] == 0
        assert one["restartCount"] == 0


FAILING = {"simulated.ekslab.dev/exit-code.init1": "1"}


@conformance("init-fail-restart-never")
@lived()
async def test_a_failed_init_container_fails_the_pod(lab: Running) -> None:
    await lab.create(PODS, with_init("shown", "Never", **FAILING))
    await lab.until(lambda: lab.phase("shown") == "Failed")
    status = lab.one(PODS, "shown")["status"]
    first, second = status["initContainerStatuses"]
    assert first["state"]["terminated"]["exitCode"] == 1
    assert second["state"]["waiting"]["reason"] == "PodInitializing"
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
    assert condition(lab.one(PODS, "shown"), "Initialized")["status"] == "False"


@conformance("init-fail-restart-always")
@lived()
async def test_a_failing_init_container_is_tried_again_and_again(lab: Running) -> None:
    await lab.create(PODS, with_init("shown", "Always", **FAILING))

    def first() -> Object:
        statuses = lab.one(PODS, "shown")["status"].get("initContainerStatuses") or [{}]
        found: Object = statuses[0]
        return found

    await lab.until(lambda: first().get("restartCount", 0) >= 3)
    status = lab.one(PODS, "shown")["status"]
    assert status["phase"] == "Pending"
    assert status["initContainerStatuses"][1]["state"]["waiting"]["reason"] == "PodInitializing"
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"


@conformance("container-exit-status")
@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [
        ("Always", "0", True),
        ("Always", "1", True),
        ("OnFailure", "0", False),
        ("OnFailure", "1", True),
        ("Never", "0", False),
        ("Never", "1", False),
    ],
)
@lived()
async def test_the_restart_policy_says_what_follows_an_exit(
    lab: Running,
    policy: str,
    code: str,
    again: bool,  # noqa: FBT001 - a table
) -> None:
    body = pod("shown", restartPolicy=policy)
    prefix = "simulated.ekslab.dev"
    body["metadata"]["annotations"] = {f"{prefix}/duration": "2s", f"{prefix}/exit-code": code}
    await lab.create(PODS, body)
    if again:
        await lab.until(lambda: restarts(lab, "shown") >= 2)
        assert lab.phase("shown") == "Running"
        return
    await lab.until(lambda: lab.phase("shown") in {"Succeeded", "Failed"})
    await lab.sleep(60)
    assert lab.phase("shown") == ("Succeeded" if code == "0" else "Failed")
    status = lab.one(PODS, "shown")["status"]["containerStatuses"][0]
    assert status["state"]["terminated"]["exitCode"] == int(code)
    assert (status["restartCount"], status["ready"]) == (0, False)


@conformance("kubelet-terminated-reason")
@lived()
async def test_a_failed_container_says_error(lab: Running) -> None:
    body = pod("shown", restartPolicy="Never")
    body["metadata"]["annotations"] = {"simulated.ekslab.dev/exit-code": "1"}
    await lab.create(PODS, body)
    await lab.until(lambda: lab.phase("shown") == "Failed")
    (status,) = lab.one(PODS, "shown")["status"]["containerStatuses"]
    assert status["state"]["terminated"]["reason"] == "Error"


@conformance("kubelet-delete-failing")
@lived()
async def test_a_pod_that_keeps_failing_can_be_deleted(lab: Running) -> None:
    body = pod("shown")
    body["metadata"]["annotations"] = {"simulated.ekslab.dev/failure": "crash"}
    await lab.create(PODS, body)
    await lab.until(lambda: restarts(lab, "shown") >= 2)
    await lab.delete(PODS, "shown")
    await lab.until(lambda: lab.find(PODS, "shown") is None)


@conformance("probe-readiness-initial-delay")
@lived()
async def test_a_pod_is_ready_no_earlier_than_its_probe(lab: Running) -> None:
    body = pod("shown")
    probe = {"httpGet": {"path": "/", "port": 80}, "initialDelaySeconds": 30}
    body["spec"]["containers"][0]["readinessProbe"] = probe
    await lab.create(PODS, body)
    await lab.until(lambda: lab.phase("shown") == "Running")
    started = lab.clock.now()
    await lab.until(lambda: lab.ready() == 1)
    assert lab.clock.now() - started >= 29
    assert restarts(lab, "shown") == 0


@conformance("probe-readiness-fail")
@lived()
async def test_a_pod_whose_probe_fails_is_never_ready(lab: Running) -> None:
    body = pod("shown")
    body["spec"]["containers"][0]["readinessProbe"] = {"exec": {"command": ["/bin/false"]}}
    body["metadata"]["annotations"] = {"simulated.ekslab.dev/failure": "unready"}
    await lab.create(PODS, body)
    await lab.until(lambda: lab.phase("shown") == "Running")
    await lab.sleep(180)
    assert condition(lab.one(PODS, "shown"), "Ready")["status"] == "False"
    assert restarts(lab, "shown") == 0
