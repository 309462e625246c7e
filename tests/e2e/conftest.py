"""One lab for all transcripts: starting it is what the first of them shows."""

from collections.abc import Iterator

import pytest

from tests.e2e.lab import Lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running lab with three nodes."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    lab.up("--nodes", "3")
    yield lab
    lab.down()
