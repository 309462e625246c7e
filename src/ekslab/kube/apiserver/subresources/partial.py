"""Doors that show the whole object and let a part of it be changed.

`pods/ephemeralcontainers`, `pods/resize`, `namespaces/finalize`, CSR `approval` and `status`.
Upstream: the strategies beside the main one in `pkg/registry/core/{pod,namespace}/strategy.go` and
`pkg/registry/certificates/certificates/strategy.go`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from ekslab.kube.api.errors import Cause
from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.registry import Served
from ekslab.kube.apiserver.writing import Rules

RulesOf = Callable[[Served], Rules]
_RESIZABLE: Final = ("resources", "resizePolicy")


def _keep_all_but(obj: Object, old: Object, *changing: str) -> None:
    """Take every part of the object from `old`, except metadata and those named."""
    for key in [key for key in obj if key not in changing and key != "metadata"]:
        if key not in old:
            del obj[key]
    for key, value in old.items():
        if key not in changing and key != "metadata":
            obj[key] = value
    if "generation" in old["metadata"]:
        obj["metadata"]["generation"] = old["metadata"]["generation"]


def _count_generation(obj: Object, old: Object) -> None:
    if obj.get("spec") != old.get("spec"):
        obj["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


def _ephemeral_containers(_served: Served) -> Rules:
    def prepare(obj: Object, old: Object) -> None:
        wanted = (obj.get("spec") or {}).get("ephemeralContainers")
        _keep_all_but(obj, old)
        spec = dict(old["spec"])
        if wanted:
            spec["ephemeralContainers"] = wanted
        else:
            spec.pop("ephemeralContainers", None)
        obj["spec"] = spec
        _count_generation(obj, old)

    def validate(obj: Object, old: Object) -> list[Cause]:
        path = "spec.ephemeralContainers"
        before = {entry["name"]: entry for entry in old["spec"].get("ephemeralContainers") or ()}
        now = {entry.get("name", ""): entry for entry in obj["spec"].get("ephemeralContainers", ())}
        causes = []
        for name, entry in before.items():
            if now.get(name) != entry:
                text = f'Forbidden: existing ephemeral containers "{name}" may not be '
                text += "changed" if name in now else "removed"
                causes.append(Cause(path, text, "FieldValueForbidden"))
        for index, (name, entry) in enumerate(now.items()):
            for field, value in (("name", name), ("image", entry.get("image"))):
                if not value:
                    where = f"{path}[{index}].{field}"
                    causes.append(Cause(where, "Required value", "FieldValueRequired"))
        return causes

    return Rules("ephemeralcontainers", prepare, validate)


def _resized(container: dict[str, Any], wanted: Mapping[str, Any] | None) -> dict[str, Any]:
    if wanted is None:
        return container
    kept = {key: value for key, value in container.items() if key not in _RESIZABLE}
    return kept | {key: wanted[key] for key in _RESIZABLE if key in wanted}


def _resize(served: Served) -> Rules:
    def prepare(obj: Object, old: Object) -> None:
        wanted = obj.get("spec") or {}
        _keep_all_but(obj, old)
        spec = dict(old["spec"])
        for field in ("containers", "initContainers"):
            named = {entry.get("name"): entry for entry in wanted.get(field) or ()}
            if field in spec:
                spec[field] = [_resized(entry, named.get(entry["name"])) for entry in spec[field]]
        obj["spec"] = spec
        _count_generation(obj, old)

    def validate(obj: Object, old: Object) -> list[Cause]:
        del old
        causes: list[Cause] = []
        served.strategy.check(obj, causes)
        return causes

    return Rules("resize", prepare, validate)


def _finalize(served: Served) -> Rules:
    def prepare(obj: Object, old: Object) -> None:
        finalizers = (obj.get("spec") or {}).get("finalizers")
        _keep_all_but(obj, old)
        spec = dict(old.get("spec") or {})
        if finalizers:
            spec["finalizers"] = finalizers
        else:
            spec.pop("finalizers", None)
        obj["spec"] = spec

    return Rules("finalize", prepare, served.strategy.validate_status_update)


def _approval(served: Served) -> Rules:
    def prepare(obj: Object, old: Object) -> None:
        conditions = (obj.get("status") or {}).get("conditions")
        _keep_all_but(obj, old)
        status = dict(old.get("status") or {})
        if conditions:
            status["conditions"] = conditions
        obj["status"] = status

    return Rules("approval", prepare, served.strategy.validate_status_update)


PARTIAL_RULES: Final[Mapping[tuple[str, str], RulesOf]] = {
    ("pods", "ephemeralcontainers"): _ephemeral_containers,
    ("pods", "resize"): _resize,
    ("namespaces", "finalize"): _finalize,
    ("certificatesigningrequests.certificates.k8s.io", "approval"): _approval,
}
"""Rules by storage name and subresource."""
