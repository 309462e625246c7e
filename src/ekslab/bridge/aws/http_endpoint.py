"""The AWS endpoint as reached over HTTP: what the bridge uses when the cloud is another process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from ekslab.cloud.ports import AwsRequest, AwsResponse
from ekslab.kit.http_client import HttpClient, HttpError

_TIMEOUT_S: Final = 30
_CONNECTIONS_MOST: Final = 16


class HttpEndpoint:
    """Sends requests to the AWS endpoint, with the Host header they were signed with."""

    def __init__(self) -> None:
        self._client: HttpClient | None = None

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[None]:
        """Connect to the endpoint at `url` while the block runs."""
        parts = urlsplit(url)
        client = self._client = HttpClient(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 80,
            connections_most=_CONNECTIONS_MOST,
        )
        try:
            yield
        finally:
            self._client = None
            await client.close()

    async def handle(self, request: AwsRequest) -> AwsResponse:
        """Send one request; an endpoint that cannot be reached answers 503."""
        if self._client is None:
            return AwsResponse(503, (), b"the AWS endpoint is not up yet")
        target = f"{request.raw_path}?{request.query}" if request.query else request.raw_path
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                answer = await self._client.request(
                    request.method, target, headers=tuple(request.headers), body=request.body
                )
        except (TimeoutError, HttpError) as error:
            return AwsResponse(503, (), f"the AWS endpoint cannot be reached: {error}".encode())
        return AwsResponse(answer.status, answer.headers, answer.body)
