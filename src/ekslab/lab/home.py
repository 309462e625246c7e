"""The lab's directory: everything that outlives a process lies here, and nothing else does.

    version          format of this directory
    lab.json         what `ekslab up` was told
    port             of the AWS endpoint, the last time
    made             there once the first cluster was made
    credentials.json the admin's access key (0600)
    kubeconfig       for `ekslab env`
    cloud/           the account's state
    clusters/NAME/   one control plane each: store, certificates
    logs/            one file a process
    run/             sockets, lock, process id: only while the lab runs

Only stdlib: the command line reads it before anything heavy is imported.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

FORMAT: Final = "1"
# Everything a lab makes in its home; nothing else there is ever deleted.
_NAMES: Final = (
    "lab.json", "port", "made", "credentials.json", "kubeconfig", "cloud", "clusters", "logs",
    "run", "version",
)  # fmt: skip
_SOCKET_PATH_MOST: Final = 100  # the kernel's limit is 108
_ROOM_LEAST_MIB: Final = 16  # what a new lab writes until it is up


class LabError(Exception):
    """Something a user can mend; the text is the one sentence they see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabConfig:
    """What `ekslab up` was told.

    `port` 0 stands for the default port or, where that is taken, the next free one.
    `kubernetes_version` "" stands for the newest.
    """

    nodes: int = 3
    instance_type: str = "m5.large"
    kubernetes_version: str = ""
    port: int = 0
    region: str = "us-east-1"
    account: str = "123456789012"
    ephemeral: bool = False


class Home:
    """The directory of one lab."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()

    @classmethod
    def from_environment(cls) -> "Home":
        """`EKSLAB_HOME`, or `~/.ekslab`."""
        return cls(Path(os.environ.get("EKSLAB_HOME") or "~/.ekslab"))

    @property
    def logs(self) -> Path:
        """Log files."""
        return self.path / "logs"

    @property
    def cloud(self) -> Path:
        """State of the account."""
        return self.path / "cloud"

    @property
    def clusters(self) -> Path:
        """State of the control planes."""
        return self.path / "clusters"

    @property
    def credentials(self) -> Path:
        """The admin's access key."""
        return self.path / "credentials.json"

    @property
    def kubeconfig(self) -> Path:
        """The lab's own kubeconfig."""
        return self.path / "kubeconfig"

    @property
    def made(self) -> Path:
        """Its presence says that the first cluster was made: it is the user's own since."""
        return self.path / "made"

    @property
    def run(self) -> Path:
        """Sockets and lock. Beside the home where the home's path is too long for a socket."""
        inside = self.path / "run"
        if len(str(inside)) + len("/clusters.sock") <= _SOCKET_PATH_MOST:
            return inside
        digest = hashlib.sha256(str(self.path).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"ekslab-{os.getuid()}-{digest}"

    def socket(self, process: str) -> Path:
        """The control socket of a process: `cloud` or `clusters`."""
        return self.run / f"{process}.sock"

    def prepare(self) -> None:
        """Make the directory, or check that it is one of ours.

        Raises:
            LabError: it cannot be written, or another version of ekslab made it.
        """
        self._refuse_foreign()
        try:
            for folder in (self.path, self.logs, self.cloud, self.clusters, self.run):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_owner()
            free_mib = shutil.disk_usage(self.path).free >> 20
            version = self.path / "version"
            if not version.exists():
                version.write_text(FORMAT + "\n")
            found = version.read_text().strip()
            probe = self.run / "probe"
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise LabError(
                f"cannot use {self.path} as the lab's directory: {error.strerror};"
                " mend that, or name another one in EKSLAB_HOME"
            ) from error
        if free_mib < _ROOM_LEAST_MIB:
            raise LabError(
                f"no room on the disk of {self.path}: {free_mib} MiB are free and a lab needs"
                f" {_ROOM_LEAST_MIB}; make room, or name another directory in EKSLAB_HOME"
            )
        if found != FORMAT:
            raise LabError(
                f"{self.path} was made by another version of ekslab (format {found}, this one"
                f" reads {FORMAT}); use that version, or name another directory in EKSLAB_HOME"
            )

    def _refuse_foreign(self) -> None:
        """A directory with things of somebody else in it is not taken over."""
        if not self.path.is_dir() or (self.path / "version").exists():
            return
        if next(self.path.iterdir(), None) is not None:
            raise LabError(
                f"{self.path} is not empty and not a lab's directory, so it was left alone;"
                " name another one in EKSLAB_HOME"
            )

    def delete(self) -> None:
        """Delete what a lab makes, and the directory if nothing else is in it."""
        for name in _NAMES:
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if self.run.parent != self.path:
            shutil.rmtree(self.run, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def _check_owner(self) -> None:
        # The fallback for sockets lies in a shared directory: nobody else may have made it.
        status = self.run.stat()
        if status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise LabError(f"{self.run} is not a private directory of yours; remove it")

    def load_config(self) -> LabConfig | None:
        """What the lab was started with, None if it never was."""
        try:
            raw: dict[str, Any] = json.loads((self.path / "lab.json").read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise LabError(f"cannot read {self.path / 'lab.json'}: {error}") from error
        known = {field.name for field in fields(LabConfig)}
        return LabConfig(**{key: value for key, value in raw.items() if key in known})

    def save_config(self, config: LabConfig) -> None:
        """Remember what the lab is started with."""
        write_private(self.path / "lab.json", json.dumps(asdict(config), indent=2) + "\n")

    def lock(self) -> int:
        """Take the lab for this process; the descriptor holds it until the process ends.

        Raises:
            LabError: another process has it.
        """
        descriptor = os.open(self.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise LabError(f"the lab in {self.path} is running already") from error
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return descriptor

    def note_failure(self, sentence: str) -> None:
        """Leave the sentence that `ekslab up` shows when the lab cannot start."""
        (self.run / "failure").write_text(sentence)

    def take_failure(self) -> str:
        """The sentence a process left, "" if none did; it is told once."""
        path = self.run / "failure"
        try:
            sentence = path.read_text().strip()
            path.unlink()
        except OSError:
            return ""
        return sentence

    def supervisor_pid(self) -> int | None:
        """The process that holds the lock, None if the lab does not run."""
        try:
            descriptor = os.open(self.run / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 32, 0).decode()
            return int(text) if text.isdigit() else None
        else:
            return None
        finally:
            os.close(descriptor)


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner can read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
