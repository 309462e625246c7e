"""When a finished Job is to be deleted. Pure.

Rules of upstream `pkg/controller/ttlafterfinished/ttlafterfinished_controller.go`.
"""

from ekslab.kube.api.requests import Object
from ekslab.kube.runtime.pods import condition, time_s


def due_s(job: Object) -> float | None:
    """The moment of deletion in seconds since the epoch; None while there is none."""
    ttl_s = job["spec"].get("ttlSecondsAfterFinished")
    if ttl_s is None or "deletionTimestamp" in job["metadata"]:
        return None
    for kind in ("Complete", "Failed"):
        found = condition(job, kind)
        if found is not None and found["status"] == "True":
            return time_s(found["lastTransitionTime"]) + float(ttl_s)
    return None
