"""The cloud process as the bridge reaches it: change feed, reports and credentials over a socket
that only the user can open. The wire is described in `ekslab.cloud.served`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from ekslab.bridge.aws.credentials import Session
from ekslab.cloud.gateway.sigv4 import Keys
from ekslab.cloud.ports import Change, ControlPlaneReport, NodegroupReport
from ekslab.kit.clock import Clock

_BASE: Final = "http://cloud"
_LINE_BYTES_MOST: Final = 64 << 20
_RETRY_S: Final = 0.02
_UNREACHABLE: Final = (aiohttp.ClientConnectionError, aiohttp.ServerDisconnectedError)


class CloudSocket:
    """Implements the ports `ChangeFeed`, `Reports` and `CredentialSource`."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def follow(self, *, after: int = 0) -> AsyncIterator[Sequence[Change]]:
        """Batches of changes; see `ChangeFeed`.

        Raises:
            OSError: the connection broke.
        """
        try:
            async with self._open().get(f"{_BASE}/feed", params={"after": str(after)}) as answer:
                async for line in answer.content:
                    yield [Change(*row) for row in orjson.loads(line)]
        except aiohttp.ClientError as error:
            raise OSError(str(error)) from error

    async def control_plane(self, report: ControlPlaneReport) -> None:
        """See `Reports`."""
        await self._tell("/reports/control-plane", asdict(report))

    async def nodegroup(self, report: NodegroupReport) -> None:
        """See `Reports`."""
        await self._tell("/reports/nodegroup", asdict(report))

    async def service_session(self, service: str) -> Session:
        """See `CredentialSource`."""
        return _session(await self._tell("/sessions/service", {"service": service}))

    async def instance_session(self, instance_id: str) -> Session:
        """See `CredentialSource`."""
        return _session(await self._tell("/sessions/instance", {"instanceId": instance_id}))

    async def wait_status(self) -> Mapping[str, Any]:
        """What the cloud process says of itself, once it answers."""
        return await self._tell("/status", None)

    async def _tell(self, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        """One call, again and again until the cloud answers: it may be just restarting.

        Raises:
            LookupError: the cloud knows no such thing.
        """
        method = "GET" if body is None else "POST"
        while True:
            try:
                async with self._open().request(
                    method, _BASE + path, data=orjson.dumps(body or {})
                ) as answer:
                    decoded: dict[str, Any] = orjson.loads(await answer.read())
                    if answer.status == 404:
                        raise LookupError(decoded.get("error", path))
                    if answer.status == 200:
                        return decoded
            except _UNREACHABLE:
                pass
            await self._clock.sleep(_RETRY_S)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(self._path)),
                timeout=aiohttp.ClientTimeout(total=None),
                read_bufsize=_LINE_BYTES_MOST,
            )
        return self._session


def _session(wire: Mapping[str, Any]) -> Session:
    keys = Keys(wire["accessKeyId"], wire["secretAccessKey"], wire["sessionToken"])
    return Session(keys, wire["expiresAt"])
