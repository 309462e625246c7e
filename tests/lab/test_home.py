"""The lab's directory: what it takes over, and what it deletes."""

from pathlib import Path

import pytest

from ekslab.lab import kubeconfig
from ekslab.lab.home import Home, LabConfig, LabError


def test_a_new_directory_becomes_a_lab_and_goes_as_a_whole(tmp_path: Path) -> None:
    home = Home(tmp_path / "lab")
    home.prepare()
    home.save_config(LabConfig(nodes=2))
    assert home.load_config() == LabConfig(nodes=2)
    home.delete()
    assert not home.path.exists()


def test_a_directory_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("years of work")
    with pytest.raises(LabError, match="not empty and not a lab's directory"):
        Home(tmp_path).prepare()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_things_put_into_a_lab_outlive_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "lab")
    home.prepare()
    (home.path / "notes.txt").write_text("mine")
    home.delete()
    assert [path.name for path in home.path.iterdir()] == ["notes.txt"]


def test_only_one_process_holds_the_lab(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    assert home.supervisor_pid() is None
    home.lock()
    with pytest.raises(LabError, match="is running already"):
        home.lock()


def test_a_failure_is_told_once(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    home.note_failure("it went wrong")
    assert home.take_failure() == "it went wrong"
    assert home.take_failure() == ""


def test_a_moved_endpoint_is_followed_and_the_rest_is_kept() -> None:
    names = {"name": "lab", "account": "1", "region": "eu-west-1"}
    text = kubeconfig.render(**names, url="https://a:1", authority_pem="", home=Path("/h"))
    assert kubeconfig.with_server(text, **names, url="https://a:1") is None
    moved = kubeconfig.with_server(text, **names, url="https://a:2")
    assert moved == text.replace("https://a:1", "https://a:2")
    others = {**names, "name": "other"}
    assert kubeconfig.with_server(text, **others, url="https://a:2") is None
