"""Webhook configurations, read once and then called by.

Upstream: apiserver `pkg/admission/plugin/webhook/accessors.go` and `configuration`: by the names of
their configurations, then as they stand in them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ekslab.kube.api.objects import Item
from ekslab.kube.api.selectors import LabelSelector, label_selector

if TYPE_CHECKING:
    from ekslab.kube.api.cel.conditions import MatchConditions

Part = Mapping[str, Any]


@dataclass(slots=True, kw_only=True, eq=False)
class Webhook:
    """One webhook of a configuration.

    Attributes:
        configuration, name: what messages call it.
        uid: tells it from all others.
        client: its `clientConfig`, as on the wire.
        rules: what it wants to see, as on the wire.
        fails_open: whether requests go through where it cannot be called.
        equivalent: whether its rules mean the same objects in other versions, too.
        reinvocable: whether it wants to see what was changed after it.
        dry_run: whether it may be called for a dry run.
    """

    configuration: str
    name: str
    uid: str
    client: Part
    rules: Sequence[Part]
    fails_open: bool
    equivalent: bool
    reinvocable: bool
    dry_run: bool
    timeout_s: int
    versions: Sequence[str]
    namespaces: LabelSelector
    objects: LabelSelector
    conditions: Sequence[Part]
    _compiled: "MatchConditions | None" = field(default=None)

    @property
    def matcher(self) -> "MatchConditions":
        """Its match conditions, compiled when first asked for."""
        if self._compiled is None:
            from ekslab.kube.api.cel.conditions import MatchConditions

            self._compiled = MatchConditions(self.conditions)
        return self._compiled


def webhooks_of(items: Sequence[Item]) -> list[Webhook]:
    """All webhooks of these configurations, in the order they are called."""
    return [
        _webhook(item.name, index, part)
        for item in sorted(items, key=lambda each: each.name)
        for index, part in enumerate(item.object.get("webhooks") or ())
    ]


def _webhook(configuration: str, index: int, part: Part) -> Webhook:
    return Webhook(
        configuration=configuration,
        name=part["name"],
        uid=f"{configuration}/{part['name']}/{index}",
        client=part.get("clientConfig") or {},
        rules=part.get("rules") or (),
        fails_open=part.get("failurePolicy") == "Ignore",
        equivalent=part.get("matchPolicy") != "Exact",
        reinvocable=part.get("reinvocationPolicy") == "IfNeeded",
        dry_run=part.get("sideEffects") in {"None", "NoneOnDryRun"},
        timeout_s=part.get("timeoutSeconds") or 10,
        versions=part.get("admissionReviewVersions") or (),
        namespaces=label_selector(part.get("namespaceSelector") or {}),
        objects=label_selector(part.get("objectSelector") or {}),
        conditions=part.get("matchConditions") or (),
    )
