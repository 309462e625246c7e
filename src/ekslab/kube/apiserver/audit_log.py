"""The audit log: a file of JSON lines that never grows beyond its bound.

Upstream's `log` backend with `--audit-log-maxsize` and `--audit-log-maxbackup`: a full file is
renamed to `audit.log.1`, older ones move up, the oldest goes. What cannot be written (a full disk)
is lost and counted; requests are answered all the same, as upstream's `blocking` mode does.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ekslab.kit import logs
from ekslab.kube.api.ports import Verdict
from ekslab.kube.api.requests import ApiRequest
from ekslab.kube.apiserver.audit import Auditor, PolicyError, policy_of
from ekslab.kube.store.port import StoreError

BYTES_MOST: Final = 32 << 20
BACKUPS: Final = 3


def auditor_by(
    policy: Path, *, now: Callable[[], float], decide: Callable[[ApiRequest], Verdict]
) -> Auditor:
    """Who tells of requests by the policy of a file, in `audit.log` beside it.

    Raises:
        OSError: a file cannot be used.
        StoreError: the policy cannot be followed; as upstream, the server does not start then.
    """
    try:
        rules = policy_of(policy.read_bytes())
    except PolicyError as error:
        raise StoreError(f"{policy}: {error}") from error
    return Auditor(rules, AuditLog(policy.with_name("audit.log")), now=now, decide=decide)


class AuditLog:
    """A `audit.Sink` in a file for its owner alone."""

    def __init__(self, path: Path, *, bytes_most: int = BYTES_MOST) -> None:
        """Open or make the file.

        Raises:
            OSError: it cannot be written.
        """
        self.lost = 0
        self._path = path
        self._bytes_most = bytes_most
        self._file = _opened(path)
        self._size = os.fstat(self._file).st_size
        self._log = logs.get("audit")

    def write(self, line: bytes) -> None:
        """Append one event."""
        try:
            if self._size + len(line) > self._bytes_most:
                self._rotate()
            os.write(self._file, line)
            self._size += len(line)
        except OSError as error:
            self.lost += 1
            if self.lost == 1:
                self._log.error("audit events are lost", path=str(self._path), error=str(error))

    def close(self) -> None:
        """Release the file."""
        os.close(self._file)

    def _rotate(self) -> None:
        for number in range(BACKUPS, 0, -1):
            older = self._numbered(number - 1) if number > 1 else self._path
            if older.exists():
                older.replace(self._numbered(number))
        os.close(self._file)
        self._file = _opened(self._path)
        self._size = 0

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
