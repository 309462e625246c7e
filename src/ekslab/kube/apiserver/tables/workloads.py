"""The cells of workloads: deployments, replica sets, daemon sets, stateful sets, jobs."""

from collections.abc import Mapping
from typing import Any

from ekslab.kit.clock import parse_rfc3339
from ekslab.kube.apiserver.tables import cells
from ekslab.kube.apiserver.tables.durations import age, human_duration, since

Object = dict[str, Any]

# Upstream's order of precedence; the first condition that holds names the job's status.
_JOB_STATES = ("Complete", "Failed")
_JOB_STATES_ALIVE = ("Suspended", "FailureTarget", "SuccessCriteriaMet")


def _status(obj: Object) -> Mapping[str, Any]:
    return obj.get("status") or {}


def _template(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return (spec.get("template") or {}).get("spec") or {}


def deployment(obj: Object, now: float) -> list[Any]:
    """Ready of desired, up to date, available."""
    spec, status = obj["spec"], _status(obj)
    return [
        obj["metadata"].get("name", ""),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age(obj, now),
        *cells.containers_and_images(_template(spec)),
        cells.selector(spec.get("selector")),
    ]


def replica_set(obj: Object, now: float) -> list[Any]:
    """Desired, current, ready."""
    spec, status = obj["spec"], _status(obj)
    return [
        obj["metadata"].get("name", ""),
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age(obj, now),
        *cells.containers_and_images(_template(spec)),
        cells.selector(spec.get("selector")),
    ]


def replication_controller(obj: Object, now: float) -> list[Any]:
    """As a replica set, with the old form of selector."""
    return [*replica_set({**obj, "spec": {**obj["spec"], "selector": None}}, now)[:-1],
            cells.labels(obj["spec"].get("selector"))]  # fmt: skip


def daemon_set(obj: Object, now: float) -> list[Any]:
    """Desired, current, ready, up to date, available."""
    spec, status = obj["spec"], _status(obj)
    return [
        obj["metadata"].get("name", ""),
        status.get("desiredNumberScheduled", 0),
        status.get("currentNumberScheduled", 0),
        status.get("numberReady", 0),
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        cells.labels(_template(spec).get("nodeSelector")),
        age(obj, now),
        *cells.containers_and_images(_template(spec)),
        cells.selector(spec.get("selector")),
    ]


def stateful_set(obj: Object, now: float) -> list[Any]:
    """Ready of desired."""
    spec = obj["spec"]
    return [
        obj["metadata"].get("name", ""),
        f"{_status(obj).get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        age(obj, now),
        *cells.containers_and_images(_template(spec)),
    ]


def job(obj: Object, now: float) -> list[Any]:
    """Status, completions, duration."""
    spec, status = obj["spec"], _status(obj)
    succeeded = status.get("succeeded", 0)
    if "completions" in spec:
        completions = f"{succeeded}/{spec['completions']}"
    elif spec.get("parallelism", 0) > 1:
        completions = f"{succeeded}/1 of {spec['parallelism']}"
    else:
        completions = f"{succeeded}/1"
    duration = ""
    if status.get("startTime"):
        end = parse_rfc3339(status["completionTime"]) if status.get("completionTime") else now
        duration = human_duration(end - parse_rfc3339(status["startTime"]))
    return [
        obj["metadata"].get("name", ""),
        _job_state(obj),
        completions,
        duration,
        age(obj, now),
        *cells.containers_and_images(_template(spec)),
        cells.selector(spec.get("selector")),
    ]


def _job_state(obj: Object) -> str:
    for kind in _JOB_STATES:
        if cells.condition(obj, kind).get("status") == "True":
            return kind
    if "deletionTimestamp" in obj["metadata"]:
        return "Terminating"
    for kind in _JOB_STATES_ALIVE:
        if cells.condition(obj, kind).get("status") == "True":
            return kind
    return "Running"


def cron_job(obj: Object, now: float) -> list[Any]:
    """Schedule, time zone, whether suspended, active jobs, last schedule."""
    spec, status = obj["spec"], _status(obj)
    last = status.get("lastScheduleTime")
    job_spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    return [
        obj["metadata"].get("name", ""),
        spec.get("schedule", ""),
        spec.get("timeZone") or cells.NONE,
        cells.truth(spec.get("suspend")),
        len(status.get("active") or ()),
        since(last, now) if last else cells.NONE,
        age(obj, now),
        *cells.containers_and_images(_template(job_spec)),
        cells.selector(job_spec.get("selector")),
    ]


def controller_revision(obj: Object, now: float) -> list[Any]:
    """Its controller and its number."""
    owner = next(
        (each for each in obj["metadata"].get("ownerReferences") or () if each.get("controller")),
        None,
    )
    controller = cells.NONE
    if owner is not None:
        group = owner.get("apiVersion", "").rpartition("/")[0]
        kind = f"{owner.get('kind', '')}.{group}" if group else owner.get("kind", "")
        controller = f"{kind.lower()}/{owner.get('name', '')}"
    return [obj["metadata"].get("name", ""), controller, obj.get("revision", 0), age(obj, now)]


def pod_template(obj: Object, now: float) -> list[Any]:
    """Containers, images, labels."""
    del now
    template = obj.get("template") or {}
    return [
        obj["metadata"].get("name", ""),
        *cells.containers_and_images(template.get("spec") or {}),
        cells.labels((template.get("metadata") or {}).get("labels")),
    ]


def disruption_budget(obj: Object, now: float) -> list[Any]:
    """What must stay, what may go, how many may go now."""
    spec = obj.get("spec") or {}
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    return [
        obj["metadata"].get("name", ""),
        "N/A" if least is None else str(least),
        "N/A" if most is None else str(most),
        _status(obj).get("disruptionsAllowed", 0),
        age(obj, now),
    ]


def autoscaler(obj: Object, now: float) -> list[Any]:
    """What it scales, by which metrics, between which bounds."""
    spec, status = obj["spec"], _status(obj)
    target = spec.get("scaleTargetRef") or {}
    least = spec.get("minReplicas")
    return [
        obj["metadata"].get("name", ""),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _metrics(spec, status),
        cells.UNSET if least is None else str(least),
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        age(obj, now),
    ]


def _metrics(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    if "targetCPUUtilizationPercentage" in spec:
        now = status.get("currentCPUUtilizationPercentage")
        current = cells.UNKNOWN if now is None else f"{now}%"
        return f"cpu: {current}/{spec['targetCPUUtilizationPercentage']}%"
    metrics = spec.get("metrics") or ()
    if not metrics:
        return cells.NONE
    measured = status.get("currentMetrics") or ()
    shown = [
        _metric(metric, measured[index] if index < len(measured) else {})
        for index, metric in enumerate(metrics[:2])
    ]
    rest = len(metrics) - 2
    return ", ".join(shown) + (f" + {rest} more..." if rest > 0 else "")


def _metric(metric: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    kind = metric.get("type", "")
    field = kind[:1].lower() + kind[1:]
    part, now = metric.get(field) or {}, (status.get(field) or {}).get("current") or {}
    target = part.get("target") or {}
    prefix = f"{part.get('name', '')}: " if kind in {"Resource", "ContainerResource"} else ""
    if target.get("averageUtilization") is not None:
        current = now.get("averageUtilization")
        shown = cells.UNKNOWN if current is None else f"{current}%"
        return f"{prefix}{shown}/{target['averageUtilization']}%"
    if target.get("averageValue") is not None:
        suffix = " (avg)" if kind in {"External", "Object"} else ""
        current = now.get("averageValue", cells.UNKNOWN)
        return f"{prefix}{current}/{target['averageValue']}{suffix}"
    return f"{prefix}{now.get('value', cells.UNKNOWN)}/{target.get('value', cells.UNKNOWN)}"
