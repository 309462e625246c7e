"""The pods of a Job, as they are made. Pure. Upstream: `manageJob`, `indexed_job_utils.go`."""

from collections.abc import Sequence
from typing import Final

from ekslab.kube.api.requests import Object
from ekslab.kube.controllers.job import indexes, policies
from ekslab.kube.controllers.job.plan import FAILURES, FINALIZER, IGNORED_FAILURES, View
from ekslab.kube.runtime.ownership import owner_reference

_ENV: Final = "JOB_COMPLETION_INDEX"
_NAME_CHARS_MOST: Final = 58
"""A generated name adds five characters; a pod name that is a host name has at most 63."""


def new_pod(view: View, index: int | None) -> Object:
    """A pod of the Job, for one index of an indexed one. Parts are shared with the Job."""
    job = view.scene.job
    meta, template = job["metadata"], job["spec"]["template"]
    template_meta = template.get("metadata") or {}
    finalizers = [*(template_meta.get("finalizers") or ())]
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)
    pod_meta: Object = {
        "generateName": meta["name"] + "-",
        "namespace": meta["namespace"],
        "labels": dict(template_meta.get("labels") or {}),
        "finalizers": finalizers,
        "ownerReferences": [owner_reference(job)],
    }
    annotations = dict(template_meta.get("annotations") or {})
    spec = template["spec"]
    if index is not None:
        suffix = f"-{index}-"
        pod_meta["generateName"] = meta["name"][: _NAME_CHARS_MOST - len(suffix)] + suffix
        pod_meta["labels"][indexes.INDEX] = str(index)
        annotations[indexes.INDEX] = str(index)
        annotations |= _failures_so_far(view, index)
        spec = {**spec, "hostname": f"{meta['name']}-{index}"}
        for part in ("initContainers", "containers"):
            if spec.get(part):
                spec[part] = _with_index(spec[part])
    if annotations:
        pod_meta["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Pod", "metadata": pod_meta, "spec": spec}


def _with_index(containers: Sequence[Object]) -> list[Object]:
    """The containers, each with its index in the environment, unless it has such a variable."""
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{indexes.INDEX}']"}}
    return [
        box
        if any(one["name"] == _ENV for one in box.get("env") or ())
        else {**box, "env": [*(box.get("env") or ()), {"name": _ENV, "valueFrom": source}]}
        for box in containers
    ]


def _failures_so_far(view: View, index: int) -> dict[str, str]:
    """Failures of the index, handed on from the pod that failed last."""
    if view.per_index is None:
        return {}
    last = view.delayed.get(index)
    if last is None:
        return {FAILURES: "0"}
    notes = last.item.object["metadata"].get("annotations") or {}
    counted, ignored = int(notes.get(FAILURES, "0")), int(notes.get(IGNORED_FAILURES, "0"))
    if policies.judge(view.spec.get("podFailurePolicy"), last.item.object).counts:
        counted += 1
    else:
        ignored += 1
    return {FAILURES: str(counted)} | ({IGNORED_FAILURES: str(ignored)} if ignored else {})
