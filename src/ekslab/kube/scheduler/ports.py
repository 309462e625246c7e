"""Host ports in use, by node row. Conflicts are rare, so this is a dictionary and no column.

Upstream: kube-scheduler `framework/types.go` HostPortInfo. The same port and protocol conflict if
the addresses are equal or one of them is `0.0.0.0`.
"""

from collections.abc import Iterable
from typing import Final

from ekslab.kube.scheduler.templates import HostPort

_ANY: Final = "0.0.0.0"  # noqa: S104 - the API's word for any address


class HostPorts:
    """Which row uses which host ports."""

    def __init__(self) -> None:
        self._used: dict[tuple[str, int], dict[int, list[str]]] = {}

    def add(self, row: int, ports: Iterable[HostPort]) -> None:
        """A pod with these ports is on the row."""
        for address, protocol, port in ports:
            self._used.setdefault((protocol, port), {}).setdefault(row, []).append(address)

    def remove(self, row: int, ports: Iterable[HostPort]) -> None:
        """It is gone."""
        for address, protocol, port in ports:
            rows = self._used[protocol, port]
            rows[row].remove(address)
            if not rows[row]:
                del rows[row]
            if not rows:
                del self._used[protocol, port]

    def taken_rows(self, ports: Iterable[HostPort]) -> list[int]:
        """Rows where at least one of these ports is taken."""
        taken: dict[int, None] = {}
        for address, protocol, port in ports:
            for row, used in self._used.get((protocol, port), {}).items():
                if address == _ANY or address in used or _ANY in used:
                    taken[row] = None
        return list(taken)
