"""The cloud process as the bridge reaches it: change feed, reports and credentials over a socket
that only the user can open. The wire is described in `ekslab.cloud.served`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import orjson

from ekslab.bridge.aws.credentials import Session
from ekslab.cloud.keys import Keys
from ekslab.cloud.ports import Change, ControlPlaneReport, NodegroupReport
from ekslab.kit.clock import Clock
from ekslab.kit.http_client import HttpClient, HttpError

_RETRY_S: Final = 0.02


class CloudSocket:
    """Implements the ports `ChangeFeed`, `Reports` and `CredentialSource`."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._client = HttpClient(unix=path)
        self._clock = clock

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def follow(self, *, after: int = 0) -> AsyncIterator[Sequence[Change]]:
        """Batches of changes; see `ChangeFeed`.

        Raises:
            OSError: the connection broke.
        """
        async with self._client.lines(f"/feed?after={after}") as lines:
            async for line in lines:
                yield [Change(*row) for row in orjson.loads(line)]

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
                answer = await self._client.request(method, path, body=orjson.dumps(body or {}))
            except HttpError:
                await self._clock.sleep(_RETRY_S)
                continue
            decoded: dict[str, Any] = orjson.loads(answer.body)
            if answer.status == 404:
                raise LookupError(decoded.get("error", path))
            if answer.status == 200:
                return decoded
            await self._clock.sleep(_RETRY_S)


def _session(wire: Mapping[str, Any]) -> Session:
    keys = Keys(wire["accessKeyId"], wire["secretAccessKey"], wire["sessionToken"])
    return Session(keys, wire["expiresAt"])
