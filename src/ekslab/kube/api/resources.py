"""Names of resource types.

A resource is addressed by group, version and plural (`Resource`); an object names its type by
`apiVersion` and `kind`. `ResourceInfo` is what a cluster knows of one served resource.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol


class Resource(NamedTuple):
    """Group, version and plural of a resource type; `Resource("apps", "v1", "deployments")`.

    A tuple, because every request looks several things up by it.
    """

    group: str
    version: str
    plural: str

    @property
    def api_version(self) -> str:
        """`v1` or `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`pods` or `deployments.apps`: how messages and the store name the type."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


@dataclass(frozen=True, slots=True)
class SubresourceInfo:
    """One subresource: `status`, `scale`, `log`, ... with the kind it takes and gives."""

    name: str
    kind: str
    group: str
    version: str
    verbs: tuple[str, ...]


class Printer(Protocol):
    """The table of a custom resource."""

    columns: list[dict[str, Any]]

    def cells(self, obj: dict[str, Any], now: float) -> list[Any]:
        """The cells of one object, in the order of the columns; `now` is lab time in seconds."""


@dataclass(frozen=True, slots=True)
class ResourceInfo:
    """What discovery says of one resource, and how its objects are kept.

    `storage_version` is the version objects are stored in; a served version other than that is
    converted on the way in and out. `type_name` is the name of its type in the schema catalog
    (`io.k8s.api.core.v1.Pod`). `printer` makes the table of a custom resource.
    """

    resource: Resource
    kind: str
    list_kind: str
    singular: str
    namespaced: bool
    verbs: tuple[str, ...]
    type_name: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    storage_version: str = ""
    subresources: tuple[SubresourceInfo, ...] = field(default=())
    printer: Printer | None = field(default=None, compare=False)

    @property
    def api_version(self) -> str:
        """`v1` or `apps/v1`."""
        return self.resource.api_version

    def subresource(self, name: str) -> SubresourceInfo | None:
        """The subresource of that name, if it is served."""
        return next((sub for sub in self.subresources if sub.name == name), None)
