"""What a simulated node reads of a pod: which containers to run, and how each will behave.

A pod says how it wants to behave by annotations; each may be followed by `.<container>`:

    simulated.ekslab.dev/duration: 5s          the container ends by itself after this long
    simulated.ekslab.dev/exit-code: "1"        with this exit code
    simulated.ekslab.dev/failure: crash        crash | oom | image-pull | unready
    simulated.ekslab.dev/ready-after: 3s       its readiness probe passes this long after start
    simulated.ekslab.dev/ignore-sigterm: "true"  it ends only when the grace period is over

Without them a container of a pod with restartPolicy Always runs for ever, any other one completes
with exit code 0 after a while (`Timing.run_to_completion_s`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from ekslab.kube.api.requests import Object
from ekslab.kube.node.timing import Timing, parse_duration

PREFIX: Final = "simulated.ekslab.dev/"
_EXIT_OOM: Final = 137


class Role(Enum):
    """What a container is in its pod."""

    INIT = "init"
    SIDECAR = "sidecar"
    MAIN = "main"


class Failure(Enum):
    """A scripted failure."""

    NONE = ""
    CRASH = "crash"
    OOM = "oom"
    IMAGE_PULL = "image-pull"
    UNREADY = "unready"


@dataclass(frozen=True, slots=True)
class Probe:
    """When a probe is asked: first after `delay_s`, then every `period_s`."""

    delay_s: float
    period_s: float
    success_threshold: int


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """One container and its scripted behaviour; `duration_s` None runs for ever."""

    name: str
    role: Role
    image: str
    pull_policy: str
    readiness: Probe | None
    startup: Probe | None
    duration_s: float | None
    exit_code: int
    failure: Failure
    ready_after_s: float
    ignores_sigterm: bool
    resources: Mapping[str, Any]
    mounts: tuple[Mapping[str, Any], ...]
    command: str

    @property
    def field_path(self) -> str:
        """Where events point: `spec.containers{web}`."""
        part = "containers" if self.role is Role.MAIN else "initContainers"
        return f"spec.{part}{{{self.name}}}"


@dataclass(frozen=True, slots=True)
class PodPlan:
    """One pod. Containers stand in the order they start: init and sidecars first."""

    uid: str
    namespace: str
    name: str
    containers: tuple[ContainerPlan, ...]
    restart_policy: str
    host_network: bool
    readiness_gates: tuple[str, ...]
    grace_s: float

    @property
    def full_name(self) -> str:
        """As kubelet's messages name it: `web_default(<uid>)`."""
        return f"{self.name}_{self.namespace}({self.uid})"


def plan_pod(pod: Object, timing: Timing) -> PodPlan:
    """Read a pod. Annotations that cannot be read count as absent."""
    metadata, spec = pod["metadata"], pod["spec"]
    notes = metadata.get("annotations") or {}
    script = {
        name.removeprefix(PREFIX): text for name, text in notes.items() if name.startswith(PREFIX)
    }
    policy = spec.get("restartPolicy") or "Always"
    containers = [
        _container(box, _init_role(box), policy, script, timing)
        for box in spec.get("initContainers") or ()
    ]
    containers += [
        _container(box, Role.MAIN, policy, script, timing) for box in spec.get("containers") or ()
    ]
    return PodPlan(
        uid=metadata["uid"],
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        containers=tuple(containers),
        restart_policy=policy,
        host_network=bool(spec.get("hostNetwork")),
        readiness_gates=tuple(gate["conditionType"] for gate in spec.get("readinessGates") or ()),
        grace_s=float(spec.get("terminationGracePeriodSeconds", 30)),
    )


def _init_role(box: Mapping[str, Any]) -> Role:
    return Role.SIDECAR if box.get("restartPolicy") == "Always" else Role.INIT


def _container(
    box: Mapping[str, Any], role: Role, policy: str, script: Mapping[str, str], timing: Timing
) -> ContainerPlan:
    name = box["name"]

    def note(key: str) -> str:
        # A container's own word wins; words for the whole pod are meant for its main containers.
        return script.get(f"{key}.{name}", script.get(key, "") if role is Role.MAIN else "")

    failure = next((one for one in Failure if one.value == note("failure")), Failure.NONE)
    duration_s = _seconds(note("duration"))
    if duration_s is None and failure in (Failure.CRASH, Failure.OOM):
        duration_s = 1.0
    if duration_s is None and role is Role.INIT:
        duration_s = timing.init_run_s
    if duration_s is None and role is Role.MAIN and policy != "Always":
        duration_s = timing.run_to_completion_s
    return ContainerPlan(
        name=name,
        role=role,
        image=box.get("image") or "",
        pull_policy=box.get("imagePullPolicy") or "IfNotPresent",
        readiness=_probe(box.get("readinessProbe")),
        startup=_probe(box.get("startupProbe")),
        duration_s=duration_s,
        exit_code=_exit_code(note("exit-code"), failure),
        failure=failure,
        ready_after_s=_seconds(note("ready-after")) or 0.0,
        ignores_sigterm=note("ignore-sigterm") == "true",
        resources=box.get("resources") or {},
        mounts=tuple(box.get("volumeMounts") or ()),
        command=" ".join([*(box.get("command") or ()), *(box.get("args") or ())]),
    )


def _exit_code(text: str, failure: Failure) -> int:
    if failure is Failure.OOM:
        return _EXIT_OOM
    if text.isdecimal():
        return int(text) % 256
    return 1 if failure is Failure.CRASH else 0


def _seconds(text: str) -> float | None:
    try:
        return max(0.0, parse_duration(text))
    except ValueError:
        return None


def _probe(probe: Mapping[str, Any] | None) -> Probe | None:
    if not probe:
        return None
    return Probe(
        delay_s=float(probe.get("initialDelaySeconds") or 0),
        period_s=float(probe.get("periodSeconds") or 10),
        success_threshold=int(probe.get("successThreshold") or 1),
    )
