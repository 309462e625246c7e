"""What the command line hands on of what it was given."""

from pathlib import Path
from typing import Any

import pytest

from ekslab.cli import commands, lifecycle


@pytest.mark.parametrize(
    ("words", "given"),
    [
        pytest.param([], {}, id="nothing"),
        pytest.param(["--nodes", "0"], {"nodes": 0}, id="no nodes"),
        pytest.param(["--ephemeral"], {"ephemeral": True}, id="a flag"),
        pytest.param(["--port", "4600"], {"port": 4600}, id="a port"),
    ],
)
def test_up_hands_on_what_was_said_and_nothing_else(
    words: list[str], given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def up(_home: object, options: dict[str, Any], *, foreground: bool) -> int:
        assert not foreground
        seen.append(options)
        return 0

    monkeypatch.setattr(lifecycle, "up", up)
    assert commands.run(["up", "--home", str(tmp_path), *words]) == 0
    assert seen == [given]
