"""A Velocity proxy as far as its console goes: it reads `velocity.toml` when told to, and knows what it has read.

As the real one, it refuses a file whose `try` or forced hosts name a server that is not in it, registers what is new,
moves what has changed, and keeps what was removed until it starts again.
"""

from __future__ import annotations

import struct
import threading
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from tests.doubles.listener import Listener, handler_of, take

PASSWORD = "console of the double"
Fault = Literal["", "refuse_reload", "reads_old", "silent", "hang_up", "no_rcon", "wordy"]


@dataclass
class VelocityDouble:
    """Use as a context manager. `fault` may be changed at any moment."""

    file: Path
    fault: Fault = ""
    hangs: threading.Event | None = None
    """No answer to a command before this is set."""
    servers: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, list[str]] = field(default_factory=dict)
    typed: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.restart()
        self._listener = Listener(handler_of(self.serve))
        return self

    def __exit__(self, *_: object) -> None:
        if self.hangs is not None:
            self.hangs.set()
        self._listener.close()

    @property
    def console(self) -> tuple[str, int]:
        """Where its console listens."""
        return "127.0.0.1", self._listener.port

    def restart(self) -> None:
        """Start anew: only what the file says is known."""
        self.servers, self.hosts = {}, {}
        assert self._load(), "a proxy with this file would not start"

    def serve(self, connection: Any) -> None:
        """Answer one session."""
        if self.fault == "no_rcon":
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        signed_in = False
        while True:
            (length,) = struct.unpack("<i", take(connection, 4))
            body = take(connection, length)
            number, kind = struct.unpack("<ii", body[:8])
            text = body[8:-2].decode()
            if kind == 3:
                signed_in = text == PASSWORD
                send(connection, number, 0, "")
                send(connection, number if signed_in else -1, 2, "")
                continue
            if not signed_in:
                return
            self.typed.append(text)
            if self.hangs is not None:
                self.hangs.wait(30)
            if self.fault == "hang_up":
                return
            answer = self.answer(text)
            send(connection, number, 0, answer)
            if self.fault == "wordy":
                send(connection, number, 0, "and more")

    def answer(self, command: str) -> str:
        """Return what the console prints."""
        if self.fault == "silent":
            return ""
        if command == "velocity reload":
            if self.fault == "refuse_reload" or not (self.fault == "reads_old" or self._load()):
                return "§cUnable to reload your Velocity configuration. Check the console for more details."
            return "§aVelocity configuration successfully reloaded."
        verb, _, name = command.partition(" ")
        if verb == "glist" and name in self.servers:
            return f"\x1b[36m[{name}] \x1b[0m(2): Ada, Ben"
        if verb == "glist":
            return f"§cThe specified server {name} does not exist."
        return "§cThis command does not exist."

    def _load(self) -> bool:
        try:
            read = tomllib.loads(self.file.read_text())
        except (OSError, tomllib.TOMLDecodeError):
            return False
        servers = {name: place for name, place in read["servers"].items() if name != "try"}
        hosts = read.get("forced-hosts", {})
        named = [*read["servers"].get("try", []), *(name for names in hosts.values() for name in names)]
        if not set(named) <= set(servers):
            return False
        self.servers |= servers
        self.hosts = hosts
        return True


def send(connection: Any, number: int, kind: int, text: str) -> None:
    """Send one packet."""
    body = struct.pack("<ii", number, kind) + text.encode() + b"\0\0"
    connection.sendall(struct.pack("<i", len(body)) + body)
