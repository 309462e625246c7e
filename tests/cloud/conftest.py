from collections.abc import AsyncIterator

import pytest

from tests.cloud.lab import Lab, running_lab


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with running_lab() as made:
        yield made
