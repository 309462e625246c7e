"""Who manages which fields: the list `metadata.managedFields`.

`after_update` follows a create or update, `apply` carries out a server-side apply. Both take the
list as it is stored and give the new one, the same list if nothing changed; entries that a write
does not touch are shared between the two. Imitates apimachinery
`pkg/util/managedfields` and structured-merge-diff `merge/update.go`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

from ekslab.kube.api.errors import ApiError, bad_request
from ekslab.kube.api.ownership import client_side
from ekslab.kube.api.ownership.comparing import Comparison, compare, of
from ekslab.kube.api.ownership.fieldset import LEAF, BadFieldsError, FieldSet
from ekslab.kube.api.ownership.merging import merged, problems, pruned
from ekslab.kube.api.requests import Object
from ekslab.kube.api.schema.model import Schema

UPDATERS_MOST: Final = 10
"""Managers of updates that are told apart; the oldest beyond become `ancient-changes`."""

_ANCIENT: Final = "ancient-changes"
_BEFORE_APPLIES: Final = "before-first-apply"
"""Who owns what was there already when somebody applies to an object without managers."""
_IDENTITY: Final = ("apiVersion", "kind")
_NONE: Final = FieldSet()
_NAME: Final = FieldSet({"f:metadata": {"f:name": {}}})
"""Every configuration claims the name, though it is not shown: metadata is never pruned away."""


@dataclass(slots=True, eq=False)
class _Entry:
    """One manager. Appliers are the same whatever version they apply.

    `stored` is the entry as it is kept, as long as nothing of it has changed: most writes touch
    what one manager owns, and the others' entries go into the new list as they were.
    """

    manager: str
    operation: str
    api_version: str
    subresource: str
    time: str
    fields: FieldSet
    stored: Object | None = None

    @classmethod
    def kept(cls, entry: Object) -> "_Entry":
        """An entry of a stored list."""
        get = entry.get
        return cls(
            get("manager", ""),
            get("operation", ""),
            get("apiVersion", ""),
            get("subresource", ""),
            get("time") or "",
            FieldSet(get("fieldsV1") or LEAF),
            entry,
        )

    def with_fields(self, fields: FieldSet, *, time: str = "") -> "_Entry":
        """The entry with other fields, and perhaps another time."""
        if fields is self.fields and (not time or time == self.time):
            return self
        return _Entry(
            self.manager, self.operation, self.api_version, self.subresource, time or self.time,
            fields,
        )  # fmt: skip

    @property
    def identity(self) -> tuple[str, str, str, str]:
        version = "" if self.operation == "Apply" else self.api_version
        return (self.manager, self.operation, version, self.subresource)

    @property
    def order(self) -> tuple[str, str, str, str, str]:
        """Where the entry stands in the list: appliers first, then by time and name."""
        return (self.operation, self.time, self.manager, self.api_version, self.subresource)

    def wire(self) -> Object:
        if self.stored is not None:
            return self.stored
        entry: Object = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
        }
        if self.time:
            entry["time"] = self.time
        entry["fieldsType"] = "FieldsV1"
        entry["fieldsV1"] = self.fields.tree
        if self.subresource:
            entry["subresource"] = self.subresource
        return entry

    def describe(self) -> str:
        """How messages name the manager."""
        text = f'"{self.manager}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return text if self.operation == "Apply" else f"{text} using {self.api_version}"


def after_update(
    schema: Schema,
    old: Object | None,
    new: Object,
    managed: list[Any],
    *,
    manager: str,
    api_version: str,
    subresource: str = "",
    time: str,
) -> list[Any]:
    """The managers after `manager` has written `new` over `old` (None: created it).

    Fields that were added or have another value are the manager's alone now; fields that are gone
    leave every set; empty sets vanish. The manager's time is that of its last such change.
    """
    change = compare(old, new, schema)
    if not change.taken and not change.removed:
        return managed
    mine = _Entry(manager, "Update", api_version, subresource, time, change.taken)
    if not managed:
        return [mine.wire()] if change.taken else []
    entries = [_Entry.kept(each) for each in managed]
    before = next((each for each in entries if each.identity == mine.identity), None)
    if change.taken and before is not None:
        entries.remove(before)
        fields = before.fields.difference(change.removed).union(change.taken)
        mine = before.with_fields(fields, time=time)
    entries = _lose(entries, change)
    if change.taken:
        entries.append(mine)
    return _wire(_cap(entries))


def canonical(managed: Iterable[Mapping[str, Any]]) -> list[Any]:
    """A list that a client has made up, in the form in which lists are stored.

    Raises:
        ApiError: 400 for fields that are none.
    """
    entries = []
    for each in managed:
        try:
            fields = FieldSet.parse(each.get("fieldsV1") or {})
        except BadFieldsError as error:
            raise bad_request(f"error decoding managed fields: {error}") from None
        entries.append({**each, "fieldsV1": fields.format()})
    return entries


def apply(
    schema: Schema,
    live: Object | None,
    managed: list[Any],
    config: Object,
    *,
    manager: str,
    force: bool,
    api_version: str,
    subresource: str = "",
    time: str,
) -> tuple[Object, list[Any]]:
    """Server-side apply: the new object (sharing what it can with `live`) and its managers.

    Raises:
        ApiError: 409 if another manager owns a field to which the configuration gives another
            value and `force` is off; 400 for a configuration that cannot be applied.
    """
    _check(config, schema, api_version)
    if live is not None and not managed:
        managed = after_update(
            schema, None, live, [], manager=_BEFORE_APPLIES, api_version=api_version,
            subresource=subresource, time=time,
        )  # fmt: skip
    entries = [_Entry.kept(each) for each in managed]
    claimed = of(config, schema)
    mine = _Entry(manager, "Apply", api_version, subresource, time, claimed)
    before = next((each for each in entries if each.identity == mine.identity), None)
    others = [each for each in entries if each is not before]

    base = live if live is not None else {key: config[key] for key in _IDENTITY if key in config}
    obj = merged(base, config, schema)
    if before is not None:
        owned = reduce(FieldSet.union, (each.fields for each in others), claimed)
        owned = owned.union(_NAME)
        obj = pruned(obj, before.fields.tree, owned.tree, schema)

    change = compare(live, obj, schema)
    by_kubectl = live is not None and manager == client_side.MANAGER
    if not force:
        given_up = _NONE
        if by_kubectl:
            given_up = client_side.unchanged_since(live or {}, schema, api_version)
        _refuse_conflicts(others, change.taken.difference(given_up))
    if by_kubectl:
        obj = client_side.followed(obj, config)
    remaining = _lose(others, change)
    unchanged = not change.taken and not change.removed
    if before is not None and unchanged and before.fields == claimed:
        if before.api_version == api_version:
            return obj, managed
        mine.time = before.time
    if claimed:
        remaining.append(mine)
    return obj, _wire(remaining)


def _check(config: Object, schema: Schema, api_version: str) -> None:
    meta = config.get("metadata") or {}
    if meta.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    found = list(problems(config, schema))
    if not found:
        return
    text = found[0] if len(found) == 1 else "\n  ".join(("errors:", *found))
    place = f"{meta.get('namespace', '')}/{meta.get('name', '')}"
    raise bad_request(
        f"failed to create typed patch object ({place}; {api_version},"
        f" Kind={config.get('kind', '')}): {text}"
    )


def _refuse_conflicts(others: Sequence[_Entry], taken: FieldSet) -> None:
    """Raise upstream's 409 if fields are taken from other managers."""
    conflicts = sorted(
        (entry.describe(), path)
        for entry in others
        for path in entry.fields.intersection(taken).paths()
    )
    if not conflicts:
        return
    if len(conflicts) == 1:
        who, path = conflicts[0]
        message = f"Apply failed with 1 conflict: conflict with {who}: {path}"
    else:
        lines = []
        for who in dict.fromkeys(who for who, _ in conflicts):
            lines.append(f"conflicts with {who}:")
            lines += [f"- {path}" for each, path in conflicts if each == who]
        message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": path}
        for who, path in conflicts
    ]
    raise ApiError(409, "Conflict", message, details={"causes": causes})


def _lose(entries: Iterable[_Entry], change: Comparison) -> list[_Entry]:
    """The entries without the fields that were taken from them or are gone."""
    rest = (
        entry.with_fields(entry.fields.difference(change.taken).difference(change.removed))
        for entry in entries
    )
    return [entry for entry in rest if entry.fields]


def _cap(entries: list[_Entry]) -> list[_Entry]:
    """At most `UPDATERS_MOST` managers of updates: the oldest are put together by version."""
    updaters = sorted(
        (each for each in entries if each.operation == "Update"), key=lambda each: each.time
    )
    excess = len(updaters) - UPDATERS_MOST
    if excess <= 0:
        return entries
    ancient: dict[str, _Entry] = {}
    # One more goes than is too many, because together they need a place themselves.
    old = updaters[: excess + 1]
    for each in old:
        bucket = ancient.get(each.api_version)
        fields = bucket.fields.union(each.fields) if bucket is not None else each.fields
        ancient[each.api_version] = _Entry(
            _ANCIENT, each.operation, each.api_version, "", each.time, fields
        )
    return [each for each in entries if each not in old] + list(ancient.values())


def _wire(entries: Iterable[_Entry]) -> list[Any]:
    """The list in upstream's order."""
    return [each.wire() for each in sorted(entries, key=lambda each: each.order)]
