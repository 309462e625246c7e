import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ekslab.kit.clock import LoopClock
from ekslab.kit.queues import QueueOverflowError
from ekslab.kit.virtual import VirtualLoop
from ekslab.kube.runtime.work_queue import WorkQueue


def lived(story: Callable[[WorkQueue[str], LoopClock], Awaitable[None]], limit: int = 100) -> None:
    async def main() -> None:
        clock = LoopClock(asyncio.get_running_loop(), epoch_s=0)
        await story(WorkQueue(clock=clock, limit=limit), clock)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def test_a_key_waits_once_however_often_it_is_added() -> None:
    async def story(queue: WorkQueue[str], _clock: LoopClock) -> None:
        for key in "abab":
            queue.add(key)
        assert [await queue.get(), await queue.get()] == ["a", "b"]
        assert len(queue) == 0

    lived(story)


def test_a_key_added_while_it_is_worked_on_comes_again_only_after_done() -> None:
    async def story(queue: WorkQueue[str], _clock: LoopClock) -> None:
        queue.add("a")
        key = await queue.get()
        queue.add("a")
        assert len(queue) == 0
        queue.done(key)
        assert await queue.get() == "a"

    lived(story)


def test_back_off_doubles_from_5_ms_to_1000_s_and_starts_anew_when_forgotten() -> None:
    async def story(queue: WorkQueue[str], clock: LoopClock) -> None:
        delays = []
        for _ in range(20):
            start_s = clock.now()
            queue.add_rate_limited("a")
            await queue.get()
            queue.done("a")
            delays.append(clock.now() - start_s)
        assert delays[:4] == pytest.approx([0.005, 0.010, 0.020, 0.040])
        assert delays[-1] == 1000.0
        queue.forget("a")
        assert queue.add_rate_limited("a") == 0.005

    lived(story)


def test_of_two_promises_for_later_the_earlier_stands() -> None:
    async def story(queue: WorkQueue[str], clock: LoopClock) -> None:
        queue.add_after("a", 50)
        queue.add_after("a", 10)
        queue.add_after("a", 30)
        await queue.get()
        assert clock.now() == 10
        queue.done("a")
        await clock.sleep(100)
        assert queue.is_idle

    lived(story)


def test_a_waiting_worker_is_woken() -> None:
    async def story(queue: WorkQueue[str], clock: LoopClock) -> None:
        clock.call_later(5, lambda: queue.add("late"))
        assert await queue.get() == "late"

    lived(story)


def test_a_full_queue_says_so() -> None:
    async def story(queue: WorkQueue[str], _clock: LoopClock) -> None:
        queue.add("a")
        queue.add("b")
        with pytest.raises(QueueOverflowError):
            queue.add("c")

    lived(story, limit=2)
