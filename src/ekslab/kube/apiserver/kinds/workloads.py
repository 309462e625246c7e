"""Deployments, replica sets, daemon sets, stateful sets, replication controllers, revisions.

Upstream: `pkg/apis/apps/{v1/defaults.go,validation}`, `registry/apps/*/strategy.go`.
"""

from collections.abc import Mapping
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.kinds.amounts import (
    is_zero,
    validate_at_most_all,
    validate_int_or_percent,
)
from ekslab.kube.apiserver.kinds.field_errors import (
    forbidden,
    invalid,
    not_negative,
    not_supported,
    required,
    unchanged,
)
from ekslab.kube.apiserver.kinds.labels import (
    selector_is_empty,
    selector_matches,
    validate_label_selector,
)
from ekslab.kube.apiserver.kinds.pod_defaults import default_claim_spec, default_template
from ekslab.kube.apiserver.kinds.pod_spec import validate_template
from ekslab.kube.apiserver.kinds.pod_warnings import pod_warnings
from ekslab.kube.apiserver.kinds.strategy import Strategy, Traits

Spec = Mapping[str, Any]

_QUARTER: Final = "25%"
_MISMATCH: Final = "`selector` does not match template `labels`"
_STATEFUL_MUTABLE: Final = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip
_STATEFUL_TEXT: Final = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template',"
    " 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and"
    " 'minReadySeconds' are forbidden"
)


def validate_selected_template(spec: Spec, noun: str, what: str, path: str = "spec") -> list[Cause]:
    """Selector and template of a workload, and that they fit.

    `noun` names the kind in "empty selector is invalid for ..." (upstream says `deployment` of
    replica sets too), `what` in the message about deadlines.
    """
    causes: list[Cause] = []
    selector, template = spec.get("selector"), spec.get("template") or {}
    if selector is None:
        causes.append(required(f"{path}.selector"))
    else:
        wrong = validate_label_selector(selector, f"{path}.selector")
        causes.extend(wrong)
        if selector_is_empty(selector):
            why = f"empty selector is invalid for {noun}"
            causes.append(invalid(f"{path}.selector", selector, why))
        labels = (template.get("metadata") or {}).get("labels") or {}
        if not wrong and not selector_is_empty(selector) and not selector_matches(selector, labels):
            causes.append(invalid(f"{path}.template.metadata.labels", labels, _MISMATCH))
    causes.extend(validate_template(template, f"{path}.template"))
    if (template.get("spec") or {}).get("activeDeadlineSeconds") is not None:
        why = f"activeDeadlineSeconds in {what} is not Supported"
        causes.append(forbidden(f"{path}.template.spec.activeDeadlineSeconds", why))
    return causes


def _numbers(spec: Spec, *fields: str) -> list[Cause]:
    return [cause for each in fields for cause in not_negative(f"spec.{each}", spec.get(each))]


def _template_warnings(obj: Object) -> list[str]:
    template = obj["spec"].get("template") or {}
    meta = template.get("metadata") or {}
    return pod_warnings(template.get("spec") or {}, meta, "spec.template.spec")


class _Workload(Strategy):
    """What all kinds with a pod template share."""

    def default(self, obj: Object) -> None:
        """Defaults of the template, and one replica where there are replicas."""
        spec = obj.setdefault("spec", {})
        default_template(spec.setdefault("template", {}))
        self.default_spec(spec)

    def default_spec(self, spec: Object) -> None:
        """Defaults of the rest of the spec."""

    def warnings(self, obj: Object) -> list[str]:
        """Those of the template."""
        return _template_warnings(obj)

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """As a new object, and the selector stays."""
        self.check(obj, causes)
        selector = obj["spec"].get("selector")
        causes.extend(unchanged("spec.selector", selector, old["spec"].get("selector")))


class DeploymentStrategy(_Workload):
    """Rolls out by quarters unless told otherwise."""

    traits = Traits(generation=True)

    def default_spec(self, spec: Object) -> None:
        """One replica, rolling update, ten revisions, ten minutes."""
        spec.setdefault("replicas", 1)
        strategy = spec.setdefault("strategy", {})
        strategy.setdefault("type", "RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxUnavailable", _QUARTER)
            rolling.setdefault("maxSurge", _QUARTER)
        spec.setdefault("revisionHistoryLimit", 10)
        spec.setdefault("progressDeadlineSeconds", 600)

    def spec_changed(self, obj: Object, old: Object) -> bool:
        """Upstream counts changes of a deployment's annotations too."""
        annotations = obj["metadata"].get("annotations")
        return super().spec_changed(obj, old) or annotations != old["metadata"].get("annotations")

    def prepare_status_update(self, obj: Object, old: Object) -> None:
        """Labels do not change with the status."""
        super().prepare_status_update(obj, old)
        if "labels" in old["metadata"]:
            obj["metadata"]["labels"] = old["metadata"]["labels"]
        else:
            obj["metadata"].pop("labels", None)

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateDeploymentSpec`."""
        spec = obj["spec"]
        causes.extend(not_negative("spec.replicas", spec.get("replicas")))
        causes.extend(validate_selected_template(spec, "deployment", "ReplicaSet"))
        _validate_deployment_strategy(spec.get("strategy") or {}, causes)
        causes.extend(_numbers(spec, "minReadySeconds", "revisionHistoryLimit"))
        deadline = spec.get("progressDeadlineSeconds")
        causes.extend(not_negative("spec.progressDeadlineSeconds", deadline))
        if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
            why = "must be greater than minReadySeconds"
            causes.append(invalid("spec.progressDeadlineSeconds", deadline, why))


def _validate_deployment_strategy(strategy: Spec, causes: list[Cause]) -> None:
    path, kind = "spec.strategy", strategy.get("type", "")
    if kind == "Recreate":
        if "rollingUpdate" in strategy:
            why = "may not be specified when strategy `type` is 'Recreate'"
            causes.append(forbidden(f"{path}.rollingUpdate", why))
        return
    if kind != "RollingUpdate":
        causes.append(not_supported(f"{path}.type", kind, ("Recreate", "RollingUpdate")))
        return
    rolling, at = strategy.get("rollingUpdate") or {}, f"{path}.rollingUpdate"
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    causes.extend(validate_int_or_percent(unavailable, f"{at}.maxUnavailable"))
    causes.extend(validate_int_or_percent(surge, f"{at}.maxSurge"))
    if is_zero(unavailable) and is_zero(surge):
        why = "may not be 0 when `maxSurge` is 0"
        causes.append(invalid(f"{at}.maxUnavailable", unavailable, why))
    causes.extend(validate_at_most_all(unavailable, f"{at}.maxUnavailable"))


class ReplicaSetStrategy(_Workload):
    """So many pods of one template."""

    traits = Traits(generation=True, born={"replicas": 0})

    def default_spec(self, spec: Object) -> None:
        """One replica."""
        spec.setdefault("replicas", 1)

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateReplicaSetSpec`."""
        spec = obj["spec"]
        causes.extend(_numbers(spec, "replicas", "minReadySeconds"))
        causes.extend(validate_selected_template(spec, "deployment", "ReplicaSet"))


class ReplicationControllerStrategy(ReplicaSetStrategy):
    """The elder of the replica set: its selector is a map and defaults to the template's labels."""

    traits = Traits(
        generation=True, born={"replicas": 0}, selectable=frozenset({"status.replicas"})
    )

    def fields(self, obj: Object) -> dict[str, str]:
        """Replicas of the status."""
        replicas = (obj.get("status") or {}).get("replicas", 0)
        return {**super().fields(obj), "status.replicas": str(replicas)}

    def default(self, obj: Object) -> None:
        """Selector and labels from the template."""
        super().default(obj)
        labels = obj["spec"]["template"]["metadata"].get("labels")
        if labels:
            if not obj["spec"].get("selector"):
                obj["spec"]["selector"] = dict(labels)
            if not obj["metadata"].get("labels"):
                obj["metadata"]["labels"] = dict(labels)

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateReplicationControllerSpec`."""
        spec = obj["spec"]
        causes.extend(_numbers(spec, "minReadySeconds"))
        selector = spec.get("selector")
        if not selector:
            causes.append(required("spec.selector"))
        causes.extend(_numbers(spec, "replicas"))
        labels = (spec["template"].get("metadata") or {}).get("labels") or {}
        if selector and not selector_matches({"matchLabels": selector}, labels):
            causes.append(invalid("spec.template.metadata.labels", labels, _MISMATCH))
        causes.extend(validate_template(spec["template"], "spec.template"))

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """The selector of this kind may change."""
        del old
        self.check(obj, causes)


class DaemonSetStrategy(_Workload):
    """A pod on every node."""

    traits = Traits(
        generation=True,
        born={
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        },
    )

    def default_spec(self, spec: Object) -> None:
        """Rolls node by node; ten revisions."""
        strategy = spec.setdefault("updateStrategy", {})
        strategy.setdefault("type", "RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxUnavailable", 1)
            rolling.setdefault("maxSurge", 0)
        spec.setdefault("revisionHistoryLimit", 10)

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateDaemonSetSpec`."""
        spec = obj["spec"]
        causes.extend(validate_selected_template(spec, "daemonset", "DaemonSet"))
        causes.extend(_numbers(spec, "minReadySeconds"))
        _validate_daemon_strategy(spec.get("updateStrategy") or {}, causes)
        causes.extend(_numbers(spec, "revisionHistoryLimit"))


def _validate_daemon_strategy(strategy: Spec, causes: list[Cause]) -> None:
    path, kind = "spec.updateStrategy", strategy.get("type", "")
    if kind == "OnDelete":
        return
    if kind != "RollingUpdate":
        causes.append(not_supported(path, dict(strategy), ("RollingUpdate", "OnDelete")))
        return
    rolling, at = strategy.get("rollingUpdate") or {}, f"{path}.rollingUpdate"
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    for field, amount in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        causes.extend(validate_int_or_percent(amount, f"{at}.{field}"))
        causes.extend(validate_at_most_all(amount, f"{at}.{field}"))
    if is_zero(unavailable) and is_zero(surge):
        causes.append(required(f"{at}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    elif not is_zero(unavailable) and not is_zero(surge):
        why = "may not be set when maxUnavailable is non-zero"
        causes.append(invalid(f"{at}.maxSurge", surge, why))


class StatefulSetStrategy(_Workload):
    """Pods with names and volumes of their own."""

    traits = Traits(
        generation=True,
        name_rule=names.is_dns1123_label,
        born={"replicas": 0, "availableReplicas": 0},
    )

    def default_spec(self, spec: Object) -> None:
        """Ordered, rolling, one replica, ten revisions; claims are retained."""
        spec.setdefault("replicas", 1)
        spec.setdefault("podManagementPolicy", "OrderedReady")
        strategy = spec.setdefault("updateStrategy", {})
        strategy.setdefault("type", "RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
        retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
        retention.setdefault("whenDeleted", "Retain")
        retention.setdefault("whenScaled", "Retain")
        spec.setdefault("revisionHistoryLimit", 10)
        for claim in spec.get("volumeClaimTemplates") or ():
            claim["apiVersion"], claim["kind"] = "v1", "PersistentVolumeClaim"
            default_claim_spec(claim.setdefault("spec", {}))
            claim.setdefault("status", {}).setdefault("phase", "Pending")

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateStatefulSetSpec`."""
        spec = obj["spec"]
        management = spec.get("podManagementPolicy", "")
        if management not in {"OrderedReady", "Parallel"}:
            why = "must be 'OrderedReady' or 'Parallel'"
            causes.append(invalid("spec.podManagementPolicy", management, why))
        _validate_stateful_strategy(spec.get("updateStrategy") or {}, causes)
        for field, policy in (spec.get("persistentVolumeClaimRetentionPolicy") or {}).items():
            if policy not in {"Retain", "Delete"}:
                at = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
                causes.append(not_supported(at, policy, ("Delete", "Retain")))
        causes.extend(_numbers(spec, "replicas", "minReadySeconds"))
        start = (spec.get("ordinals") or {}).get("start")
        causes.extend(not_negative("spec.ordinals.start", start))
        causes.extend(validate_selected_template(spec, "statefulset", "StatefulSet"))

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Only a few fields of the spec may change."""
        self.check(obj, causes)
        spec, before = obj["spec"], old["spec"]
        if any(
            spec.get(field) != before.get(field)
            for field in spec.keys() | before.keys()
            if field not in _STATEFUL_MUTABLE
        ):
            causes.append(forbidden("spec", _STATEFUL_TEXT))


def _validate_stateful_strategy(strategy: Spec, causes: list[Cause]) -> None:
    path, kind, rolling = "spec.updateStrategy", strategy.get("type", ""), "rollingUpdate"
    if not kind:
        causes.append(required(path))
    elif kind == "OnDelete":
        if rolling in strategy:
            why = "only allowed for updateStrategy 'RollingUpdate'"
            causes.append(invalid(f"{path}.{rolling}", strategy[rolling], why))
    elif kind == "RollingUpdate":
        partition = (strategy.get(rolling) or {}).get("partition")
        causes.extend(not_negative(f"{path}.{rolling}.partition", partition))
    else:
        why = "must be 'RollingUpdate' or 'OnDelete'"
        causes.append(invalid(path, dict(strategy), why))


class ControllerRevisionStrategy(Strategy):
    """A remembered state: never changes."""

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """The number is not negative."""
        causes.extend(not_negative("revision", obj.get("revision")))

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Only the number may change."""
        self.check(obj, causes)
        causes.extend(unchanged("data", obj.get("data"), old.get("data")))


class PodTemplateStrategy(Strategy):
    """A pod template by itself."""

    traits = Traits(generation=True, born=None)

    def default(self, obj: Object) -> None:
        """Defaults of the template."""
        default_template(obj.setdefault("template", {}))

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Any restart policy will do."""
        policies = ("Always", "OnFailure", "Never")
        causes.extend(validate_template(obj["template"], "template", restart=policies))
