"""What a server of ours does with bytes, well-formed or not: real sockets, raw clients."""

import asyncio
import contextlib

import pytest

from ekslab.kit import http
from ekslab.kit.exchange import ClientGoneError, Exchange
from ekslab.kit.serving import AsgiServer, HttpServer, tcp_listener


async def echo(scope, receive, send):
    """Answers with method, path and body; `/stream` in pieces, `/early` without reading."""
    path = scope["path"]
    if path == "/broken":
        raise ValueError(path)
    pieces = [scope["method"].encode(), b" ", scope["raw_path"], b"?", scope["query_string"], b" "]
    more = path != "/early"
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    content = b"".join(pieces)
    length = [(b"content-length", b"%d" % len(content))]
    headers = [] if path in {"/stream", "/empty"} else length
    status = 204 if path == "/empty" else 200
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if path == "/stream":
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    elif path == "/half":
        raise ValueError(path)
    else:
        await send({"type": "http.response.body", "body": b"" if status == 204 else content})


@contextlib.asynccontextmanager
async def served(app=echo):
    server = AsgiServer(app, tcp_listener("127.0.0.1", 0))
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await server.stop()


@contextlib.asynccontextmanager
async def handled(handler):
    server = HttpServer(handler, tcp_listener("127.0.0.1", 0))
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await server.stop()


async def asked(raw: bytes) -> bytes:
    """All that is answered to these bytes until the server closes or the client has enough."""
    async with served() as (reader, writer):
        writer.write(raw)
        writer.write_eof()
        return await reader.read()


@pytest.mark.parametrize(
    ("request_bytes", "head", "body"),
    [
        pytest.param(
            b"GET /a%20b?x=1 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n",
            b"GET /a%20b?x=1 ",
            id="path and query as they were sent",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n",
            b"POST /? hello",
            id="a body with a length",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n",
            b"POST /? hello",
            id="a body in chunks",
        ),
        pytest.param(
            b"GET http://x/abs?y HTTP/1.1\r\nHost: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n",
            b"GET /abs?y ",
            id="an absolute target",
        ),
        pytest.param(
            b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n",
            b"",
            id="HEAD has the length and no body",
        ),
        pytest.param(
            b"GET /empty HTTP/1.1\r\nHost: x\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n",
            b"",
            id="204 has no body",
        ),
        pytest.param(
            b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n",
            b"3\r\nGET\r\n1\r\n \r\n7\r\n/stream\r\n1\r\n?\r\n1\r\n \r\n0\r\n\r\n",
            id="an answer without a length goes in chunks",
        ),
        pytest.param(
            b"GET /stream HTTP/1.0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nconnection: close\r\n",
            b"GET /stream? ",
            id="HTTP/1.0 knows no chunks",
        ),
        pytest.param(
            b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n",
            b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 21\r\nconnection: close\r\n",
            b"Internal Server Error",
            id="an application that crashes",
        ),
        pytest.param(b"nonsense\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n", None, id="no HTTP"),
        pytest.param(
            b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 400 ", None, id="no ASCII"
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nX: " + b"a" * (http.HEAD_BYTES_MOST + 1),
            b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
            None,
            id="a head without end",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n",
            b"GET /? ",
            id="an upgrade is an ordinary request",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            b"Content-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\nconnection: close\r\n",
            b"POST /? hello",
            id="a request for an upgrade keeps its body",
        ),
        pytest.param(
            b"PUT / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n",
            b"PUT /? hello",
            id="in chunks, too",
        ),
    ],
)
async def test_what_bytes_are_answered_with(request_bytes, head, body):
    answer = await asked(request_bytes)
    assert answer.startswith(head), answer[:200]
    if body is not None:
        assert answer.partition(b"\r\n\r\n")[2].startswith(body), answer


async def test_pipelined_requests_are_answered_in_order():
    many = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % index for index in range(200))
    async with served() as (reader, writer):
        writer.write(many)
        for index in range(200):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.rpartition(b"content-length: ")[2].split(b"\r\n", 1)[0])
            assert await reader.readexactly(length) == b"GET /%d? " % index


async def test_who_waits_for_continue_gets_it():
    async with served() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(10) == b"POST /? hi"


async def test_a_large_body_comes_whole():
    body = bytes(range(256)) * 40_000
    async with served() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"content-length: %d" % (len(body) + 8) in head
        assert await reader.readexactly(len(body) + 8) == b"POST /? " + body


async def test_a_body_nobody_read_is_not_the_next_request():
    async with served() as (reader, writer):
        for _ in range(2):
            writer.write(b"POST /early HTTP/1.1\r\nContent-Length: 20000\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(13) == b"POST /early? "
            writer.write(b"G" * 20_000)


async def test_an_answer_that_breaks_off_closes_the_connection():
    async with served() as (reader, writer):
        writer.write(b"GET /half HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await reader.read()
        assert b"500" in answer[:20]
        assert writer.transport.is_closing() or reader.at_eof()


async def test_an_application_is_told_when_its_client_goes():
    told = asyncio.Event()

    async def patient(_scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"open", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        told.set()

    async with served(patient) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"open")
        writer.close()
        await asyncio.wait_for(told.wait(), 5)


async def test_a_client_that_does_not_read_holds_its_writer_back():
    written = 0

    async def endless(_scope, _receive, send):
        nonlocal written
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1_000):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            written += 1
        await send({"type": "http.response.body", "body": b""})

    async with served(endless) as (reader, writer):
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        stopped = -1
        while stopped != written:
            stopped = written
            await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=0.05)
        assert 0 < stopped < 200
        assert len(await reader.read()) == 100_000_000


async def test_stopping_lets_an_answer_finish():
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(_scope, _receive, send):
        begun.set()
        await go.wait()
        headers = [(b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"done"})

    server = AsgiServer(slow, tcp_listener("127.0.0.1", 0))
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await begun.wait()
    stopping = asyncio.gather(server.stop())
    go.set()
    answer = await reader.read()
    await stopping
    assert answer.endswith(b"\r\n\r\ndone")
    writer.close()


async def test_who_pipelines_and_never_reads_is_not_answered_into_memory():
    asked = 0

    async def large(_scope, _receive, send):
        nonlocal asked
        asked += 1
        headers = [(b"content-length", b"2000000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * 2_000_000})

    async with served(large) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        await reader.readuntil(b"\r\n\r\n")
        stopped = -1
        while stopped != asked:
            stopped = asked
            await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=0.05)
        # What the kernel holds, and one answer more.
        assert stopped < 10
        for _ in range(19):
            await reader.readexactly(2_000_000)
            await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2_000_000)
        assert asked == 20


async def test_garbage_behind_a_request_takes_no_answer_from_it():
    answer = await asked(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n\0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
    _, _, refusal = answer.partition(b"GET /a? ")
    assert refusal.startswith(b"HTTP/1.1 400 Bad Request\r\n"), answer


async def test_a_trailer_is_no_header_of_the_request():
    seen = []

    async def remembering(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        seen.extend(name for name, _ in scope["headers"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with served(remembering) as (reader, writer):
        writer.write(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\nx\r\n0\r\nAuthorization: Bearer y\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
    assert seen == [b"transfer-encoding"]


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"0\r\nX: ", id="a trailer"),
        pytest.param(b"1;", id="a chunk extension"),
    ],
)
async def test_what_is_no_body_has_an_end(start):
    async with served() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + start)
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                writer.write(b"a" * (http.HEAD_BYTES_MOST // 32))
                await writer.drain()
            assert (await reader.read()).startswith(b"HTTP/1.1 431 ")


async def test_who_says_no_more_still_gets_its_answer():
    """A client that half-closes, as `nc -N` does, is answered although the answer takes time."""
    done = asyncio.Event()

    async def slow(_scope, receive, send):
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        headers = [(b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"done"})
        done.set()

    async with served(slow) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        writer.write_eof()
        assert (await reader.read()).endswith(b"\r\n\r\ndone")
        assert done.is_set()


async def test_a_body_that_nobody_waits_for_holds_no_connection(monkeypatch):
    """Whoever is refused and never sends the rest is idle, too."""
    monkeypatch.setattr(http, "KEEP_ALIVE_S", 0.01)
    async with served() as (reader, writer):
        writer.write(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")


async def test_who_waits_for_an_answer_is_not_idle(monkeypatch):
    monkeypatch.setattr(http, "KEEP_ALIVE_S", 0.001)
    looked = asyncio.Event()
    look = http.HttpProtocol._close_if_idle

    def close_if_idle(protocol):
        look(protocol)
        looked.set()

    monkeypatch.setattr(http.HttpProtocol, "_close_if_idle", close_if_idle)

    async def slow(_scope, _receive, send):
        looked.clear()
        await looked.wait()
        headers = [(b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"done"})

    async with served(slow) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.read()).endswith(b"done")


async def test_http_1_0_is_not_told_to_continue():
    answer = await asked(b"POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi")
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_what_is_answered_at_once_is_answered_in_order_and_leaves_others_room():
    """Neither the stack nor the turn of the loop grows with what a client pipelines."""
    count = 3_000
    turns = [0]

    def at_once(exchange: Exchange) -> None:
        turns[-1] += 1
        exchange.answer(200, (), exchange.raw_path)

    def turn():
        turns.append(0)
        if sum(turns) < count:
            asyncio.get_running_loop().call_soon(turn)

    async with handled(at_once) as (reader, writer):
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(count)))
        turn()
        for number in range(count):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.rpartition(b"content-length: ")[2])
            assert await reader.readexactly(length) == b"/%d" % number
    assert max(turns) < 50


async def test_a_handler_that_crashes_at_once_is_answered_for():
    def broken(exchange: Exchange) -> None:
        raise ValueError(exchange.path)

    async with handled(broken) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 500 "), answer
    assert answer.endswith(b"\r\n\r\nInternal Server Error")


async def test_a_body_that_breaks_off_is_no_body():
    ends = asyncio.get_running_loop().create_future()

    async def read_all(exchange: Exchange) -> None:
        try:
            while await exchange.read():
                pass
        except ClientGoneError:
            ends.set_result("gone")
            raise
        ends.set_result("whole")

    async with handled(read_all) as (_, writer):
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
        await writer.drain()
        writer.close()
        assert await asyncio.wait_for(ends, 5) == "gone"


async def echo_for_ever(exchange: Exchange) -> None:
    """Takes up whatever protocol is asked for, and says in it what it hears."""
    tunnel = exchange.upgrade([(b"upgrade", b"echo"), (b"connection", b"Upgrade")])
    while heard := await tunnel.read():
        await tunnel.send(heard)
    tunnel.close()


async def test_an_upgrade_that_is_taken_up_is_a_tunnel_and_loses_no_byte():
    async with handled(echo_for_ever) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nbe")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head == (
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: Upgrade\r\n\r\n"
        )
        writer.write(b"hind")
        assert await reader.readexactly(6) == b"behind"
        sent = b"much" * (1 << 19)
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent
        writer.write_eof()
        assert await reader.read() == b""


async def test_a_server_that_stops_ends_its_tunnels():
    server = HttpServer(echo_for_ever, tcp_listener("127.0.0.1", 0))
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: echo\r\n")
    writer.write(b"Content-Length: 0\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    await server.stop()
    assert await reader.read() == b""
    writer.close()
