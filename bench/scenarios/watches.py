"""Watch deliveries: a thousand watchers, and how late an event is."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import uvloop

from bench.load import cpu_s, lua, wrk
from bench.rows import Budget, Row, judged, percentile
from bench.scenario import Surroundings
from bench.stalls import longest_stall_ms, stall_row
from bench.target import NAMESPACE, Target
from bench.wire import Connection, endpoint

_MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
_DELIVERIES = Budget(200_000, "200,000/s", least=True)
_LAG = Budget(100, "100 ms")
_WATCHERS = 1_000
_LAG_WATCHERS = 10
_LAG_WRITES_PER_S = 2_000
_SECONDS = 5
_STAMP = b'"t":"'


def run(surroundings: Surroundings) -> Sequence[Row]:
    """As many deliveries as there can be, and the lag of a paced stream of writes."""
    target = surroundings.cluster
    name = "watched"
    target.request("DELETE", _MAPS) if target.user_token else None
    target.post(_MAPS, {"metadata": {"name": name}, "data": {"t": "0"}})
    longest_stall_ms(target)
    rows = [_deliveries(target, name), _lag(target, name), stall_row(target, "1,000 watchers")]
    target.request("DELETE", _MAPS)
    return rows


def _deliveries(target: Target, name: str) -> Row:
    watchers = _start_watchers(target, _WATCHERS)
    try:
        body = json.dumps({"data": {"t": "@"}})
        stamp = (
            "local n = 0\nfunction request()\n  n = n + 1\n"
            '  return wrk.format(nil, nil, nil, (string.gsub(wrk.body, "@", tostring(n))))\nend'
        )
        headers = {
            "Authorization": f"Bearer {target.user_token}",
            "Content-Type": "application/merge-patch+json",
        }
        script = lua("PATCH", headers, body, per_request=stamp)
        before = cpu_s(target.pids), cpu_s([watchers.pid])
        started = time.monotonic()
        load = wrk(
            f"{target.url}{_MAPS}/{name}",
            script,
            clients=4,
            seconds=_SECONDS,
            server_pids=target.pids,
        )
        found = _stop_watchers(watchers, started)
        used = cpu_s(target.pids) - before[0]
    finally:
        watchers.kill()
        watchers.wait()
    taken, seen = found["last_s"], found["events"]
    expected = found["most"] * _WATCHERS
    shown = f"{seen / taken:,.0f}/s ({load.rate:.0f} writes/s, {expected - seen} lost)"
    return judged(
        f"watch deliveries, {_WATCHERS:,} watchers",
        seen / taken,
        shown,
        _DELIVERIES,
        client_cpu=f"{(found['cpu_s'] - before[1]) / taken * 100:.0f} %",
        server_us=f"{used * 1e6 / max(1, seen):.1f}" if target.pids else "",
    )


def _lag(target: Target, name: str) -> Row:
    watchers = _start_watchers(target, _LAG_WATCHERS)
    try:
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "bench.scenarios.watches", "write", name],
            input=_settings(target),
            capture_output=True,
            check=True,
            cwd=Path(__file__).parents[2],
        )
        written = json.loads(done.stdout)["writes_per_s"]
        found = _stop_watchers(watchers, started)
    finally:
        watchers.kill()
        watchers.wait()
    lag = found["lag_p99_ms"]
    shown = f"p50 {found['lag_p50_ms']:.1f}  p99 {lag:.1f} ms at {written:,.0f} writes/s"
    return judged(f"write to event, {_LAG_WATCHERS} watchers", lag, shown, _LAG)


def _settings(target: Target) -> bytes:
    return json.dumps({"url": target.url, "token": target.user_token}).encode() + b"\n"


def _start_watchers(target: Target, count: int) -> "subprocess.Popen[bytes]":
    watchers = subprocess.Popen(
        [sys.executable, "-m", "bench.scenarios.watches", "watch", str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert watchers.stdin is not None
    assert watchers.stdout is not None
    watchers.stdin.write(_settings(target))
    watchers.stdin.flush()
    assert watchers.stdout.readline() == b"open\n", "the watches did not open"
    return watchers


def _stop_watchers(watchers: "subprocess.Popen[bytes]", started: float) -> dict[str, Any]:
    """What they saw, once nothing new has come for a second."""
    out, _ = watchers.communicate(f"{started}\n".encode(), timeout=60)
    found: dict[str, Any] = json.loads(out)
    return found


class _Watcher(asyncio.Protocol):
    """Counts the lines of one stream; every tenth looks at the stamps, too."""

    def __init__(self, request: bytes, lags: list[float] | None) -> None:
        self._request = request
        self._lags = lags
        self._carry = b""
        self.events = 0
        self.last_s = 0.0
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's TLS transport is one without being an asyncio.Transport.
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if not self.opened.done():
            head, _, data = data.partition(b"\r\n\r\n")
            assert b" 200 " in head[:20], head
            self.opened.set_result(None)
        # Lines end in \n, the frames around them in \r\n; a piece may end between the two.
        count = data.count(b"\n") - data.count(b"\r\n")
        count -= self._carry == b"\r" and data[:1] == b"\n"
        self._carry = data[-1:]
        if not count:
            return
        self.events += count
        self.last_s = now
        if self._lags is not None:
            for piece in data.split(_STAMP)[1:]:
                stamp = piece[: piece.find(b'"')]
                if stamp.isdigit() and len(stamp) > 9:
                    self._lags.append(now - int(stamp) / 1e9)


async def _watch(count: int) -> None:
    settings = json.loads(sys.stdin.buffer.readline())
    loop = asyncio.get_running_loop()
    host, port, context = endpoint(settings["url"])
    request = (
        f"GET {_MAPS}?watch=true&resourceVersion=0 HTTP/1.1\r\nHost: {host}\r\n"
        f"Authorization: Bearer {settings['token']}\r\n\r\n"
    ).encode()
    lags: list[float] = []
    watchers = []
    for index in range(count):
        sampled = lags if count <= _LAG_WATCHERS or index % 100 == 0 else None
        _, watcher = await loop.create_connection(
            lambda sampled=sampled: _Watcher(request, sampled), host, port, ssl=context
        )
        watchers.append(watcher)
    await asyncio.gather(*(watcher.opened for watcher in watchers))
    await asyncio.sleep(0.5)
    for watcher in watchers:
        watcher.events = 0
    print("open", flush=True)
    started = float(await loop.run_in_executor(None, sys.stdin.buffer.readline))
    last = 0.0
    while last != (last := max(one.last_s for one in watchers)):  # noqa: ASYNC110 - it looks
        await asyncio.sleep(1.0)
    spent = os.times()
    print(
        json.dumps(
            {
                "events": sum(watcher.events for watcher in watchers),
                "most": max(watcher.events for watcher in watchers),
                "last_s": last - started,
                "cpu_s": spent.user + spent.system,
                "lag_p50_ms": percentile(lags, 0.5) * 1000 if lags else 0,
                "lag_p99_ms": percentile(lags, 0.99) * 1000 if lags else 0,
            }
        ),
        flush=True,
    )
    os._exit(0)


async def _write(name: str) -> None:
    """Writes at a steady pace, each with the time it was sent."""
    settings = json.loads(sys.stdin.buffer.readline())
    connections = [await Connection.open(settings["url"], settings["token"]) for _ in range(16)]
    begin = time.monotonic()
    written = 0

    async def writer(connection: Connection) -> None:
        nonlocal written
        while (now := time.monotonic()) < begin + _SECONDS:
            due = begin + written / _LAG_WRITES_PER_S
            if due > now:
                await asyncio.sleep(due - now)
                continue
            written += 1
            body = b'{"data":{"t":"%d"}}' % time.monotonic_ns()
            await connection.request(
                "PATCH", f"{_MAPS}/{name}", body, content_type="application/merge-patch+json"
            )

    await asyncio.gather(*(writer(connection) for connection in connections))
    print(json.dumps({"writes_per_s": written / (time.monotonic() - begin)}))


if __name__ == "__main__":
    if sys.argv[1] == "watch":
        uvloop.run(_watch(int(sys.argv[2])))
    else:
        uvloop.run(_write(sys.argv[2]))
