"""What listens in a simulated pod, on every port: an HTTP server that says who it is."""

from typing import Final

from ekslab.kube.api.streams import Backend, Connected, Reply
from ekslab.kube.node.simulated.machine import PodRun

_HEAD_MOST: Final = 64 << 10


def reply(run: PodRun, port: int, request: Backend) -> Reply:
    """The answer to one request."""
    plan = run.plan
    text = (
        f"simulated by ekslab: pod {plan.namespace}/{plan.name} on node {run.machine.name},"
        f" port {port}, was asked {request.method} {request.path}\n"
    )
    headers = (("Content-Type", "text/plain; charset=utf-8"), ("Server", "ekslab-simulated"))
    return Reply(200, headers, text.encode())


async def serve(run: PodRun, port: int, connection: Connected) -> None:
    """Answer the requests that come by a connection; what is no HTTP ends it."""
    received = b""
    while True:
        while b"\r\n\r\n" not in received:
            data = await connection.read()
            if not data or len(received) > _HEAD_MOST:
                return
            received += data
        head, _, received = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            await connection.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            return
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
        left = headers.get("content-length", "0")
        size = int(left) if left.isdecimal() else 0
        while len(received) < size:
            data = await connection.read()
            if not data:
                return
            size, received = size - len(received), data
        received = received[size:]
        answer = reply(run, port, Backend(words[0], words[1], (), b""))
        closes = headers.get("connection", "").lower() == "close" or words[2] == "HTTP/1.0"
        await connection.write(_encoded(answer, has_body=words[0] != "HEAD", closes=closes))
        if closes or headers.get("transfer-encoding"):
            return


def _encoded(answer: Reply, *, has_body: bool, closes: bool) -> bytes:
    lines = [f"{name}: {text}\r\n" for name, text in answer.headers]
    lines.append(f"Content-Length: {len(answer.body)}\r\n")
    if closes:
        lines.append("Connection: close\r\n")
    head = f"HTTP/1.1 {answer.status} OK\r\n{''.join(lines)}\r\n".encode()
    return head + answer.body if has_body else head
