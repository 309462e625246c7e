"""Log files as `ekslab logs` reads them."""

from pathlib import Path

import pytest

from ekslab.lab import log_files, process
from ekslab.lab.home import Home, LabError


def test_the_last_whole_lines_and_what_follows_them(tmp_path: Path) -> None:
    path = tmp_path / "cloud.log"
    path.write_bytes(b"one\ntwo\nthree\nhal")
    lines, place = log_files.tail(path, 2)
    assert lines == ["two", "three"]
    with path.open("ab") as file:
        file.write(b"f\nfour\n")
    assert log_files.since(path, place) == (["half", "four"], path.stat().st_size)


def test_a_file_that_was_cut_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "cloud.log"
    path.write_bytes(b"a long line of before\n")
    _, place = log_files.tail(path, 1)
    path.write_bytes(b"new\n")
    assert log_files.since(path, place) == (["new"], 4)


def test_a_file_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    assert log_files.tail(tmp_path / "cloud.log", 5) == ([], 0)
    assert log_files.since(tmp_path / "cloud.log", 7) == ([], 0)


async def test_the_control_api_tells_the_log_of_each_process(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.logs.mkdir()
    (home.logs / "supervisor.log").write_bytes(b"one\ntwo\n")
    logs = process.logs_of(home)
    assert await logs({"process": "supervisor", "lines": 1}) == {"lines": ["two"], "place": 8}
    assert await logs({"process": "supervisor", "place": 4}) == {"lines": ["two"], "place": 8}


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"process": "../lab", "lines": 1}, id="another file"),
        pytest.param({"lines": 1}, id="none"),
        pytest.param({"process": "cloud", "lines": -1}, id="before the beginning"),
        pytest.param({"process": "cloud", "place": "x"}, id="no number"),
    ],
)
async def test_the_control_api_refuses_what_is_no_log(tmp_path: Path, asked: dict) -> None:
    with pytest.raises(LabError):
        await process.logs_of(Home(tmp_path))(asked)
