import asyncio
from collections.abc import AsyncIterator

import pytest

from ekslab.kit.tasks import TaskGroup
from tests.custom.shop import Shop


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """An API server that follows its definitions."""
    shop = Shop(asyncio.get_running_loop())
    async with TaskGroup("shop") as tasks:
        tasks.start(shop.server.run(), name="definitions")
        yield shop
        tasks.cancel()
