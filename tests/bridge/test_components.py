"""What EKS runs for a cluster: told at once when it fails, and started again, later each time."""

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import pytest

from ekslab.bridge.components import CALM_S, PAUSE_S_MAX, keep_running
from ekslab.kit.clock import LoopClock
from ekslab.kit.tasks import Service
from ekslab.kit.virtual import VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


def test_a_failure_is_told_at_once_and_retried_with_growing_pauses(
    loop: VirtualLoop, capsys: pytest.CaptureFixture[str]
) -> None:
    starts: list[float] = []

    async def work() -> None:
        starts.append(asyncio.get_running_loop().time())
        raise AssertionError("a mistake")

    async def story() -> None:
        clock = LoopClock(asyncio.get_running_loop(), epoch_s=0)
        service = Service(keep_running(work, cluster="dev", clock=clock), name="eks-dev")
        await asyncio.sleep(0)
        await asyncio.sleep(0.5)
        told = capsys.readouterr()
        assert "components failed" in told.out + told.err
        assert "a mistake" in told.out + told.err
        await asyncio.sleep(3600)
        await service.stop()

    loop.run_until_complete(story())
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert pauses[:4] == [1, 2, 4, 8]
    assert max(pauses) == PAUSE_S_MAX


def test_who_ran_for_long_starts_again_at_once(loop: VirtualLoop) -> None:
    starts: list[float] = []

    async def work() -> None:
        starts.append(asyncio.get_running_loop().time())
        if len(starts) == 4:
            await asyncio.sleep(CALM_S)
        raise AssertionError("a mistake")

    async def story() -> None:
        clock = LoopClock(asyncio.get_running_loop(), epoch_s=0)
        service = Service(keep_running(work, cluster="dev", clock=clock), name="eks-dev")
        await asyncio.sleep(2 * CALM_S)
        await service.stop()

    loop.run_until_complete(story())
    assert starts[4] - starts[3] == CALM_S + 1
