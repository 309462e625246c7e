"""The pod lifecycle as tables: after so many seconds, this status and these events."""

from typing import Any

import pytest

from ekslab.kube.api.requests import Object
from ekslab.kube.node import lifecycle
from ekslab.kube.node.images import NodeImages, full_image, image_id
from ekslab.kube.node.lifecycle import Event, PodState, Stage, Surroundings
from ekslab.kube.node.plan import PREFIX, PodPlan, plan_pod
from ekslab.kube.node.status import HostAddresses, changes, render, restore
from ekslab.kube.node.timing import Timing, go_duration, image_bytes, parse_duration

HOST = HostAddresses("10.0.0.2", ("10.0.0.2",))
EVEN = Timing(
    jitter=0.0, sandbox_s=1.0, registry_s=1.0, pull_bytes_per_s=72_000_000.0, pull_fails_s=1.0,
    container_start_s=1.0, probe_answer_s=0.0, sigterm_s=1.0, sandbox_stop_s=1.0,
    run_to_completion_s=5.0, init_run_s=2.0,
)  # fmt: skip


def container(name: str = "web", image: str = "nginx", **more: Any) -> Object:
    return {"name": name, "image": image, "imagePullPolicy": "IfNotPresent", **more}


def pod(*containers: Object, notes: dict[str, str] | None = None, **spec: Any) -> Object:
    annotations = {PREFIX + key: text for key, text in (notes or {}).items()}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web", "namespace": "default", "uid": "u-1", "generation": 1,
            "annotations": annotations,
        },
        "spec": {
            "restartPolicy": "Always", "nodeName": "n", "containers": list(containers) or
            [container()], **spec,
        },
        "status": {"phase": "Pending"},
    }  # fmt: skip


class Life:
    """A pod that lives: time moves by `until`, events gather."""

    def __init__(self, obj: Object, *, timing: Timing = EVEN) -> None:
        self.pod = obj
        self.timing = timing
        self.around = Surroundings(timing, NodeImages("n", timing))
        self.plan: PodPlan = plan_pod(obj, timing)
        self.now = 0.0
        self.events: list[Event] = []
        self.state: PodState = lifecycle.begin(self.plan, 0.0)
        lifecycle.give_address(self.plan, self.state, "10.0.1.7", 0.0, timing)

    def until(self, now: float) -> "Life":
        while self.state.due_s is not None and self.state.due_s <= now:
            self.now = max(self.now, self.state.due_s)
            self.events += lifecycle.advance(self.plan, self.state, self.now, self.around)
        self.now = now
        return self

    def stop(self, grace: float) -> "Life":
        self.events += lifecycle.stop(
            self.plan, self.state, grace_s=grace, now_s=self.now, at=self.timing
        )
        return self

    @property
    def status(self) -> Object:
        return render(self.plan, self.state, self.pod, HOST, self.now)

    def condition(self, kind: str) -> Object:
        return next(row for row in self.status["conditions"] if row["type"] == kind)

    def shown(self, place: int = 0, part: str = "containerStatuses") -> str:
        """`waiting ContainerCreating`, `running`, `terminated Completed 0`."""
        ((kind, what),) = self.status[part][place]["state"].items()
        more = [str(what[key]) for key in ("reason", "exitCode") if key in what]
        return " ".join([kind, *more])

    def said(self) -> list[str]:
        return [event.reason for event in self.events]


@pytest.mark.parametrize(
    ("now", "phase", "shown", "ready"),
    [
        pytest.param(0.0, "Pending", "waiting ContainerCreating", "False", id="sandbox"),
        pytest.param(1.5, "Pending", "waiting ContainerCreating", "False", id="pulling"),
        pytest.param(3.5, "Pending", "waiting ContainerCreating", "False", id="starting"),
        pytest.param(4.0, "Running", "running", "True", id="running"),
        pytest.param(1e6, "Running", "running", "True", id="for ever"),
    ],
)
def test_a_plain_pod_comes_to_run(now: float, phase: str, shown: str, ready: str) -> None:
    life = Life(pod()).until(now)
    found = (life.status["phase"], life.shown(), life.condition("Ready")["status"])
    assert found == (phase, shown, ready)


def test_its_events_are_those_of_kubelet() -> None:
    life = Life(pod()).until(10)
    assert [(event.reason, event.message) for event in life.events] == [
        ("Pulling", 'Pulling image "nginx"'),
        (
            "Pulled",
            (
                'Successfully pulled image "nginx" in 2s (2s including waiting).'
                " Image size: 72000000 bytes."
            ),
        ),
        ("Created", "Container created"),
        ("Started", "Container started"),
    ]
    assert {event.field_path for event in life.events} == {"spec.containers{web}"}


def test_an_image_that_is_there_is_not_pulled_again() -> None:
    life = Life(pod())
    life.around.images.adopt("nginx", 0.0)
    life.until(10)
    assert life.events[0].message == (
        'Container image "nginx" already present on machine and can be accessed by the pod'
    )
    assert life.said() == ["Pulled", "Created", "Started"]


def test_the_status_is_complete() -> None:
    status = Life(pod(container(resources={"requests": {"cpu": "1"}}))).until(10).status
    assert [row["type"] for row in status["conditions"]] == [
        "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled",
    ]  # fmt: skip
    assert {row["status"] for row in status["conditions"]} == {"True"}
    assert (status["podIP"], status["podIPs"]) == ("10.0.1.7", [{"ip": "10.0.1.7"}])
    assert (status["hostIP"], status["hostIPs"]) == ("10.0.0.2", [{"ip": "10.0.0.2"}])
    assert status["startTime"] == "1970-01-01T00:00:00Z"
    (box,) = status["containerStatuses"]
    assert box["image"] == "docker.io/library/nginx:latest"
    assert box["imageID"].startswith("docker.io/library/nginx@sha256:")
    assert len(box["containerID"]) == len("containerd://") + 64
    assert box["state"] == {"running": {"startedAt": "1970-01-01T00:00:04Z"}}
    assert (box["ready"], box["started"], box["restartCount"]) == (True, True, 0)
    assert box["allocatedResources"] == {"cpu": "1"}


def test_before_it_runs_the_conditions_say_what_is_missing() -> None:
    life = Life(pod(container("a"), container("b"))).until(1.5)
    ready = life.condition("ContainersReady")
    assert ready["reason"] == "ContainersNotReady"
    assert ready["message"] == "containers with unready status: [a b]"
    assert life.condition("Initialized")["status"] == "True"
    (box, _) = life.status["containerStatuses"]
    assert (box["image"], box["imageID"], "containerID" in box) == ("nginx", "", False)


@pytest.mark.parametrize(
    ("probe", "notes", "ready_at"),
    [
        pytest.param({"httpGet": {}, "periodSeconds": 5}, {}, 4.0, id="no delay"),
        pytest.param({"initialDelaySeconds": 7, "periodSeconds": 5}, {}, 11.0, id="delay"),
        pytest.param({"periodSeconds": 5, "successThreshold": 3}, {}, 14.0, id="threshold"),
        pytest.param(
            {"initialDelaySeconds": 2, "periodSeconds": 5}, {"ready-after": "3s"}, 11.0, id="slow"
        ),
    ],
)
def test_a_pod_is_ready_when_its_probe_has_passed(
    probe: Any, notes: dict[str, str], ready_at: float
) -> None:
    life = Life(pod(container(readinessProbe=probe), notes=notes))
    life.until(ready_at - 0.001)
    assert life.status["containerStatuses"][0]["ready"] is False
    life.until(ready_at)
    assert life.condition("Ready")["status"] == "True"


def test_a_readiness_gate_holds_the_pod_back_until_somebody_opens_it() -> None:
    life = Life(pod(readinessGates=[{"conditionType": "example.com/lb"}])).until(10)
    ready = life.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
    assert life.condition("ContainersReady")["status"] == "True"
    life.pod["status"]["conditions"] = [{"type": "example.com/lb", "status": "True"}]
    assert life.condition("Ready")["status"] == "True"


def test_init_containers_run_one_after_the_other_before_the_rest() -> None:
    spec = {"initContainers": [container("one"), container("two")]}
    life = Life(pod(**spec)).until(1.5)
    assert life.shown() == "waiting PodInitializing"
    assert life.condition("Initialized")["message"] == (
        "containers with incomplete status: [one two]"
    )
    life.until(4.5)
    assert life.shown(0, "initContainerStatuses") == "running"
    life.until(6.5)
    assert life.shown(0, "initContainerStatuses") == "terminated Completed 0"
    assert life.condition("Initialized")["message"] == "containers with incomplete status: [two]"
    life.until(10.5)
    assert (life.shown(), life.status["phase"]) == ("running", "Running")
    assert life.said().count("Started") == 3


def test_a_sidecar_starts_before_and_runs_beside_and_ends_after() -> None:
    side = container("side", restartPolicy="Always")
    life = Life(pod(initContainers=[side], restartPolicy="Never")).until(5.5)
    assert life.shown(0, "initContainerStatuses") == "running"
    life.until(6.5)
    assert life.shown() == "running"
    life.until(20)
    assert life.status["phase"] == "Succeeded"
    assert life.shown(0, "initContainerStatuses") == "terminated Completed 0"


@pytest.mark.parametrize(
    ("policy", "notes", "phase", "shown"),
    [
        pytest.param("Never", {}, "Succeeded", "terminated Completed 0", id="completes"),
        pytest.param("OnFailure", {}, "Succeeded", "terminated Completed 0", id="on failure"),
        pytest.param("Never", {"exit-code": "3"}, "Failed", "terminated Error 3", id="fails"),
        pytest.param(
            "Never", {"failure": "oom"}, "Failed", "terminated OOMKilled 137", id="out of memory"
        ),
        pytest.param(
            "OnFailure", {"exit-code": "3"}, "Running", "waiting CrashLoopBackOff", id="again"
        ),
        pytest.param(
            "Always", {"failure": "crash"}, "Running", "waiting CrashLoopBackOff", id="crash loop"
        ),
        pytest.param("Always", {"duration.other": "1s"}, "Running", "running", id="another's note"),
        pytest.param("Always", {"duration": "soon"}, "Running", "running", id="unreadable note"),
    ],
)
def test_what_a_container_does_at_its_end_follows_the_restart_policy(
    policy: str, notes: dict[str, str], phase: str, shown: str
) -> None:
    life = Life(pod(restartPolicy=policy, notes=notes)).until(25)
    assert (life.status["phase"], life.shown()) == (phase, shown)


def test_a_crash_loop_backs_off_ever_longer() -> None:
    life = Life(pod(notes={"failure": "crash"})).until(7.5)
    (box,) = life.status["containerStatuses"]
    assert (box["restartCount"], life.condition("Ready")["status"]) == (1, "True")
    life.until(8.5)
    (box,) = life.status["containerStatuses"]
    assert box["state"]["waiting"]["message"] == (
        "back-off 10s restarting failed container=web pod=web_default(u-1)"
    )
    assert box["lastState"]["terminated"]["exitCode"] == 1
    life.until(21)
    (box,) = life.status["containerStatuses"]
    assert (box["restartCount"], box["state"]["waiting"]["message"][:13]) == (2, "back-off 20s ")
    backoff = next(event for event in life.events if event.reason == "BackOff")
    assert backoff.message == ("Back-off restarting failed container web in pod web_default(u-1)")


def test_an_image_that_no_registry_has_is_tried_again_and_again() -> None:
    life = Life(pod(container(image="nope"), notes={"failure": "image-pull"})).until(3)
    assert life.shown() == "waiting ImagePullBackOff"
    assert life.said() == ["Pulling", "Failed", "Failed", "BackOff", "Failed"]
    assert life.events[1].message.startswith('Failed to pull image "nope": rpc error: code = N')
    before = life.state.containers[0].pull_failures
    life.until(13)
    assert life.state.containers[0].pull_failures == before + 1


def test_pull_policy_never_needs_the_image_on_the_node() -> None:
    life = Life(pod(container(imagePullPolicy="Never"))).until(3)
    assert life.shown() == "waiting ErrImageNeverPull"


@pytest.mark.parametrize(
    ("notes", "grace", "ends_after", "shown"),
    [
        pytest.param({}, 30, 2.0, "terminated Completed 0", id="obeys SIGTERM"),
        pytest.param({"ignore-sigterm": "true"}, 30, 31.0, "terminated Error 137", id="is killed"),
        pytest.param({}, 0, 0.0, "terminated Completed 0", id="no grace"),
    ],
)
def test_a_pod_that_is_deleted_gets_its_grace(
    notes: dict[str, str], grace: float, ends_after: float, shown: str
) -> None:
    life = Life(pod(notes=notes)).until(10)
    life.stop(grace)
    assert life.events[-1] == Event(
        "Normal", "Killing", "Stopping container web", "spec.containers{web}"
    )
    if ends_after:
        life.until(10 + ends_after - 0.001)
        assert life.state.stage is Stage.STOPPING
    life.until(10 + ends_after)
    assert life.state.stage is Stage.ENDED
    assert life.shown() == shown


def test_a_second_deletion_can_only_shorten_the_grace() -> None:
    life = Life(pod(notes={"ignore-sigterm": "true"})).until(10)
    life.stop(30).until(12).stop(1).until(14.001)
    assert life.state.stage is Stage.ENDED
    assert life.said().count("Killing") == 1


def test_a_pod_is_taken_up_where_the_last_agent_left_it() -> None:
    before = Life(pod(container(readinessProbe={"periodSeconds": 5}))).until(20)
    status = before.status
    again = lifecycle.begin(before.plan, 100.0)
    assert restore(before.plan, again, status, 100.0)
    lifecycle.advance(before.plan, again, 100.0, before.around)
    assert render(before.plan, again, {**before.pod, "status": status}, HOST, 100.0) == status


def test_a_write_says_only_what_the_server_does_not_have() -> None:
    life = Life(pod())
    waiting = life.status
    assert changes(waiting, {}) == waiting
    assert changes(waiting, waiting | {"qosClass": "Burstable"}) == {}
    life.pod = {**life.pod, "status": waiting}
    change = changes(life.until(10).status, waiting)
    assert set(change) == {"phase", "containerStatuses", "conditions"}
    rows = {row["type"]: row for row in change["conditions"]}
    assert set(rows) == {"PodReadyToStartContainers", "Ready", "ContainersReady"}
    assert rows["Ready"]["status"] == "True"
    assert rows["Ready"]["reason"] is None
    assert rows["Ready"]["message"] is None


def test_jitter_depends_on_the_seed_and_on_what_is_timed() -> None:
    one, other = Timing(seed=1), Timing(seed=2)
    assert one.spread(10, "pod", "step") == one.spread(10, "pod", "step")
    assert one.spread(10, "pod", "step") != other.spread(10, "pod", "step")
    spread = [one.spread(10, f"pod-{i}") for i in range(200)]
    assert 8 <= min(spread) < 8.5
    assert 11.5 < max(spread) <= 12


@pytest.mark.parametrize(
    ("name", "full"),
    [
        pytest.param("nginx", "docker.io/library/nginx:latest", id="bare"),
        pytest.param("nginx:1.27", "docker.io/library/nginx:1.27", id="tag"),
        pytest.param("me/app", "docker.io/me/app:latest", id="user"),
        pytest.param("quay.io/x/y:2", "quay.io/x/y:2", id="registry"),
        pytest.param("localhost:5000/app", "localhost:5000/app:latest", id="port"),
        pytest.param("a.b/c@sha256:12", "a.b/c@sha256:12", id="digest"),
    ],
)
def test_images_are_named_in_full(name: str, full: str) -> None:
    assert full_image(name) == full
    assert "@sha256:" in image_id(name)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (0.0451, "45ms"), (1.2, "1.2s"), (61.5, "1m1.5s"), (3600, "1h0m0s")],
)
def test_durations_print_as_in_go(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


def test_durations_are_read_in_their_units() -> None:
    assert [parse_duration(text) for text in ("500ms", "5s", "2m", "1h", "3")] == [
        0.5, 5.0, 120.0, 3600.0, 3.0,
    ]  # fmt: skip


def test_unknown_images_have_a_size_that_follows_from_their_name() -> None:
    assert image_bytes("example.com/a:1") == image_bytes("example.com/a:2") > 8_000_000
    assert image_bytes("nginx:1.27") == 72_000_000
