"""The AWS endpoint as reached over HTTP: what the bridge uses when the cloud is another process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from yarl import URL

from ekslab.cloud.ports import AwsRequest, AwsResponse

_TIMEOUT_S: Final = 30
_CONNECTIONS_MOST: Final = 16


class HttpEndpoint:
    """Sends requests to the AWS endpoint, with the Host header they were signed with."""

    def __init__(self) -> None:
        self._url = ""
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[None]:
        """Connect to the endpoint at `url` while the block runs."""
        self._url = url.rstrip("/")
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS_MOST)
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            self._session = session
            try:
                yield
            finally:
                self._session = None

    async def handle(self, request: AwsRequest) -> AwsResponse:
        """Send one request; an endpoint that cannot be reached answers 503."""
        if self._session is None:
            return AwsResponse(503, (), b"the AWS endpoint is not up yet")
        path = f"{request.raw_path}?{request.query}" if request.query else request.raw_path
        url = URL(self._url + path, encoded=True)
        try:
            async with self._session.request(
                request.method,
                url,
                headers=list(request.headers),
                data=request.body or None,
                allow_redirects=False,
            ) as answer:
                body = await answer.read()
                return AwsResponse(answer.status, tuple(answer.headers.items()), body)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return AwsResponse(503, (), f"the AWS endpoint cannot be reached: {error}".encode())
