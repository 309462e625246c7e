"""The scheduling queue: order, back-off, waking, gates."""

import pytest

from ekslab.kube.api.objects import Item, encode
from ekslab.kube.scheduler.queue import Change, Place, SchedulingQueue


def item(name: str, revision: int = 1, uid: str = "") -> Item:
    meta = {"name": name, "namespace": "default", "uid": uid or f"uid-{name}"}
    return encode({"metadata": meta, "spec": {}}, resource="pods", revision=revision)


def put(queue: SchedulingQueue, name: str, *, priority: int = 0, now: float = 0.0) -> None:
    queue.put(item(name), priority=priority, gated=False, now_s=now)


def popped(queue: SchedulingQueue) -> list[str]:
    found = []
    while (waiting := queue.pop()) is not None:
        found.append(waiting.item.name)
    return found


def test_more_important_pods_come_first_then_older_ones() -> None:
    queue = SchedulingQueue()
    put(queue, "old", now=1)
    put(queue, "young", now=2)
    put(queue, "vip", priority=100, now=3)
    assert popped(queue) == ["vip", "old", "young"]


def test_a_removed_pod_is_not_tried() -> None:
    queue = SchedulingQueue()
    put(queue, "a")
    put(queue, "b")
    queue.remove(("default", "a"))
    assert popped(queue) == ["b"]


def test_a_gated_pod_waits_until_its_gates_are_gone() -> None:
    queue = SchedulingQueue()
    queue.put(item("a"), priority=0, gated=True, now_s=0)
    assert popped(queue) == []
    queue.put(item("a", 2), priority=0, gated=False, now_s=1)
    assert popped(queue) == ["a"]


@pytest.mark.parametrize(
    ("plugin", "change", "wakes"),
    [
        pytest.param("NodeResourcesFit", Change.POD_REMOVED, True, id="room is made"),
        pytest.param("NodeResourcesFit", Change.NODE_LABELS, False, id="a label gives no room"),
        pytest.param("NodeAffinity", Change.NODE_LABELS, True, id="a label that was missing"),
        pytest.param("NodeAffinity", Change.POD_REMOVED, False, id="room is no label"),
        pytest.param("TaintToleration", Change.NODE_TAINTS, True, id="a taint is gone"),
        pytest.param("InterPodAffinity", Change.POD_ADDED, True, id="company arrives"),
        pytest.param("VolumeBinding", Change.CLAIMS, True, id="the claim is bound"),
        pytest.param("NodeUnschedulable", Change.NODE_ADDED, True, id="a new node"),
    ],
)
def test_only_changes_that_can_help_wake_a_pod(plugin: str, change: Change, wakes: bool) -> None:  # noqa: FBT001 - a table
    queue = SchedulingQueue()
    put(queue, "a")
    waiting = queue.pop()
    assert waiting is not None
    queue.fail(waiting, [plugin], now_s=0)
    queue.happened([change], now_s=100)
    assert popped(queue) == (["a"] if wakes else [])


def test_back_off_doubles_from_one_second_to_ten() -> None:
    queue = SchedulingQueue()
    put(queue, "a")
    now, waits = 0.0, []
    for _ in range(6):
        waiting = queue.pop()
        assert waiting is not None
        queue.fail(waiting, (), now_s=now)
        due = queue.next_due_s()
        assert due is not None
        waits.append(due - now)
        queue.flush(due - 0.001)
        assert waiting.place is Place.BACKOFF
        now = due
        queue.flush(now)
    assert waits == [1, 2, 4, 8, 10, 10]


def test_after_five_minutes_a_pod_is_tried_whatever_happened() -> None:
    queue = SchedulingQueue()
    put(queue, "a")
    waiting = queue.pop()
    assert waiting is not None
    queue.fail(waiting, ["NodeAffinity"], now_s=0)
    queue.flush(299)
    assert popped(queue) == []
    queue.flush(300)
    assert popped(queue) == ["a"]


def test_a_pod_made_anew_under_the_same_name_is_another_pod() -> None:
    queue = SchedulingQueue()
    put(queue, "a")
    first = queue.pop()
    assert first is not None
    queue.put(item("a", 5, uid="second"), priority=0, gated=False, now_s=1)
    queue.fail(first, (), now_s=1)
    assert popped(queue) == ["a"]
    assert len(queue) == 1
