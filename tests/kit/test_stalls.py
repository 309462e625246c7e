"""The probe sees what holds the loop up."""

import asyncio
import time

from ekslab.kit.stalls import StallProbe


async def _rest() -> None:
    await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=0.03)


async def test_a_long_callback_is_a_stall_and_is_told_once():
    probe = StallProbe()
    probe.note_work()
    until = time.perf_counter() + 0.1
    while time.perf_counter() < until:
        pass
    await _rest()
    assert probe.take_longest_s() >= 0.09
    assert probe.take_longest_s() == 0.0


async def test_without_work_nobody_looks():
    probe = StallProbe()
    probe.note_work()
    await _rest()
    probe.take_longest_s()
    until = time.perf_counter() + 0.02
    while time.perf_counter() < until:
        pass
    await _rest()
    assert probe.take_longest_s() == 0.0
