import asyncio

import pytest

from tests.apiserver.world import World


@pytest.fixture
async def world() -> World:
    return World(asyncio.get_running_loop())
