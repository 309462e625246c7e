"""Jobs and cron jobs: upstream's `pkg/apis/batch/{v1/defaults.go,validation}` and strategies."""

import zoneinfo
from collections.abc import Mapping
from typing import Any, Final

from ekslab.kube.api.errors import Cause
from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.kinds.cron import why_not_cron
from ekslab.kube.apiserver.kinds.field_errors import (
    IMMUTABLE,
    forbidden,
    invalid,
    not_negative,
    not_supported,
    one_of,
    required,
    unchanged,
)
from ekslab.kube.apiserver.kinds.labels import selector_matches, validate_label_selector
from ekslab.kube.apiserver.kinds.pod_defaults import default_template
from ekslab.kube.apiserver.kinds.pod_spec import RESTART_POLICIES, validate_template
from ekslab.kube.apiserver.kinds.pod_warnings import pod_warnings
from ekslab.kube.apiserver.kinds.strategy import Strategy, Traits

UID_LABEL: Final = "batch.kubernetes.io/controller-uid"
NAME_LABEL: Final = "batch.kubernetes.io/job-name"
_OLD_UID_LABEL: Final = "controller-uid"
_OLD_NAME_LABEL: Final = "job-name"
_MOST: Final = 2**31 - 1
_CRON_NAME_CHARS_MOST: Final = 52
_NUMBERS: Final = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit",
    "backoffLimitPerIndex", "maxFailedIndexes", "ttlSecondsAfterFinished",
)  # fmt: skip
_NEVER_CHANGES: Final = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy")
_SCHEDULING: Final = ("nodeSelector", "affinity", "tolerations", "schedulingGates")
_NEEDS: Final = 'valid values: "OnFailure", "Never"'


class JobStrategy(Strategy):
    """Runs pods to completion; finds them by a selector made from its uid."""

    traits = Traits(
        generation=True,
        selectable=frozenset({"status.successful"}),
        unselectable='field label "{}" not supported for Job',
    )

    def default(self, obj: Object) -> None:
        """One completion, six retries."""
        spec = obj.setdefault("spec", {})
        default_template(spec.setdefault("template", {}))
        if "completions" not in spec and "parallelism" not in spec:
            spec["completions"] = 1
        spec.setdefault("parallelism", 1)
        spec.setdefault("backoffLimit", _MOST if "backoffLimitPerIndex" in spec else 6)
        spec.setdefault("completionMode", "NonIndexed")
        spec.setdefault("suspend", False)
        spec.setdefault("manualSelector", False)
        replaced = "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed"
        spec.setdefault("podReplacementPolicy", replaced)
        labels = spec["template"]["metadata"].get("labels")
        if labels and not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)
        for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
            for pattern in rule.get("onPodConditions") or ():
                pattern.setdefault("status", "True")

    def prepare_create(self, obj: Object) -> None:
        """Make the selector, unless the client brings its own. Needs `metadata.uid`."""
        super().prepare_create(obj)
        spec = obj["spec"]
        if spec.get("manualSelector"):
            return
        uid, name = obj["metadata"].get("uid", ""), obj["metadata"].get("name", "")
        labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
        for key, value in (
            (UID_LABEL, uid),
            (NAME_LABEL, name),
            (_OLD_UID_LABEL, uid),
            (_OLD_NAME_LABEL, name),
        ):
            labels[key] = value
        selector = spec.setdefault("selector", {})
        selector.setdefault("matchLabels", {}).setdefault(UID_LABEL, uid)

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateJobSpec`, after its selector was made."""
        spec = obj["spec"]
        _validate_job_spec(spec, "spec", causes)
        selector = spec.get("selector")
        if selector is None:
            causes.append(required("spec.selector"))
            return
        causes.extend(validate_label_selector(selector, "spec.selector"))
        labels = (spec["template"].get("metadata") or {}).get("labels") or {}
        if not selector_matches(selector, labels):
            why = "`selector` does not match template `labels`"
            causes.append(invalid("spec.template.metadata.labels", labels, why))

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Template, selector and completions stay (a suspended job may still be moved)."""
        spec, before = obj["spec"], old["spec"]
        _validate_job_spec(spec, "spec", causes)
        causes.extend(unchanged("spec.selector", spec.get("selector"), before.get("selector")))
        causes.extend(_validate_completions_change(spec, before))
        for field in _NEVER_CHANGES:
            causes.extend(unchanged(f"spec.{field}", spec.get(field), before.get(field)))
        template, was = spec.get("template"), before.get("template")
        if before.get("suspend") and not (old.get("status") or {}).get("startTime"):
            template, was = _without_scheduling(template), _without_scheduling(was)
        if template != was:
            causes.append(invalid("spec.template", spec.get("template"), IMMUTABLE))

    def warnings(self, obj: Object) -> list[str]:
        """Those of the template."""
        template = obj["spec"].get("template") or {}
        meta = template.get("metadata") or {}
        return pod_warnings(template.get("spec") or {}, meta, "spec.template.spec")

    def fields(self, obj: Object) -> dict[str, str]:
        """How many pods succeeded."""
        succeeded = (obj.get("status") or {}).get("succeeded", 0)
        return {**super().fields(obj), "status.successful": str(succeeded)}


def _without_scheduling(template: Mapping[str, Any] | None) -> Object:
    template = template or {}
    spec = {k: v for k, v in (template.get("spec") or {}).items() if k not in _SCHEDULING}
    meta = template.get("metadata") or {}
    kept = {k: v for k, v in meta.items() if k not in {"labels", "annotations"}}
    return {**template, "spec": spec, "metadata": kept}


def _validate_completions_change(spec: Mapping[str, Any], old: Mapping[str, Any]) -> list[Cause]:
    completions, before = spec.get("completions"), old.get("completions")
    if completions == before:
        return []
    if spec.get("completionMode") == "Indexed":
        if completions is not None and completions == spec.get("parallelism"):
            return []
        why = "can only be modified in tandem with parallelism"
        return [invalid("spec.completions", completions, f"{IMMUTABLE}: {why}")]
    return unchanged("spec.completions", completions, before)


def _validate_job_spec(spec: Mapping[str, Any], path: str, causes: list[Cause]) -> None:
    for field in _NUMBERS:
        causes.extend(not_negative(f"{path}.{field}", spec.get(field)))
    mode = spec.get("completionMode")
    if mode is not None:
        if mode not in {"NonIndexed", "Indexed"}:
            allowed = ("Indexed", "NonIndexed")
            causes.append(not_supported(f"{path}.completionMode", mode, allowed))
        elif mode == "Indexed" and "completions" not in spec:
            causes.append(required(f"{path}.completions", "when completion mode is Indexed"))
    template = spec.get("template") or {}
    at = f"{path}.template"
    causes.extend(validate_template(template, at, restart=RESTART_POLICIES))
    restart = (template.get("spec") or {}).get("restartPolicy", "")
    if restart in {"Always", ""}:
        causes.append(required(f"{at}.spec.restartPolicy", _NEEDS))
    elif restart == "OnFailure" and "podFailurePolicy" in spec:
        why = 'only "Never" is supported when podFailurePolicy is specified'
        causes.append(invalid(f"{at}.spec.restartPolicy", restart, why))


class CronJobStrategy(Strategy):
    """Makes jobs by a clock."""

    traits = Traits(generation=True)

    def default(self, obj: Object) -> None:
        """Lets jobs overlap; keeps three that went well and one that did not."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("concurrencyPolicy", "Allow")
        spec.setdefault("suspend", False)
        spec.setdefault("successfulJobsHistoryLimit", 3)
        spec.setdefault("failedJobsHistoryLimit", 1)
        job = spec.setdefault("jobTemplate", {})
        job.setdefault("metadata", {})
        default_template(job.setdefault("spec", {}).setdefault("template", {}))
        for rule in (job["spec"].get("podFailurePolicy") or {}).get("rules") or ():
            for pattern in rule.get("onPodConditions") or ():
                pattern.setdefault("status", "True")

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateCronJobCreate`."""
        name = obj["metadata"].get("name", "")
        if len(name) > _CRON_NAME_CHARS_MOST:
            why = "must be no more than 52 characters"
            causes.append(invalid("metadata.name", name, why))
        self.check_update(obj, obj, causes)

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateCronJobSpec`; an old time zone may stay even if it is unknown."""
        spec = obj["spec"]
        schedule = spec.get("schedule", "")
        if not schedule:
            causes.append(required("spec.schedule"))
        elif "TZ" in schedule:
            why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            causes.append(invalid("spec.schedule", schedule, why))
        else:
            wrong = why_not_cron(schedule)
            if wrong:
                causes.append(invalid("spec.schedule", schedule, wrong))
        causes.extend(
            not_negative("spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
        )
        zone = spec.get("timeZone")
        if zone is not None and (obj is old or zone != old["spec"].get("timeZone")):
            causes.extend(_validate_zone(zone))
        policies = ("Allow", "Forbid", "Replace")
        policy = spec.get("concurrencyPolicy", "")
        causes.extend(one_of("spec.concurrencyPolicy", policy, policies))
        for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
            causes.extend(not_negative(f"spec.{field}", spec.get(field)))
        job = (spec.get("jobTemplate") or {}).get("spec") or {}
        _validate_job_spec(job, "spec.jobTemplate.spec", causes)
        if job.get("manualSelector"):
            at = "spec.jobTemplate.spec.manualSelector"
            causes.append(not_supported(at, job["manualSelector"], ("nil", "false")))
        elif "selector" in job:
            why = "`selector` will be auto-generated"
            causes.append(forbidden("spec.jobTemplate.spec.selector", why))


def _validate_zone(zone: str) -> list[Cause]:
    if not zone:
        return [invalid("spec.timeZone", zone, "timeZone must be nil or non-empty string")]
    if zone.lower() == "local":
        why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        return [invalid("spec.timeZone", zone, why)]
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return [invalid("spec.timeZone", zone, f"unknown time zone {zone}")]
    return []
