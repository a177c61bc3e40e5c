"""A server's console: one line in by POST, everything it prints out by WebSocket for as long as the gate is open."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

import msgspec
from litestar import Router, WebSocket, post, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import RawBody

from web.auth import identify, signed_in
from web.gates import StillPermitted, permitted
from web.inputs import Input, decode
from web.problems import MEDIA_TYPE, Problem, translated
from web.services import HttpRequest, PathId, Services, TheServices

COMMAND_CHARACTERS = 4_000
LOOK_EVERY_SECONDS = 0.2
ASK_EVERY_SECONDS = 0.5  # a suspension shows on the stream within a second
SEND_SECONDS = 10.0  # a reader who takes longer for one message is not reading
STREAMS_PER_SERVER = 20
POLICY_VIOLATION, TRY_AGAIN_LATER, INTERNAL_ERROR = 1008, 1013, 1011
REASON_BYTES = 120  # the protocol's bound is 123


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
    allowed = permitted(request, server_id)
    line = decode(Typed, body).command
    if len(line) > COMMAND_CHARACTERS:
        raise Problem(400, "BAD_INPUT", f"`command` is longer than {COMMAND_CHARACTERS} characters.", field="command")
    services.host(allowed.host).send(allowed.spec, line)
    return {"state": "sent"}


@websocket("/stream", opt={"gate": "console.stream"})
async def stream_console(socket: WebSocket[Any, Any, Any], services: TheServices, server_id: PathId) -> None:
    """Send each line that the server prints, beginning with the last screenful.

    Nothing is read from the client but its pings and its leaving. Denials come before the connection is accepted, as
    HTTP; one that falls due later closes it with its code and sentence as the reason.
    """
    stream = Stream(socket, services, server_id)
    try:
        await services.in_thread(stream.open)
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


class Stream:
    """One open console."""

    def __init__(self, socket: WebSocket[Any, Any, Any], services: Services, server_id: str) -> None:
        self.socket = socket
        self.services = services
        self.server_id = server_id
        self.offset: int | None = None
        self.still = StillPermitted(socket, server_id, every_seconds=ASK_EVERY_SECONDS)

    def open(self) -> None:
        """Find out who asks, and whether they may. Raises Problem."""
        self.socket.state.caller = identify(self.socket, self.services)
        self.allowed = permitted(self.socket, self.server_id)
        self.host = self.services.host(self.allowed.host)

    def look(self) -> list[str]:
        """Read what was printed since the last look. Raises Problem once the gate is closed."""
        self.still.check()
        self.offset, lines = self.host.read_console(self.allowed.spec, self.offset)
        return lines

    async def run(self) -> None:
        """Pump until the client leaves or the gate closes."""
        leaving = asyncio.create_task(self._client_leaves())
        pump = asyncio.create_task(self._pump())
        try:
            await asyncio.wait({leaving, pump}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (leaving, pump):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                    await task

    async def _client_leaves(self) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await self.socket.receive_data("text")

    async def _pump(self) -> None:
        try:
            while True:
                lines = await self.services.in_thread(self.look)
                for line in lines:
                    await asyncio.wait_for(self.socket.send_text(line), SEND_SECONDS)
                if not lines:
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
        except TimeoutError:
            await self._close(TRY_AGAIN_LATER, "the client does not read")
        except Problem as problem:
            await self._close(POLICY_VIOLATION, f"{problem.code}: {problem.detail}")
        except WebSocketDisconnect:
            return
        except Exception as error:
            failure = translated(error)
            await self._close(TRY_AGAIN_LATER if failure.status == 503 else INTERNAL_ERROR, failure.detail)

    async def _close(self, code: int, reason: str) -> None:
        short = reason.encode()[:REASON_BYTES].decode(errors="ignore")
        with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
            await asyncio.wait_for(self.socket.close(code=code, reason=short), SEND_SECONDS)


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
