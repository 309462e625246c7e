"""What a Job's policies say of failed pods and of succeeded indexes. Pure.

Upstream: `pkg/controller/job/pod_failure_policy.go`, `success_policy.go`.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from ekslab.kube.api.requests import Object
from ekslab.kube.controllers.job import indexes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a failed pod: `action` as the rule says, "" if no rule matches; with
    FailJob, `message` says why.
    """

    action: str = ""
    message: str = ""

    @property
    def counts(self) -> bool:
        """Whether the failure counts towards back-off limits."""
        return self.action != "Ignore"


_NO_RULE = Verdict()


def judge(policy: Object | None, pod: Object) -> Verdict:
    """The verdict of the first rule that matches (upstream: matchPodFailurePolicy)."""
    for number, rule in enumerate((policy or {}).get("rules") or ()):
        action, why = rule["action"], ""
        if rule.get("onExitCodes") is not None:
            box = _exit_matches(pod, rule["onExitCodes"])
            if box is None:
                continue
            code = box["state"]["terminated"]["exitCode"]
            why = f"Container {box['name']} for pod {_full_name(pod)} failed with exit code {code}"
        else:
            kind = _condition_matches(pod, rule.get("onPodConditions") or ())
            if kind is None:
                continue
            why = f"Pod {_full_name(pod)} has condition {kind}"
        return Verdict(action, f"{why} matching {action} rule at index {number}")
    return _NO_RULE


def _full_name(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _exit_matches(pod: Object, wanted: Object) -> Object | None:
    status = pod.get("status") or {}
    boxes = [
        *(status.get("containerStatuses") or ()),
        *(status.get("initContainerStatuses") or ()),
    ]
    for box in boxes:
        if wanted.get("containerName") not in {None, box["name"]}:
            continue
        ended: dict[str, Any] | None = (box.get("state") or {}).get("terminated")
        code = (ended or {}).get("exitCode", 0)
        if code and (code in wanted["values"]) == (wanted["operator"] == "In"):
            found: Object = box
            return found
    return None


def _condition_matches(pod: Object, wanted: Iterable[Object]) -> str | None:
    there = {
        (one["type"], one["status"]) for one in (pod.get("status") or {}).get("conditions") or ()
    }
    for one in wanted:
        if (one["type"], one.get("status", "True")) in there:
            kind: str = one["type"]
            return kind
    return None


def success(policy: Object | None, completions: int, succeeded: AbstractSet[int]) -> str:
    """The message of the first success rule that is met, "" if none is."""
    for number, rule in enumerate((policy or {}).get("rules") or ()):
        among: AbstractSet[int] = succeeded
        need = rule.get("succeededCount")
        if rule.get("succeededIndexes") is not None:
            wanted = indexes.parse(rule["succeededIndexes"], below=completions)
            among = succeeded & wanted
            need = len(wanted) if need is None else need
        if need is not None and len(among) >= need:
            return f"Matched rules at index {number}"
    return ""
