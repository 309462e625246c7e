"""GET and LIST: what is published, now or at a revision.

Upstream: `apiserver/pkg/endpoints/handlers/get.go`, `pkg/storage/etcd3/store.go` (GetList) and the
table of resourceVersion x resourceVersionMatch in the API concepts page. Every read here is of the
newest published state unless a revision is asked for exactly: that satisfies "any", "not older
than" and "most recent" alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ekslab.kube.api import errors
from ekslab.kube.api.errors import ApiError, bad_request
from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import ListPage
from ekslab.kube.api.requests import ApiRequest
from ekslab.kube.api.selectors import FieldSelector, parse_fields, parse_labels
from ekslab.kube.apiserver import continue_tokens
from ekslab.kube.apiserver.continue_tokens import ExpiredContinueError, Position
from ekslab.kube.apiserver.kinds.strategy import Strategy
from ekslab.kube.apiserver.options import EXACT, ListOptions, list_options, parse_revision
from ekslab.kube.apiserver.registry import Served
from ekslab.kube.store.port import CompactedError, Page, Store

_SELECTIVE_PAGE: Final = 500


def too_large_revision(asked: int, current: int) -> ApiError:
    """504: the revision asked for lies in the future."""
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    details = {"causes": [cause], "retryAfterSeconds": 1}
    return ApiError(504, "Timeout", message, details=details, headers={"Retry-After": "1"})


@dataclass(frozen=True, slots=True)
class Selection:
    """Compiled selectors of a list or watch. `everything` is True where nothing is filtered.

    `name` and `node_name` are set where the field selector names exactly one: they are looked up
    instead of compared.
    """

    matches: Callable[[Item], bool]
    everything: bool
    name: str = ""
    node_name: str = ""


def _match_all(_item: Item) -> bool:
    return True


_EVERYTHING: Final = Selection(matches=_match_all, everything=True)


def selection(served: Served, options: ListOptions) -> Selection:
    """Compile the selectors of a request.

    Raises:
        ApiError: 400, if one cannot be parsed or names a field that cannot be selected by.
    """
    if not options.label_selector and not options.field_selector:
        return _EVERYTHING
    labels = parse_labels(options.label_selector) if options.label_selector else None
    fields = parse_fields(options.field_selector) if options.field_selector else None
    if fields is not None:
        fields = _known(served.strategy, fields)

    def matches(item: Item) -> bool:
        if fields is not None and not fields.matches(item.fields):
            return False
        return labels is None or labels.matches(item.labels)

    node = fields.exact("spec.nodeName") if fields is not None and served.storage == "pods" else ""
    return Selection(
        matches=matches,
        everything=(labels is None or labels.empty) and (fields is None or fields.empty),
        name=(fields.exact("metadata.name") if fields is not None else "") or "",
        node_name=node or "",
    )


def _known(strategy: Strategy, fields: FieldSelector) -> FieldSelector:
    """The selector in the names of what is kept, if all of its fields are known."""
    for requirement in fields.requirements:
        if requirement.field not in strategy.selectable:
            raise bad_request(strategy.unselectable(requirement.field))
    return fields.renamed(strategy.renamed) if strategy.renamed else fields


class Reader:
    """Answers get and list from the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, served: Served, request: ApiRequest) -> Item:
        """One object in the served version, from memory.

        Raises:
            ApiError: 404; 504 if the resourceVersion asked for lies in the future.
        """
        if request.options:
            self._check_not_newer(parse_revision(request.options.get("resourceVersion", "")))
        item = self._store.published(served.key(request.namespace, request.name))
        if item is None:
            raise errors.not_found(served.resource.group, served.resource.plural, request.name)
        return item if served.convert is None else served.item_of(item)

    async def list(self, served: Served, request: ApiRequest) -> ListPage:
        """Objects in key order, all or a page, by the rules of resourceVersion and continue.

        Raises:
            ApiError: 400 for bad parameters, 410 for revisions that are gone, 504 for future ones.
        """
        options = list_options(request)
        chosen = selection(served, options)
        position = self._position(options)
        if chosen.name and request.namespace and position.revision == 0:
            page = self._single(served, request.namespace, chosen)
        elif chosen.everything or not options.limit:
            page = await self._page(served, request.namespace, position, options.limit)
        else:
            return await self._selective(served, request.namespace, position, options, chosen)
        items = page.items
        if not chosen.everything:
            items = [item for item in items if chosen.matches(item)]
        return self._answer(served, items, page, options.limit)

    def _single(self, served: Served, namespace: str, chosen: Selection) -> Page:
        item = self._store.published(served.key(namespace, chosen.name))
        return Page(items=[] if item is None else [item], revision=self._store.revision)

    def _position(self, options: ListOptions) -> Position:
        """The revision to read at (0: newest) and the key to go on behind (("", ""): the first)."""
        if options.continue_token:
            if options.revision:
                message = "specifying resource version is not allowed when using continue"
                raise bad_request(message)
            return continue_tokens.decode(options.continue_token)
        self._check_not_newer(options.revision)
        # With a limit and no match rule upstream serves a given revision exactly.
        exact = options.match == EXACT or (options.limit > 0 and not options.match)
        revision = options.revision if exact and options.revision else 0
        return Position(revision=revision, after=("", ""))

    def _check_not_newer(self, revision: int | None) -> None:
        if revision is not None and revision > self._store.revision:
            raise too_large_revision(revision, self._store.revision)

    async def _page(self, served: Served, namespace: str, position: Position, limit: int) -> Page:
        after = position.after if position.after != ("", "") else None
        try:
            return await self._store.list(
                served.storage,
                namespace,
                revision=max(0, position.revision),
                after=after,
                limit=limit,
            )
        except CompactedError:
            if after is None:
                message = "The resourceVersion for the provided list is too old."
                raise errors.expired(message) from None
            raise ExpiredContinueError(position) from None
        except ValueError:
            raise too_large_revision(position.revision, self._store.revision) from None

    async def _selective(
        self,
        served: Served,
        namespace: str,
        position: Position,
        options: ListOptions,
        chosen: Selection,
    ) -> ListPage:
        """A page of what matches: reads on until `limit` objects were found.

        All pages are read at one revision. The count of what remains is not known, as upstream.
        """
        found: list[Item] = []
        limit = options.limit
        while True:
            page = await self._page(served, namespace, position, max(limit, _SELECTIVE_PAGE))
            for index, item in enumerate(page.items):
                if not chosen.matches(item):
                    continue
                found.append(item)
                if len(found) == limit:
                    more = page.remaining > 0 or index + 1 < len(page.items)
                    token = Position(page.revision, item.key) if more else None
                    return self._listed(served, found, page.revision, token, None)
            if not page.remaining:
                return self._listed(served, found, page.revision, None, None)
            position = Position(page.revision, page.items[-1].key)

    def _answer(self, served: Served, items: Sequence[Item], page: Page, limit: int) -> ListPage:
        if not limit or not page.remaining:
            return self._listed(served, items, page.revision, None, None)
        position = Position(page.revision, page.items[-1].key)
        return self._listed(served, items, page.revision, position, page.remaining)

    @staticmethod
    def _listed(
        served: Served,
        items: Sequence[Item],
        revision: int,
        position: Position | None,
        remaining: int | None,
    ) -> ListPage:
        if served.convert is not None:
            items = [served.item_of(item) for item in items]
        token = continue_tokens.encode(position) if position is not None else ""
        return ListPage(items=items, revision=revision, continue_token=token, remaining=remaining)
