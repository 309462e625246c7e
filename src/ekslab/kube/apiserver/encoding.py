"""From answers to bytes, by the media type asked for.

Objects are spliced from the bytes the store keeps (`Item.json`); a list is put together from them
in pieces of about 256 KB and never joined as one. Table and PartialObjectMetadata are
transformations of the same bytes. Upstream: `apiserver/pkg/endpoints/handlers/{response,
negotiation}`.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from ekslab.kit.clock import Clock
from ekslab.kube.api import media
from ekslab.kube.api.errors import ApiError, not_acceptable
from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import Answer, ListPage, WatchEvent
from ekslab.kube.api.protobuf import envelope
from ekslab.kube.api.requests import ApiRequest, Object
from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.apiserver import tables
from ekslab.kube.apiserver.registry import Registry, Served

_PIECE_BYTES: Final = 256 << 10
_GZIP_FROM_BYTES: Final = 128 << 10
_GZIP_LEVEL: Final = 1
_JSON: Final = "application/json"
_PARTIAL: Final = b'"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1"'
_INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"


@dataclass(slots=True)
class Body:
    """An encoded answer: `content` at once, or `pieces` to be sent one after the other."""

    media_type: str
    content: bytes | None = None
    pieces: Iterable[bytes] = field(default=())
    gzipped: bool = False


class Encoder:
    """Encodes answers of one API server."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        # What was told last, by media type: the next watcher of the audience is told the same.
        self.told: dict[str, tuple[Sequence[WatchEvent], bytes]] = {}

    def encode(self, request: ApiRequest, answer: Answer, *, gzip: bool) -> Body:
        """The body of an answer that is an object or a page.

        Raises:
            ApiError: 406, if nothing of what is asked for can be made.
        """
        served = self._registry.find(request.resource) if request.resource is not None else None
        choice = media.negotiate(request.accept, protobuf=_has_message(served, answer))
        if answer.page is not None:
            assert served is not None
            return self._page(request, served, answer.page, choice, gzip=gzip)
        if choice.transform is not None and served is not None and answer.item is not None:
            item = answer.item
            if choice.is_table():
                content = b"".join(self._table(request, served.info, [item], item.revision))
            else:
                content = partial(item)
        elif answer.item is not None:
            content = answer.item.json()
        else:
            content = orjson.dumps(answer.obj)
        return _finished(content, choice, gzip=gzip)

    def _page(
        self,
        request: ApiRequest,
        served: Served,
        page: ListPage,
        choice: media.MediaChoice,
        *,
        gzip: bool,
    ) -> Body:
        if choice.is_table():
            pieces = self._table(request, served.info, page.items, page.revision, page)
        else:
            metadata = orjson.dumps(_list_meta(page))
            if choice.transform is not None:
                head = b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1"'
                encoded: Iterable[Sequence[bytes]] = ((partial(item),) for item in page.items)
            else:
                info = served.info
                head = b'{"kind":"%s","apiVersion":"%s"' % (
                    info.list_kind.encode(),
                    info.api_version.encode(),
                )
                encoded = (item.pieces() for item in page.items)
            pieces = _spliced(head + b',"metadata":' + metadata + b',"items":[', encoded)
        if choice.media_type != _JSON:
            return _finished(b"".join(pieces), choice, gzip=False)
        return _streamed(pieces, choice, gzip=gzip)

    def _table(
        self,
        request: ApiRequest,
        info: ResourceInfo,
        items: Sequence[Item],
        revision: int,
        page: ListPage | None = None,
    ) -> Iterator[bytes]:
        meta = _list_meta(page) if page is not None else {"resourceVersion": str(revision)}
        head = {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": meta,
            "columnDefinitions": tables.columns(info),
        }
        prefix = orjson.dumps(head)[:-1] + b',"rows":['
        return _spliced(prefix, ((row,) for row in self._rows(request, info, items)))

    def _rows(
        self, request: ApiRequest, info: ResourceInfo, items: Iterable[Item]
    ) -> Iterator[bytes]:
        include = request.options.get("includeObject", "Metadata")
        now = self._clock.now()
        for item in items:
            cells = orjson.dumps(tables.row_cells(info, item.glance(), now))
            if include == "None":
                yield b'{"cells":%s}' % cells
            else:
                obj = item.json() if include == "Object" else partial(item)
                yield b'{"cells":%s,"object":%s}' % (cells, obj)

    def watch_lines(self, request: ApiRequest) -> "WatchLines":
        """How the events of a watch are written.

        Raises:
            ApiError: 406.
        """
        assert request.resource is not None
        served = self._registry.find(request.resource)
        assert served is not None
        info = served.info
        built_in = envelope.supports(info.api_version, info.kind)
        choice = media.negotiate(request.accept, protobuf=built_in)
        if choice.media_type == media.PROTOBUF:
            return WatchFrames(self, request, info, choice)
        return WatchLines(self, request, info, choice)

    def event_table(
        self, request: ApiRequest, info: ResourceInfo, item: Item, *, first: bool
    ) -> bytes:
        """The Table of one watch event: only the first says which columns there are."""
        head: Object = {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": {"resourceVersion": item.resource_version},
            "columnDefinitions": tables.columns(info) if first else None,
        }
        prefix = orjson.dumps(head)[:-1] + b',"rows":['
        return b"".join((prefix, *self._rows(request, info, [item]), b"]}"))

    def status(self, error: ApiError, accept: str) -> tuple[bytes, str]:
        """An error as bytes and their media type; JSON, unless another is asked for."""
        try:
            choice = media.negotiate(accept or _JSON, protobuf=True)
        except ApiError:
            return orjson.dumps(error.status()), _JSON
        if choice.media_type == _JSON:
            return orjson.dumps(error.status()), _JSON
        return media.encode(error.status(), choice.media_type), choice.media_type


class WatchLines:
    """Writes events as lines of a stream."""

    def __init__(
        self,
        encoder: Encoder,
        request: ApiRequest,
        info: ResourceInfo,
        choice: media.MediaChoice,
    ) -> None:
        if choice.media_type == media.YAML:
            raise not_acceptable([_JSON])
        self._encoder = encoder
        self._request = request
        self._info = info
        self._table = choice.is_table()
        self._partial = choice.transform is not None and not self._table
        self._first = True
        self.media_type = _JSON

    def pieces(self, events: Sequence[WatchEvent]) -> Iterator[bytes]:
        """A batch, written as it is taken: who does not read costs one piece, not all there is.

        A short one that several watchers share is written once.
        """
        as_it_is = not (self._table or self._partial)
        if as_it_is and (told := self._encoder.told.get(self.media_type)) and told[0] is events:
            yield told[1]
            return
        start = size = 0
        if len(events) > 1:
            for index, event in enumerate(events):
                if event.item is not None:
                    size += sum(map(len, event.item.segments))
                if size > _PIECE_BYTES:
                    yield self.encode(events[start : index + 1])
                    start, size = index + 1, 0
        if start:
            if start < len(events):
                yield self.encode(events[start:])
            return
        piece = self.encode(events)
        if as_it_is:
            self._encoder.told[self.media_type] = events, piece
        yield piece

    def encode(self, events: Sequence[WatchEvent]) -> bytes:
        """All lines of a batch as one piece."""
        if self._table or self._partial:
            return b"".join([self._shaped(event) for event in events])
        return b"".join(
            [
                event.item.watch_line(event.type) if event.item is not None else self._mark(event)
                for event in events
            ]
        )

    def _shaped(self, event: WatchEvent) -> bytes:
        if event.item is None:
            return self._mark(event)
        if self._table:
            obj = self._encoder.event_table(
                self._request, self._info, event.item, first=self._first
            )
            self._first = False
        else:
            obj = partial(event.item)
        return b'{"type":"%s","object":%s}\n' % (event.type.encode(), obj)

    def _mark(self, event: WatchEvent) -> bytes:
        """A bookmark: an object of the watched kind with nothing but its resourceVersion."""
        meta: dict[str, Any] = {"resourceVersion": str(event.revision)}
        if event.initial_events_end:
            meta["annotations"] = {_INITIAL_EVENTS_END: "true"}
        obj: Object = {
            "kind": self._info.kind,
            "apiVersion": self._info.api_version,
            "metadata": meta,
        }
        if self._table:
            row = {"cells": [], "object": {**obj, "kind": "PartialObjectMetadata",
                                           "apiVersion": "meta.k8s.io/v1"}}  # fmt: skip
            obj = {
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": str(event.revision)},
                "columnDefinitions": tables.columns(self._info),
                "rows": [row],
            }
        elif self._partial:
            obj |= {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
        return orjson.dumps({"type": "BOOKMARK", "object": obj}) + b"\n"

    def error(self, error: ApiError) -> bytes:
        """The event that ends a watch."""
        return orjson.dumps({"type": "ERROR", "object": error.status()}) + b"\n"


class WatchFrames(WatchLines):
    """Writes events as protobuf, each after its length."""

    def __init__(
        self,
        encoder: Encoder,
        request: ApiRequest,
        info: ResourceInfo,
        choice: media.MediaChoice,
    ) -> None:
        super().__init__(encoder, request, info, choice)
        self.media_type = f"{media.PROTOBUF};stream=watch"

    def encode(self, events: Sequence[WatchEvent]) -> bytes:
        """All frames of a batch as one piece."""
        return b"".join([self._frame(event) for event in events])

    def _frame(self, event: WatchEvent) -> bytes:
        if event.item is not None and not self._partial:
            return envelope.watch_frame(event.type, event.item.object)
        line = orjson.loads(self._shaped(event))
        return envelope.watch_frame(line["type"], line["object"])

    def error(self, error: ApiError) -> bytes:
        """The event that ends a watch."""
        return envelope.watch_frame("ERROR", error.status())


def _has_message(served: Served | None, answer: Answer) -> bool:
    """Whether an answer, as it is, can be protobuf."""
    if answer.obj is not None:
        return envelope.supports(answer.obj.get("apiVersion", ""), answer.obj.get("kind", ""))
    return served is not None and envelope.supports(served.info.api_version, served.info.kind)


def partial(item: Item) -> bytes:
    """An object's metadata alone, as PartialObjectMetadata."""
    metadata, managed, _rest = item.segments
    managed = b',"managedFields":' + managed if managed else b""
    return b'{%s,%s,"resourceVersion":"%d"%s}}' % (_PARTIAL, metadata, item.revision, managed)


def _list_meta(page: ListPage) -> Object:
    meta: Object = {"resourceVersion": str(page.revision)}
    if page.continue_token:
        meta["continue"] = page.continue_token
    if page.remaining is not None and page.continue_token:
        meta["remainingItemCount"] = page.remaining
    return meta


def _spliced(head: bytes, elements: Iterable[Sequence[bytes]]) -> Iterator[bytes]:
    """`head`, the elements with commas between, `]}`: in pieces of about `_PIECE_BYTES`."""
    parts = [head]
    size = len(head)
    separator = b""
    for element in elements:
        parts.append(separator)
        parts += element
        separator = b","
        size += sum(map(len, element))
        if size >= _PIECE_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    parts.append(b"]}")
    yield b"".join(parts)


def _streamed(pieces: Iterator[bytes], choice: media.MediaChoice, *, gzip: bool) -> Body:
    """One piece goes at once, with its length; more of them as a stream, compressed if wanted."""
    first = next(pieces)
    second = next(pieces, None)
    if second is None:
        return _finished(first, choice, gzip=gzip)

    def rest() -> Iterator[bytes]:
        yield first
        yield second
        yield from pieces

    stream = rest()
    if gzip:
        return Body(choice.content_type, pieces=_compressed(stream), gzipped=True)
    return Body(choice.content_type, pieces=stream)


def _finished(content: bytes, choice: media.MediaChoice, *, gzip: bool) -> Body:
    if choice.media_type != _JSON:
        content = media.encode(orjson.loads(content), choice.media_type)
    if gzip and len(content) >= _GZIP_FROM_BYTES:
        return Body(choice.content_type, b"".join(_compressed(iter((content,)))), gzipped=True)
    return Body(choice.content_type, content)


def _compressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 31)
    for piece in pieces:
        packed = packer.compress(piece)
        if packed:
            yield packed
    yield packer.flush()
