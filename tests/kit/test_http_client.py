"""Our client against our server."""

import asyncio
import contextlib

import pytest

from ekslab.kit.http_client import HttpClient, HttpError
from ekslab.kit.serving import AsgiServer, tcp_listener, unix_listener
from tests.kit.test_http import echo


@contextlib.asynccontextmanager
async def pair(app=echo, **more):
    server = AsgiServer(app, tcp_listener("127.0.0.1", 0))
    await server.start()
    client = HttpClient(port=server.port, **more)
    try:
        yield client, server
    finally:
        await client.close()
        await server.stop()


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "answer"),
    [
        pytest.param("GET", "/a%20b?x=1", b"", 200, b"GET /a%20b?x=1 ", id="with a length"),
        pytest.param("POST", "/", b"hi", 200, b"POST /? hi", id="with a body"),
        pytest.param("GET", "/stream", b"", 200, b"GET /stream? ", id="in chunks"),
        pytest.param("HEAD", "/", b"", 200, b"", id="HEAD"),
        pytest.param("GET", "/empty", b"", 204, b"", id="no content"),
        pytest.param("GET", "/broken", b"", 500, b"Internal Server Error", id="a crash"),
    ],
)
async def test_an_answer_comes_whole(method, target, body, status, answer):
    async with pair() as (client, _):
        for _ in range(2):
            found = await client.request(method, target, body=body)
            assert (found.status, found.body) == (status, answer)


async def test_requests_beyond_the_bound_wait_their_turn():
    at_once = most = 0

    async def counting(_scope, _receive, send):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=0.005)
        at_once -= 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with pair(counting, connections_most=3) as (client, _):
        await asyncio.gather(*(client.request("GET", "/") for _ in range(12)))
    assert most == 3


async def test_a_stream_is_given_line_by_line(tmp_path):
    async def feed(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"on", b"e\ntwo\nth", b"ree\n"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    server = AsgiServer(feed, unix_listener(tmp_path / "feed.sock"))
    await server.start()
    async with HttpClient(unix=tmp_path / "feed.sock").lines("/feed") as lines:
        assert [line async for line in lines] == [b"one", b"two", b"three"]
    await server.stop()


async def test_a_server_that_is_gone_is_one_kind_of_error(tmp_path):
    with pytest.raises(HttpError):
        await HttpClient(unix=tmp_path / "nobody.sock").request("GET", "/")


async def test_a_kept_connection_that_the_server_closed_is_replaced():
    async with pair() as (client, server):
        await client.request("GET", "/")
        port = server.port
        await server.stop()
        again = AsgiServer(echo, tcp_listener("127.0.0.1", port))
        await again.start()
        assert (await client.request("GET", "/")).status == 200
        await again.stop()
