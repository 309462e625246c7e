"""A burst is spread over turns of the loop, in order."""

import asyncio

from ekslab.kit.turns import Turns


async def test_a_burst_leaves_the_loop_between_its_parts():
    turns = Turns(3)
    begun: list[int] = []
    others = 0

    async def one(index: int) -> None:
        await turns.take()
        begun.append(index)

    def other() -> None:
        nonlocal others
        others += 1
        if len(begun) < 30:
            asyncio.get_running_loop().call_soon(other)

    asyncio.get_running_loop().call_soon(other)
    await asyncio.gather(*(one(index) for index in range(30)))
    assert begun == list(range(30))
    assert others >= 9


async def test_who_gives_up_does_not_hold_the_line():
    turns = Turns(1)
    await turns.take()
    gives_up = asyncio.gather(turns.take())
    others = asyncio.gather(turns.take(), turns.take())
    gives_up.cancel()
    await asyncio.wait_for(others, 1)


async def test_a_rested_line_begins_at_once():
    turns = Turns(2)
    for _ in range(20):
        await asyncio.wait_for(turns.take(), 1)
