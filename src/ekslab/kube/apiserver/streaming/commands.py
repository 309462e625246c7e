"""Remote commands over HTTP: exec and attach.

Upstream: `apiserver/pkg/util/proxy/streamtranslator.go` for v5, where the WebSocket opens before
the node is asked, and the node's refusal comes as the way the command ended; the other protocols go
through to the node (`kubelet/pkg/cri/streaming/remotecommand`), whose refusal answers the request.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from ekslab.kit.exchange import Exchange, Headers
from ekslab.kit.tasks import TaskGroup
from ekslab.kube.api.errors import ApiError, bad_request, internal
from ekslab.kube.api.requests import Object
from ekslab.kube.api.streams import CommandOptions, Run, Streams
from ekslab.kube.apiserver.streaming import spdy_commands, upgrades, websocket
from ekslab.kube.apiserver.streaming.channels import PROTOCOLS, V5, Channels

Start = Callable[[], Run]
"""Asks the node; raises `ApiError` if it cannot."""


class Conversation(Streams, Protocol):
    """The streams of a command, with the client at their other end."""

    async def listen(self) -> None:
        """Take what the client says, until it is gone."""

    async def end(self, status: Object) -> None:
        """Say how it ended, and close."""


async def serve(
    exchange: Exchange, headers: Headers, *, options: CommandOptions, start: Start
) -> None:
    """Run a command for the client of an exchange.

    Raises:
        ApiError: nothing was answered yet.
    """
    if not (options.stdin or options.stdout or options.stderr):
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    if websocket.is_asked_for(exchange):
        await _over_websocket(exchange, headers, options, start)
    elif websocket.is_upgrade(exchange):
        await _over_spdy(exchange, headers, options, start)
    else:
        raise bad_request("Upgrade request required")


async def _over_websocket(
    exchange: Exchange, headers: Headers, options: CommandOptions, start: Start
) -> None:
    asked = websocket.protocols_asked_for(exchange)
    is_v5 = bool(asked) and asked[0] == V5
    run = None if is_v5 else start()
    socket = await websocket.accept(exchange, headers, protocols=PROTOCOLS)
    if socket is None:
        return
    try:
        channels = Channels(socket, options)
        await channels.open()
        if run is None:
            try:
                run = start()
            except ApiError as error:
                refused = internal(f"unable to upgrade connection: {error.message}")
                await channels.end(refused.status())
                return
        await converse(channels, run)
    finally:
        socket.close()


async def _over_spdy(
    exchange: Exchange, headers: Headers, options: CommandOptions, start: Start
) -> None:
    run = start()
    protocol = upgrades.protocol_of(exchange, spdy_commands.PROTOCOLS)
    tunnel = await upgrades.to_spdy(exchange, headers, protocols=spdy_commands.PROTOCOLS)
    if tunnel is None:
        return
    try:
        streams = spdy_commands.SpdyStreams(tunnel, options, protocol)

        async def when_open(_: Streams) -> int:
            await streams.wait_open()
            return await run(streams)

        await converse(streams, when_open)
    finally:
        tunnel.close()


async def converse(conversation: Conversation, run: Run) -> None:
    """Run a command while its client listens; it ends when the client goes."""
    async with TaskGroup("command") as tasks:
        listening = tasks.start(conversation.listen(), name="client")
        running = tasks.start(_run(run, conversation), name="command")
        await asyncio.wait((listening, running), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await conversation.end(_ended(running.result()))
        tasks.cancel()


async def _run(run: Callable[[Streams], Awaitable[int]], streams: Streams) -> int:
    return await run(streams)


def _ended(code: int) -> Object:
    """The Status of a command that has ended: upstream's `codeExitToStatusError`."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    text = f"command terminated with exit code {code}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: {text}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
