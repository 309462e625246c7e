"""PodSecurity: the Pod Security Standard a namespace asks for by its labels.

Upstream: k8s.io/pod-security-admission `admission/admission.go`, `api/helpers.go`. Modes `enforce`
(403 for pods) and `warn` (a warning for pods and what makes pods); `audit` needs an audit log and
is only checked for its form. No namespace is exempt; without labels everything is `privileged`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ekslab.kube.api import errors
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.ports import AdmissionRequest, Lister, Operation
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import NAMESPACES, PODS
from ekslab.kube.apiserver.admission.chain import (
    CREATE_OR_UPDATE,
    UPDATE,
    Plugin,
    Takes,
    refusal,
)
from ekslab.kube.apiserver.admission.pod_security_standards import violations

_PREFIX: Final = "pod-security.kubernetes.io/"
_LEVELS: Final = ("privileged", "baseline", "restricted")
_VERSION: Final = re.compile(r"latest|v1\.(0|[1-9][0-9]*)")
_PODS_CHECKED_MOST: Final = 3_000  # upstream's bound for checking what a namespace holds


@dataclass(frozen=True, slots=True)
class _Standard:
    level: str = "privileged"
    version: str = "latest"

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"


class PodSecurity(Plugin):
    """Refuses or warns of pods below the namespace's standard."""

    name = "PodSecurity"
    takes: ClassVar[Takes] = {
        ("namespaces", ""): CREATE_OR_UPDATE,
        ("pods", ""): CREATE_OR_UPDATE,
        ("pods", "ephemeralcontainers"): UPDATE,
        ("podtemplates", ""): CREATE_OR_UPDATE,
        ("replicationcontrollers", ""): CREATE_OR_UPDATE,
        ("daemonsets.apps", ""): CREATE_OR_UPDATE,
        ("deployments.apps", ""): CREATE_OR_UPDATE,
        ("replicasets.apps", ""): CREATE_OR_UPDATE,
        ("statefulsets.apps", ""): CREATE_OR_UPDATE,
        ("cronjobs.batch", ""): CREATE_OR_UPDATE,
        ("jobs.batch", ""): CREATE_OR_UPDATE,
    }

    def __init__(self, lister: Lister) -> None:
        self._lister = lister

    async def validate(self, request: AdmissionRequest) -> None:
        """Judge one object."""
        if request.obj is None:
            return
        plural = request.info.resource.plural
        if plural == "namespaces":
            self._namespace(request, request.obj)
        elif plural == "pods":
            self._pod(request, request.obj)
        else:
            template = _template(plural, request.obj)
            self._warn(request, template.get("metadata") or {}, template.get("spec") or {})

    def _pod(self, request: AdmissionRequest, pod: Object) -> None:
        if request.operation is Operation.UPDATE and not _changes_images(pod, request.old or {}):
            return
        labels = self._labels(request)
        if not any(label.startswith(_PREFIX) for label in labels):
            return
        enforced = _standard(labels, "enforce")
        problem = violations(enforced.level, pod["metadata"], pod["spec"])
        if problem:
            raise refusal(request, f'violates PodSecurity "{enforced}": {problem}')
        self._warn(request, pod["metadata"], pod["spec"])

    def _warn(self, request: AdmissionRequest, metadata: Object, spec: dict[str, Any]) -> None:
        wanted = _warned(self._labels(request))
        problem = violations(wanted.level, metadata, spec)
        if problem:
            request.request.warnings.append(f'would violate PodSecurity "{wanted}": {problem}')

    def _namespace(self, request: AdmissionRequest, namespace: Object) -> None:
        labels = namespace["metadata"].get("labels") or {}
        before = (request.old or {"metadata": {}})["metadata"].get("labels") or {}
        causes = _label_causes(labels)
        if causes and (request.operation is Operation.CREATE or causes != _label_causes(before)):
            raise errors.invalid("", "Namespace", namespace["metadata"].get("name", ""), causes)
        new, old = _standard(labels, "enforce"), _standard(before, "enforce")
        if request.operation is Operation.CREATE or new == old:
            return
        relaxed = _LEVELS.index(new.level) <= _LEVELS.index(old.level)
        if not (relaxed and new.version == old.version):
            self._warn_of_pods(request, namespace["metadata"]["name"], new)

    def _warn_of_pods(self, request: AdmissionRequest, name: str, standard: _Standard) -> None:
        """Say which pods that are there already would not be admitted any more."""
        pods_of: dict[str, list[str]] = {}
        for item in self._lister.list(PODS, name)[:_PODS_CHECKED_MOST]:
            pod = item.object
            problem = violations(standard.level, pod["metadata"], pod["spec"])
            if problem:
                pods_of.setdefault(problem, []).append(item.name)
        if not pods_of:
            return
        what = f'existing pods in namespace "{name}" violate the new PodSecurity enforce level'
        request.request.warnings.append(f'{what} "{standard}"')
        for problem, names in sorted(pods_of.items(), key=lambda entry: min(entry[1])):
            others = len(names) - 1
            more = f" (and {others} other pod{'s' if others > 1 else ''})" if others else ""
            request.request.warnings.append(f"{min(names)}{more}: {problem}")

    def _labels(self, request: AdmissionRequest) -> Mapping[str, str]:
        namespace = self._lister.get(NAMESPACES, request.request.namespace)
        return namespace.labels if namespace is not None else {}


def _template(plural: str, obj: Object) -> dict[str, Any]:
    holder = obj if plural == "podtemplates" else obj.get("spec") or {}
    if plural == "cronjobs":
        holder = (holder.get("jobTemplate") or {}).get("spec") or {}
    template: dict[str, Any] = holder.get("template") or {}
    return template


def _standard(labels: Mapping[str, str], mode: str) -> _Standard:
    """What a mode asks for; a bad level counts as restricted, a bad version as the latest."""
    level = labels.get(_PREFIX + mode, "privileged")
    version = labels.get(f"{_PREFIX}{mode}-version", "latest")
    return _Standard(
        level if level in _LEVELS else "restricted",
        version if _VERSION.fullmatch(version) else "latest",
    )


def _warned(labels: Mapping[str, str]) -> _Standard:
    """What is warned of: the mode's own level, else the enforced one."""
    given = labels.get(f"{_PREFIX}warn")
    if given is not None:
        # A bad level fails open: nobody is warned of what nobody asked for.
        return _standard(labels, "warn") if given in _LEVELS else _Standard()
    enforced = labels.get(f"{_PREFIX}enforce", "privileged")
    level = enforced if enforced in _LEVELS else "privileged"
    has_version = f"{_PREFIX}warn-version" in labels
    return _Standard(level, _standard(labels, "warn" if has_version else "enforce").version)


def _label_causes(labels: Mapping[str, str]) -> list[Cause]:
    causes = []
    for mode in ("enforce", "audit", "warn"):
        for label, problem in (
            (_PREFIX + mode, _level_problem),
            (f"{_PREFIX}{mode}-version", _version_problem),
        ):
            text = problem(labels[label]) if label in labels else ""
            if text:
                field = f"metadata.labels[{label}]"
                causes.append(Cause(field, f'Invalid value: "{labels[label]}": {text}'))
    return causes


def _level_problem(level: str) -> str:
    return "" if level in _LEVELS else f"must be one of {', '.join(_LEVELS)}"


def _version_problem(version: str) -> str:
    return "" if _VERSION.fullmatch(version) else 'must be "latest" or "v1.x"'


def _changes_images(pod: Object, old: Object) -> bool:
    """Whether an update brings another image or another container: the rest cannot loosen."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        after = [(one["name"], one.get("image")) for one in pod["spec"].get(field) or ()]
        before = [(one["name"], one.get("image")) for one in old["spec"].get(field) or ()]
        if after != before:
            return True
    return False
