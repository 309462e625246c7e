"""The lab where something is in its way: one clear sentence, an exit code, and nothing lost."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.e2e.lab import Lab
from tests.e2e.wire import admin, aws

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Lab]:
    """A lab beside the shared one, not yet started."""
    lab = Lab(tmp_path / "other")
    yield lab
    if lab.home.is_dir() and (lab.home / "version").exists():
        lab.ekslab("down")


def refusal(lab: Lab, *arguments: str, expect: int = 1) -> str:
    """The one sentence a command refuses with."""
    shown = lab.ekslab(*arguments, expect=expect)
    assert shown.startswith("error: ")
    assert shown.count("\n") == 1, shown
    assert "Traceback" not in shown
    return shown


def tree(home: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.parts[len(home.parts)] not in {"logs", "run"}
    }


def test_a_port_that_was_asked_for_and_is_taken(other: Lab) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        said = refusal(other, "up", "--nodes", "0", "--port", str(port))
    assert said == (
        f"error: port {port} cannot be used: Address already in use;"
        " choose another with --port, or leave it out\n"
    )
    assert "is not running" in other.ekslab("status", expect=1)


def test_two_labs_stand_side_by_side_and_end_alone(lab: Lab, other: Lab) -> None:
    other.up("--nodes", "0")
    mine, its = lab.status(), other.status()
    assert mine["cloud"]["endpoint"] != its["cloud"]["endpoint"]
    assert admin(other).url != admin(lab).url
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "alone"}}
    assert admin(other)("POST", CONFIG_MAPS, body).code == 201
    assert admin(lab)("GET", CONFIG_MAPS + "/alone").code == 404
    foreign = admin(lab).with_token(admin(other).token)
    assert foreign("GET", CONFIG_MAPS).code == 401
    vpc = aws(other, "ec2").create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    assert vpc not in {found["VpcId"] for found in aws(lab, "ec2").describe_vpcs()["Vpcs"]}

    # Up while it runs shows it and changes nothing; it says so where that was not what was asked.
    again = other.ekslab("up")
    assert "is running already" in again
    assert its["cloud"]["endpoint"] in again
    assert other.status()["supervisor"] == its["supervisor"]

    other.ekslab("down")
    assert other.ekslab("down") == "The lab is not running.\n"
    assert lab.status()["supervisor"] == mine["supervisor"]
    assert admin(lab)("GET", CONFIG_MAPS).code == 200

    # A format of another version: nothing is touched, and the right one still reads it.
    version = other.home / "version"
    own = version.read_text()
    version.write_text("99\n")
    before = tree(other.home)
    assert refusal(other, "up") == (
        f"error: {other.home} was made by another version of ekslab (format 99, this one reads"
        f" {own.strip()}); use that version, or name another directory in EKSLAB_HOME\n"
    )
    assert tree(other.home) == before
    version.write_text(own)
    before = tree(other.home)
    said = refusal(other, "up", "--nodes", "5")
    assert "--nodes 0" in said
    assert "ekslab reset" in said
    assert tree(other.home) == before

    # A store that is none: named, and left as it is.
    store = other.home / "clusters" / "lab" / "store" / "0000000001.log"
    kept = store.read_bytes()
    store.write_bytes(b"no database at all")
    assert f"{store} is not a store of ekslab" in refusal(other, "up")
    assert store.read_bytes() == b"no database at all"
    store.write_bytes(kept)

    other.up()
    assert admin(other)("GET", CONFIG_MAPS + "/alone").code == 200
    assert aws(other, "ec2").describe_vpcs(VpcIds=[vpc])["Vpcs"]

    running = other.status()
    assert other.ekslab("reset", "--yes") == f"Deleted the lab in {other.home}.\n"
    assert not other.home.exists()
    assert not Path(f"/proc/{running['supervisor']}/cmdline").exists() or is_zombie(
        running["supervisor"]
    )
    assert other.ekslab("reset", "--yes") == "There is no lab to delete.\n"


def is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_reset_deletes_no_directory_that_is_not_a_labs(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    precious = tmp_path / "precious"
    precious.write_text("x")
    assert refusal(lab, "reset", "--yes") == (
        f"error: {tmp_path} is not a lab's directory; nothing was deleted\n"
    )
    assert precious.read_text() == "x"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(lambda path: path.write_text("x"), "File exists", id="a file"),
        pytest.param(
            lambda path: path.symlink_to("/proc/1/nothing"), "File exists", id="a dead link"
        ),
    ],
)
def test_a_home_that_is_no_directory(tmp_path: Path, make: object, why: str) -> None:
    lab = Lab(tmp_path / "home")
    assert callable(make)
    make(lab.home)
    assert refusal(lab, "up") == (
        f"error: cannot use {lab.home} as the lab's directory: {why};"
        " mend that, or name another one in EKSLAB_HOME\n"
    )


def test_a_home_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    said = refusal(Lab(tmp_path / "file" / "home"), "up")
    assert "Not a directory; mend that" in said


def test_a_home_that_cannot_be_written() -> None:
    """/proc refuses even root."""
    said = refusal(Lab(Path("/proc/ekslab")), "up")
    assert said.startswith("error: cannot use /proc/ekslab as the lab's directory: ")


@pytest.mark.parametrize("command", [("env",), ("nodes", "add", "1")], ids=" ".join)
def test_commands_of_a_lab_that_does_not_run(tmp_path: Path, command: tuple[str, ...]) -> None:
    said = refusal(Lab(tmp_path / "none"), *command)
    assert said == "error: the lab is not running; start it with `ekslab up`\n"


def test_a_damaged_lab_json_is_named(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "home")
    lab.home.mkdir(mode=0o700)
    (lab.home / "version").write_text("1\n")
    (lab.home / "lab.json").write_text("{")
    assert str(lab.home / "lab.json") in refusal(lab, "up")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        # Only root may mount; where tests must not be skipped, that is a failure.
        told = pytest.fail if os.environ.get("CI") else pytest.skip
        told(f"cannot mount a small disk here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_without_room_at_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    with small_disk(folder, "200k"):
        lab = Lab(folder / "home")
        assert refusal(lab, "up", "--nodes", "0") == (
            f"error: no room on the disk of {lab.home}: 0 MiB are free and a lab needs 16;"
            " make room, or name another directory in EKSLAB_HOME\n"
        )
        assert "is not running" in lab.ekslab("status", expect=1)


def test_a_disk_that_fills_up_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    with small_disk(folder, "40m"):
        lab = Lab(folder / "home")
        lab.up("--nodes", "0")
        try:
            api = admin(lab)
            written = fill(lab)
            assert written
            kept = {i["metadata"]["name"] for i in api("GET", CONFIG_MAPS).body["items"]}
            assert written <= kept, "reading goes on"
            (folder / "ballast").unlink()
            lab.eventually(lambda: try_to_write(lab, "room-again"))
            lab.ekslab("down")
            lab.up()
            kept = {i["metadata"]["name"] for i in admin(lab)("GET", CONFIG_MAPS).body["items"]}
            assert written | {"room-again"} <= kept
        finally:
            lab.ekslab("down")


def fill(lab: Lab) -> set[str]:
    """Take the room that is left, then write until the server says that it cannot."""
    ballast = lab.home.parent / "ballast"
    room = os.statvfs(ballast.parent)
    with ballast.open("wb") as file:
        file.write(b"x" * max(0, room.f_bavail * room.f_bsize - 4_000_000))
    api, written = admin(lab), set()
    for number in range(400):
        name = f"full-{number}"
        body = config_map(name, "x" * 100_000)
        reply = api("POST", CONFIG_MAPS, body)
        if reply.code != 201:
            assert reply.reason == (500, "InternalError")
            assert "No space left on device" in reply.body["message"]
            assert "Traceback" not in reply.body["message"]
            return written
        written.add(name)
    raise AssertionError("the disk never filled")


def config_map(name: str, content: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"x": content},
    }


def try_to_write(lab: Lab, name: str) -> bool:
    try:
        return admin(lab)("POST", CONFIG_MAPS, config_map(name, "x")).code in {201, 409}
    except OSError:
        return False


def test_an_ephemeral_lab_leaves_nothing(other: Lab) -> None:
    other.up("--nodes", "0", "--ephemeral")
    assert admin(other)("GET", CONFIG_MAPS).code == 200
    other.ekslab("down")
    assert not other.home.exists()


def test_status_is_readable_by_programs(lab: Lab) -> None:
    state = json.loads(lab.ekslab("status", "-o", "json"))
    assert state["running"] is True
    assert state["clusters"]["clusters"][0]["name"] == "lab"
