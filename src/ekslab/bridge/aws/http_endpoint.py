"""The AWS endpoint as reached over HTTP: what the bridge uses when the cloud is another process."""

from types import TracebackType
from typing import Final, Self

import aiohttp
from yarl import URL

from ekslab.cloud.ports import AwsRequest, AwsResponse

_TIMEOUT_S: Final = 30
_CONNECTIONS_MOST: Final = 16


class HttpEndpoint:
    """Sends requests to the endpoint at `url`, with the Host header they were signed with."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS_MOST),
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
            auto_decompress=True,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def handle(self, request: AwsRequest) -> AwsResponse:
        """Send one request; an endpoint that cannot be reached answers 503."""
        assert self._session is not None, "use HttpEndpoint as a context manager"
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
