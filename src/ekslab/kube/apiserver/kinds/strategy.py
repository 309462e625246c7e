"""What the API server knows of one kind beyond its types: the base of all strategies.

Imitates upstream's `registry/<group>/<kind>/strategy.go` with the defaults of `pkg/apis/*/v1` and
the checks of `pkg/apis/*/validation`. Everything is a synchronous function over plain dicts in
the wire's spelling. Order of a write, as the pipeline calls it:

    create   default -> (mutating admission) -> prepare_create -> validate
    update   default -> prepare_update -> (mutating admission) -> validate_update
    status   default -> prepare_status_update -> (admission) -> validate_status_update

`obj` is private to the request and changed in place; `old` is shared and only read. Objects have
passed the type check, so every value has the type its schema says; nulls are gone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.api.schema.model import Schema
from ekslab.kube.apiserver.kinds.object_meta import validate_meta, validate_meta_update

_EVERY_OBJECT_HAS: Final = frozenset({"metadata", "status", "kind", "apiVersion"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What is fixed for a kind.

    Attributes:
        name_rule: what names of this kind look like.
        generation: whether upstream counts changes of the spec in `metadata.generation`.
        born: the status an object is born with; None where upstream writes none.
        selectable: paths a field selector may name, beside name and namespace.
        unselectable: what a selector by another path is answered; the path goes into the braces.
        checked_only: True where there are no defaults and no validation beyond types.
        create_on_update: whether PUT may create.
        unconditional_update: whether PUT needs no resourceVersion.
        graceful: whether a delete waits for somebody to confirm it (pods).
        defaults_status: whether there are defaults outside the spec, so that writers of the status
            need them.
    """

    name_rule: names.Rule = names.is_dns1123_subdomain
    generation: bool = False
    born: Mapping[str, Any] | None = field(default_factory=dict)
    selectable: frozenset[str] = frozenset()
    unselectable: str = ""
    checked_only: bool = False
    create_on_update: bool = False
    unconditional_update: bool = True
    graceful: bool = False
    defaults_status: bool = False


class Strategy:
    """A kind without knowledge of its own: types, metadata, and the split of spec and status.

    Attributes:
        has_status: whether there is a status subresource, so that writers of the main resource
            cannot touch the status.
        selectable: paths a field selector may name.
        renamed: what `fields` calls those of them that it calls otherwise.
        checked_only, allows_create_on_update, allows_unconditional_update, graceful: see `Traits`.
        kept_on_update, kept_on_status_update: parts that the preparation of an update (of a status
            update) takes from the old object.
    """

    traits: ClassVar[Traits] = Traits()

    def __init__(self, info: ResourceInfo, schema: Schema) -> None:
        self.info = info
        self.schema = schema
        self._has_spec = "spec" in schema.fields
        self.has_status = info.subresource("status") is not None
        own = self.traits.selectable
        paths = own | {"metadata.name"}
        # Upstream's rule for kinds without one of their own takes a namespace of any kind.
        by_namespace = info.namespaced or not (own or self.traits.unselectable)
        self.selectable = paths | {"metadata.namespace"} if by_namespace else paths
        self.renamed: Mapping[str, str] = {}
        self.checked_only = self.traits.checked_only
        self.allows_create_on_update = self.traits.create_on_update
        self.allows_unconditional_update = self.traits.unconditional_update
        self.graceful = self.traits.graceful
        self.kept_on_update = frozenset({"status"}) if self.has_status else frozenset()
        self.kept_on_status_update = frozenset(schema.fields) - _EVERY_OBJECT_HAS

    def default(self, obj: Object) -> None:
        """Fill in what the client left out (upstream: `SetDefaults_*`); a spec is always there."""
        if self._has_spec:
            obj.setdefault("spec", {})

    def prepare_create(self, obj: Object) -> None:
        """Make a new object's server-owned parts: status as born, generation 1."""
        if self.has_status:
            obj.pop("status", None)
            if self.traits.born is not None:
                obj["status"] = dict(self.traits.born)
        if self.traits.generation:
            obj["metadata"]["generation"] = 1

    def prepare_update(self, obj: Object, old: Object) -> None:
        """Take server-owned parts from `old`; count a change of the spec."""
        if self.has_status:
            _take(obj, old, "status")
        self.count_generation(obj, old)

    def prepare_status_update(self, obj: Object, old: Object) -> None:
        """Take everything but status and metadata from `old`."""
        for key in [key for key in obj if key not in _EVERY_OBJECT_HAS]:
            if key not in old:
                del obj[key]
        for key, value in old.items():
            if key not in _EVERY_OBJECT_HAS:
                obj[key] = value
        _take(obj["metadata"], old["metadata"], "generation")

    def validate(self, obj: Object) -> list[Cause]:
        """Everything wrong with a new object."""
        causes = validate_meta(
            obj["metadata"], namespaced=self.info.namespaced, rule=self.traits.name_rule
        )
        self.check(obj, causes)
        return causes

    def validate_update(self, obj: Object, old: Object) -> list[Cause]:
        """Everything wrong with a changed object, and with the change."""
        causes = validate_meta_update(obj["metadata"], old["metadata"])
        self.check_update(obj, old, causes)
        return causes

    def validate_status_update(self, obj: Object, old: Object) -> list[Cause]:
        """Everything wrong with a changed status."""
        causes = validate_meta_update(obj["metadata"], old["metadata"])
        self.check_status_update(obj, old, causes)
        return causes

    def warnings(self, obj: Object) -> list[str]:  # noqa: ARG002 - for the kinds to say
        """What upstream warns of without refusing it."""
        return []

    def fields(self, obj: Object) -> dict[str, str]:
        """The values of the selectable fields, by path."""
        meta = obj["metadata"]
        if self.info.namespaced:
            return {
                "metadata.name": meta.get("name", ""),
                "metadata.namespace": meta.get("namespace", ""),
            }
        return {"metadata.name": meta.get("name", "")}

    def unselectable(self, path: str) -> str:
        """What a selector by a path that is not selectable is answered.

        Kinds without paths of their own word it in one way (`DefaultMetaV1FieldSelectorConversion`
        in `apimachinery/pkg/runtime/conversion.go`), kinds with some in another.
        """
        if self.traits.unselectable:
            return self.traits.unselectable.format(path)
        if self.traits.selectable:
            return f"field label not supported: {path}"
        return f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'

    def deletion_grace_s(self, obj: Object, requested: int | None) -> int:  # noqa: ARG002
        """Seconds a deleted object stays for somebody to finish it; 0 removes it at once."""
        return 0

    # What kinds override.

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Append what is wrong with a new object beyond its metadata."""

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Append what is wrong with a changed object; by default what is wrong with a new one."""
        del old
        self.check(obj, causes)

    def check_status_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Append what is wrong with a changed status."""

    def spec_changed(self, obj: Object, old: Object) -> bool:
        """Whether anything changed that the generation counts."""
        for key in obj.keys() | old.keys():
            if key not in _EVERY_OBJECT_HAS and obj.get(key) != old.get(key):
                return True
        return False

    def count_generation(self, obj: Object, old: Object) -> None:
        """Set the generation: the old one, and one more if the spec changed."""
        if not self.traits.generation:
            _take(obj["metadata"], old["metadata"], "generation")
            return
        before = old["metadata"].get("generation", 0)
        changed = self.spec_changed(obj, old)
        obj["metadata"]["generation"] = before + 1 if changed else before


class CheckedOnly(Strategy):
    """A built-in kind of which we know the types only."""

    traits = Traits(checked_only=True)


class Counted(CheckedOnly):
    """A kind of which we know the types, and that upstream gives a generation."""

    traits = Traits(checked_only=True, generation=True)


class Custom(Strategy):
    """An object of a CustomResourceDefinition: upstream's apiextensions strategy."""

    traits = Traits(generation=True, born=None, unconditional_update=False)

    def __init__(self, info: ResourceInfo, schema: Schema) -> None:
        super().__init__(info, schema)
        if not info.namespaced:
            self.selectable -= {"metadata.namespace"}

    def unselectable(self, path: str) -> str:
        """One wording for all of them (apiextensions: `conversion/converter.go`)."""
        return f"field label not supported: {path}"

    def default(self, obj: Object) -> None:
        """Defaults of custom objects stand in their schema, which is applied elsewhere."""

    def prepare_status_update(self, obj: Object, old: Object) -> None:
        """Take everything but the status from `old`, metadata too."""
        super().prepare_status_update(obj, old)
        meta = {**old["metadata"]}
        for key in ("resourceVersion", "managedFields"):
            _take(meta, obj["metadata"], key)
        obj["metadata"] = meta


def _take(obj: Object, old: Object, key: str) -> None:
    if key in old:
        obj[key] = old[key]
    else:
        obj.pop(key, None)
