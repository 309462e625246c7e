"""Namespaces: upstream's `registry/core/namespace/strategy.go`."""

from typing import Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.kinds.field_errors import invalid
from ekslab.kube.apiserver.kinds.object_meta import STANDARD_FINALIZERS, validate_core_finalizers
from ekslab.kube.apiserver.kinds.strategy import Strategy, Traits

NAME_LABEL: Final = "kubernetes.io/metadata.name"


class NamespaceStrategy(Strategy):
    """Born Active with the `kubernetes` finalizer and a label that carries its name."""

    traits = Traits(
        name_rule=names.is_dns1123_label,
        born={"phase": "Active"},
        selectable=frozenset({"status.phase"}),
        defaults_status=True,
    )

    def default(self, obj: Object) -> None:
        """Label it with its own name."""
        meta = obj["metadata"]
        if meta.get("name"):
            meta.setdefault("labels", {})[NAME_LABEL] = meta["name"]
        obj.setdefault("spec", {})
        obj.setdefault("status", {}).setdefault("phase", "Active")

    def prepare_create(self, obj: Object) -> None:
        """Put the `kubernetes` finalizer in front if it is not there."""
        super().prepare_create(obj)
        spec = obj["spec"]
        if "kubernetes" not in spec.get("finalizers", ()):
            spec["finalizers"] = [*spec.get("finalizers", ()), "kubernetes"]
        meta = obj["metadata"]
        meta.setdefault("labels", {})[NAME_LABEL] = meta.get("name", "")

    def prepare_update(self, obj: Object, old: Object) -> None:
        """The finalizers change through `namespaces/finalize` only."""
        super().prepare_update(obj, old)
        obj["spec"] = old.get("spec", {})

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Finalizers are standard or fully qualified."""
        causes.extend(validate_core_finalizers(obj["metadata"]))
        causes.extend(_validate_spec_finalizers(obj))

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Only metadata can change."""
        del old
        causes.extend(validate_core_finalizers(obj["metadata"]))

    def check_status_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Terminating if and only if it is being deleted."""
        del old
        phase = obj.get("status", {}).get("phase", "")
        deleted = "deletionTimestamp" in obj["metadata"]
        if deleted and phase != "Terminating":
            why = "may only be 'Terminating' if `deletionTimestamp` is not empty"
            causes.append(invalid("status.Phase", phase, why))
        if not deleted and phase != "Active":
            why = "may only be 'Active' if `deletionTimestamp` is empty"
            causes.append(invalid("status.Phase", phase, why))

    def fields(self, obj: Object) -> dict[str, str]:
        """Name and phase."""
        return {**super().fields(obj), "status.phase": obj.get("status", {}).get("phase", "")}


def _validate_spec_finalizers(obj: Object) -> list[Cause]:
    return [
        invalid(
            f"spec.finalizers[{index}]",
            name,
            "name is neither a standard finalizer name nor is it fully qualified",
        )
        for index, name in enumerate(obj["spec"].get("finalizers", ()))
        if "/" not in name and name not in STANDARD_FINALIZERS
    ]
