"""The store judged by a naive model: a dict and a list of events.

The guarantees of a watch carry the names etcd gives them (etcd.io/docs, "API guarantees"), and each
is asserted by one function.
"""

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ekslab.kube.store.log import open_store
from ekslab.kube.store.memory import MemoryStore
from ekslab.kube.store.port import (
    CompactedError,
    Key,
    RevisionConflictError,
    StoreEvent,
    StoreWatch,
)
from tests.store.builders import item_of, value_of

_KEYS = st.builds(
    Key, st.sampled_from(["pods", "events"]), st.sampled_from(["a", "b"]), st.sampled_from("xyz")
)
_NODES = st.sampled_from(["", "n1", "n2"])


@dataclass(frozen=True)
class Change:
    revision: int
    key: Key
    value: object
    nodes: frozenset[str]
    deleted: bool


@dataclass
class Watcher:
    """One watcher of the store and what the model says it must hear."""

    watch: StoreWatch
    resource: str
    namespace: str
    node: str
    after: int
    heard: list[StoreEvent] = field(default_factory=list)

    def wants(self, change: Change) -> bool:
        return (
            change.revision > self.after
            and change.key.resource == self.resource
            and self.namespace in ("", change.key.namespace)
            and (not self.node or self.node in change.nodes)
        )


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        self.store: MemoryStore = self.run(self.open())
        self.first = self.store.revision
        self.state: dict[Key, tuple[int, object, str]] = {}
        self.log: list[Change] = []
        self.compacted = self.first
        self.watchers: list[Watcher] = []

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    async def open(self) -> MemoryStore:
        # Segments of a few writes each, cleaned all the time.
        return open_store(Path(self.directory.name), segment_bytes=1024, growth_bytes=1024)

    def teardown(self) -> None:
        self.run(self.store.close())
        self.loop.close()
        self.directory.cleanup()

    @rule(writes=st.lists(st.tuples(_KEYS, st.integers(0, 99), _NODES, st.booleans()), max_size=4))
    def write_in_one_tick(self, writes: list[tuple[Key, int, str, bool]]) -> None:
        async def tick() -> list[Any]:
            moves = []
            for key, value, node, delete in writes:
                expect = self.state.get(key, (0,))[0]
                if delete and not expect:
                    continue
                self.expect(key, value, node, delete=delete)
                move = self.store.delete if delete else self.store.put
                encode = item_of(key, value, {"spec.nodeName": node})
                moves.append(asyncio.ensure_future(move(key, encode, expect=expect)))  # noqa: TID251
                await asyncio.sleep(0) if value % 2 else None
            return await asyncio.gather(*moves)

        count = len(self.log)
        items = self.run(tick())
        assert [item.revision for item in items] == [each.revision for each in self.log[count:]]

    def expect(self, key: Key, value: object, node: str, *, delete: bool) -> None:
        """What the model makes of a write."""
        newest = self.log[-1].revision if self.log else self.first
        revision = newest + 1
        before = self.state.pop(key, (0, None, ""))
        if not delete:
            self.state[key] = (revision, value, node)
        nodes = frozenset({node, before[2]} - {""})
        self.log.append(Change(revision, key, value, nodes, delete))

    @rule(key=_KEYS, wrong=st.integers(1, 3))
    def a_stale_writer_conflicts(self, key: Key, wrong: int) -> None:
        current = self.state.get(key, (0,))[0]
        try:
            self.run(self.store.put(key, item_of(key, 0), expect=current + wrong))
        except RevisionConflictError as error:
            assert (error.current.revision if error.current else 0) == current  # noqa: PT017
        else:
            raise AssertionError("no conflict")

    @rule(resource=st.sampled_from(["pods", "events"]), namespace=st.sampled_from(["", "a"]),
          node=_NODES, back=st.integers(0, 6))  # fmt: skip
    def watch(self, resource: str, namespace: str, node: str, back: int) -> None:
        node = node if resource == "pods" else ""
        after = max(self.store.revision - back, self.first)
        try:
            watch = self.store.watch(resource, namespace, after=after, node_name=node)
        except CompactedError:
            assert after < self.compacted
        else:
            assert after >= self.compacted
            self.watchers.append(Watcher(watch, resource, namespace, node, after))

    @rule()
    def restart(self) -> None:
        for watcher in self.watchers:
            watcher.watch.close()
        self.watchers.clear()
        self.run(self.store.close())
        self.store = self.run(self.open())

    @rule(back=st.integers(0, 6))
    def compact(self, back: int) -> None:
        revision = max(self.store.revision - back, self.first)
        self.run(self.store.compact(revision))
        self.compacted = max(self.compacted, revision)

    @precondition(lambda self: self.log)
    @rule(back=st.integers(0, 8), resource=st.sampled_from(["pods", "events"]),
          namespace=st.sampled_from(["", "a"]), limit=st.integers(0, 3))  # fmt: skip
    def list_the_past(self, back: int, resource: str, namespace: str, limit: int) -> None:
        revision = max(self.store.revision - back, self.first)
        expected: dict[tuple[str, str], object] = {}
        for change in self.log:
            place = (change.key.namespace, change.key.name)
            wanted = change.key.resource == resource and namespace in ("", place[0])
            if wanted and change.revision <= revision:
                expected.pop(place, None)
                if not change.deleted:
                    expected[place] = change.value
        found: list[tuple[tuple[str, str], object]] = []
        after, remaining = None, 1
        while remaining:
            try:
                page = self.run(
                    self.store.list(
                        resource, namespace, revision=revision, after=after, limit=limit
                    )
                )
            except CompactedError:
                assert revision < self.compacted
                return
            found += [(item.key, value_of(item)) for item in page.items]
            after, remaining = (found[-1][0] if found else None), page.remaining
        assert found == sorted(expected.items())

    @invariant()
    def watches_keep_their_guarantees(self) -> None:
        for watcher in self.watchers:
            expected = [change for change in self.log if watcher.wants(change)]
            self.run(self.hear(watcher, len(expected)))
            _ordered(watcher)
            _unique(watcher)
            _reliable_and_filterable(watcher, expected)
            _bookmarkable(watcher, self.store)
        if self.watchers:
            _resumable(self.watchers[-1], self)

    async def hear(self, watcher: Watcher, count: int) -> None:
        while len(watcher.heard) < count:
            watcher.heard += await asyncio.wait_for(anext(aiter(watcher.watch)), 5)
        watcher.watch.nudge()


def _ordered(watcher: Watcher) -> None:
    revisions = [event.revision for event in watcher.heard]
    assert revisions == sorted(revisions)


def _unique(watcher: Watcher) -> None:
    assert len({event.revision for event in watcher.heard}) == len(watcher.heard)


def _reliable_and_filterable(watcher: Watcher, expected: list[Change]) -> None:
    """Nothing is left out, nothing else comes; and (Atomic) each event is one whole write."""
    assert [(e.revision, e.item.key, value_of(e.item), e.deleted) for e in watcher.heard] == [
        (c.revision, (c.key.namespace, c.key.name), c.value, c.deleted) for c in expected
    ]


def _bookmarkable(watcher: Watcher, store: MemoryStore) -> None:
    assert watcher.watch.progress == store.revision


def _resumable(watcher: Watcher, machine: StoreMachine) -> None:
    """Whoever goes on from any event it heard hears exactly the rest."""
    for at, event in enumerate(watcher.heard[:-1]):
        if event.revision >= machine.compacted:
            again = machine.store.watch(
                watcher.resource, watcher.namespace, after=event.revision, node_name=watcher.node
            )
            rest = machine.run(anext(aiter(again)))
            again.close()
            assert [each.revision for each in rest] == [
                each.revision for each in watcher.heard[at + 1 :]
            ]
            return


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
