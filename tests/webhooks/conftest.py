import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.apiserver.world import World
from tests.webhooks.hooks import HookServer


@pytest.fixture
async def world() -> World:
    made = World(asyncio.get_running_loop())
    await made.bootstrap()
    return made


@pytest.fixture
async def hooks(tmp_path: Path, world: World) -> AsyncIterator[HookServer]:
    server = HookServer(tmp_path)
    await server.start()
    yield server
    await world.server.close()
    await server.stop()
