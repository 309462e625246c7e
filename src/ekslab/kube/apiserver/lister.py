"""Published objects, for those that decide inside the API server.

Upstream's authorizers and admission plugins read shared informers; here the store's memory is at
hand, so what was published is seen at once and nothing is kept twice.
"""

from collections.abc import Sequence

from ekslab.kube.api.objects import Item
from ekslab.kube.api.resources import Resource
from ekslab.kube.store.port import Key, Store


class StoreLister:
    """The `Lister` port over a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def newest(self) -> int:
        """Changes whenever any object changes."""
        return self._store.revision

    def get(self, resource: Resource, name: str, namespace: str = "") -> Item | None:
        """One object, or None."""
        return self._store.published(Key(resource.qualified, namespace, name))

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Item]:
        """All objects of a type, in a namespace or ("") everywhere, in key order."""
        return self._store.published_all(resource.qualified, namespace)

    def revision(self, resource: Resource) -> int:
        """Changes whenever an object of that type changes."""
        return self._store.changed(resource.qualified)
