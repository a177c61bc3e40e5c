"""A server's console: one line in by POST, everything it prints out by WebSocket for as long as the gate is open."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Router, WebSocket, post, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import RawBody

from web.auth import identify, signed_in
from web.gates import StillPermitted, permitted
from web.inputs import Input, decode
from web.problems import MEDIA_TYPE, Problem, translated
from web.refusals import AGAIN_SOON
from web.services import HttpRequest, PathId, Services, TheServices

COMMAND_CHARACTERS = 4_000
LOOK_EVERY_SECONDS = 0.2
ASK_EVERY_SECONDS = 0.5  # a suspension shows on the stream within a second
CONNECT_SECONDS = 10.0  # from the request to the first screenful, and for each look at the host after it
SEND_SECONDS = 10.0  # a reader who takes longer for one message is not reading
CLOSE_SECONDS = 1.0  # a close waits behind what the reader has not read; after this it is cut without a word
STREAMS_PER_SERVER = 20
POLICY_VIOLATION, TRY_AGAIN_LATER, INTERNAL_ERROR = 1008, 1013, 1011
REASON_BYTES = 120  # the protocol's bound is 123
TOO_SLOW = f"The console did not answer within {CONNECT_SECONDS:.0f} s. Try again in a moment."


class Typed(Input):
    """A line for the console."""

    command: str


@post(
    "/command",
    opt={"gate": "console.command", "takes": Typed},
    status_code=202,
    guards=[signed_in],
    sync_to_thread=True,
)
def type_command(request: HttpRequest, services: TheServices, server_id: PathId, body: RawBody) -> dict[str, str]:
    """Type one line on the server's console. What it answers shows on the stream."""
    return type_line(request, services, server_id, lambda: decode(Typed, body).command)


def type_line(request: HttpRequest, services: Services, server_id: str, read: Callable[[], str]) -> dict[str, str]:
    """Type what `read` returns, once it is known that the caller may."""
    allowed = permitted(request, server_id)
    line = read()
    if len(line) > COMMAND_CHARACTERS:
        raise Problem(400, "BAD_INPUT", f"`command` is longer than {COMMAND_CHARACTERS} characters.", field="command")
    services.host(allowed.host).send(allowed.spec, line)
    return {"state": "sent"}


@websocket("/stream", opt={"gate": "console.stream"})
async def stream_console(socket: WebSocket[Any, Any, Any], services: TheServices, server_id: PathId) -> None:
    """Send each line that the server prints, beginning with the last screenful.

    A slow reader slows the stream down: what was printed waits in the host's log, never in memory. Nothing is read
    from the client but its pings and its leaving. Denials come before the connection is accepted, as HTTP; one that
    falls due later closes it at once with its code and sentence as the reason.
    """
    stream = Stream(socket, services, server_id)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await services.in_thread(stream.open)
    except TimeoutError:
        await deny(socket, Problem(503, "CONSOLE_TOO_SLOW", TOO_SLOW, headers=AGAIN_SOON))
        return
    except Problem as problem:
        await deny(socket, problem)
        return
    except Exception as error:
        await deny(socket, translated(error))
        return
    open_streams: Counter[str] = services.console_streams
    if open_streams[server_id] >= STREAMS_PER_SERVER:
        await deny(
            socket, Problem(429, "TOO_MANY_STREAMS", "This console is open too many times; close another first.")
        )
        return
    open_streams[server_id] += 1
    try:
        await socket.accept()
        await stream.run()
    finally:
        open_streams[server_id] -= 1
        if not open_streams[server_id]:
            del open_streams[server_id]


class Cut(Exception):
    """A stream cannot go on, for a reason that the client can do something about."""


class Stream:
    """One open console."""

    def __init__(self, socket: WebSocket[Any, Any, Any], services: Services, server_id: str) -> None:
        self.socket = socket
        self.services = services
        self.server_id = server_id
        self.offset: int | None = None
        self.screenful: list[str] = []
        self.still = StillPermitted(socket, server_id)

    def open(self) -> None:
        """Find out who asks, whether they may, and what the console shows. Raises Problem."""
        self.socket.state.caller = identify(self.socket, self.services)
        self.allowed = permitted(self.socket, self.server_id)
        self.host = self.services.host(self.allowed.host)
        self.screenful = self.look()

    def look(self) -> list[str]:
        """Read what was printed since the last look."""
        self.offset, lines = self.host.read_console(self.allowed.spec, self.offset)
        return lines

    async def run(self) -> None:
        """Pump until the client leaves, the gate closes or something fails; say why where there is a reason."""
        tasks = [asyncio.create_task(each) for each in (self._client_leaves(), self._gate_closes(), self._pump())]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        leaving, *others = tasks
        if leaving in ended:
            return
        for task in others:  # the gate's word goes first, however the pump ended at the same moment
            if task in ended and (error := task.exception()) is not None:
                await self._end(error)
                return

    async def _client_leaves(self) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await self.socket.receive_data("text")

    async def _gate_closes(self) -> None:
        """Ask beside the pump: a reader who is slow, or a host that hangs, must not put a suspension off."""
        while True:
            await asyncio.sleep(ASK_EVERY_SECONDS)
            await self.services.in_thread(self.still.now)

    async def _pump(self) -> None:
        """Send what is printed. No `wait_for`: before 3.12 it swallows a cancellation that comes with its result."""
        lines = self.screenful
        while True:
            for line in lines:
                try:
                    async with asyncio.timeout(SEND_SECONDS):
                        await self.socket.send_text(line)
                except TimeoutError:
                    raise Cut("the client does not read") from None
                except OSError:
                    return  # it has hung up
            if not lines:
                await asyncio.sleep(LOOK_EVERY_SECONDS)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    lines = await self.services.in_thread(self.look)
            except TimeoutError:
                raise Cut("the console does not answer") from None

    async def _end(self, error: BaseException) -> None:
        """Close with the reason for it."""
        if isinstance(error, WebSocketDisconnect):
            return
        if isinstance(error, Cut):
            await self._close(TRY_AGAIN_LATER, str(error))
        elif isinstance(error, Problem):
            await self._close(POLICY_VIOLATION, f"{error.code}: {error.detail}")
        elif isinstance(error, Exception):
            failure = translated(error)
            await self._close(TRY_AGAIN_LATER if failure.status == 503 else INTERNAL_ERROR, failure.detail)

    async def _close(self, code: int, reason: str) -> None:
        short = reason.encode()[:REASON_BYTES].decode(errors="ignore")
        with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.socket.close(code=code, reason=short)


async def deny(socket: WebSocket[Any, Any, Any], problem: Problem) -> None:
    """Refuse a connection that was not accepted: as an HTTP answer where the server can, as a close otherwise."""
    if "websocket.http.response" not in (socket.scope.get("extensions") or {}):
        reason = f"{problem.code}: {problem.detail}".encode()[:REASON_BYTES].decode(errors="ignore")
        await socket.close(code=POLICY_VIOLATION, reason=reason)
        return
    headers = {"content-type": MEDIA_TYPE, **problem.headers}
    start: Any = {
        "type": "websocket.http.response.start",
        "status": problem.status,
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    body: Any = {"type": "websocket.http.response.body", "body": msgspec.json.encode(problem.document())}
    await socket.send(start)
    await socket.send(body)


router = Router("/api/servers/{server_id:str}/console", route_handlers=[type_command, stream_console], tags=["console"])
