"""A proxy's console over RCON, as plugins offer it: one command, one answer."""

from __future__ import annotations

import re
import socket
import struct
from types import TracebackType
from typing import Final, Self

from jobs.edge.base import EdgeUnavailable

LOGIN: Final = 3
COMMAND: Final = 2
MOST_BYTES: Final = 65_536
STYLE: Final = re.compile(r"§.|\x1b\[[0-9;]*m")  # colours, as games and as terminals write them


class Rcon:
    """A session. Use as a context manager. Raises EdgeUnavailable for whatever goes wrong."""

    def __init__(self, name: str, address: str, port: int, password: str, timeout_seconds: float) -> None:
        self._name = name
        self._number = 0
        self._where = (address, port)
        self._password = password
        self._timeout_seconds = timeout_seconds

    def __enter__(self) -> Self:
        try:
            self._socket = socket.create_connection(self._where, self._timeout_seconds)
            self._socket.settimeout(self._timeout_seconds)
        except OSError as error:
            raise self._unavailable(error) from error
        try:
            number = self._send(LOGIN, self._password)
            while (answer := self._receive())[1] != COMMAND:
                pass  # some answer with an empty line first
            if answer[0] != number:
                raise EdgeUnavailable(self._name, "its console refuses the password")
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def run(self, command: str) -> str:
        """Type one command; return the beginning of what it printed, without colours."""
        number = self._send(COMMAND, command)
        while (answer := self._receive())[0] != number:
            pass  # the rest of an earlier, long answer
        return STYLE.sub("", answer[2]).strip()

    def _send(self, kind: int, text: str) -> int:
        self._number += 1
        body = struct.pack("<ii", self._number, kind) + text.encode() + b"\0\0"
        try:
            self._socket.sendall(struct.pack("<i", len(body)) + body)
        except OSError as error:
            raise self._unavailable(error) from error
        return self._number

    def _receive(self) -> tuple[int, int, str]:
        (length,) = struct.unpack("<i", self._take(4))
        if not 10 <= length <= MOST_BYTES:
            raise EdgeUnavailable(self._name, "its console does not speak RCON")
        body = self._take(length)
        number, kind = struct.unpack("<ii", body[:8])
        return number, kind, body[8:-2].decode("utf-8", "replace")

    def _take(self, count: int) -> bytes:
        taken = b""
        while len(taken) < count:
            try:
                part = self._socket.recv(count - len(taken))
            except OSError as error:
                raise self._unavailable(error) from error
            if not part:
                raise EdgeUnavailable(self._name, "its console hung up")
            taken += part
        return taken

    def _unavailable(self, error: OSError) -> EdgeUnavailable:
        reason = "its console does not answer" if isinstance(error, TimeoutError) else (error.strerror or "it is away")
        return EdgeUnavailable(self._name, reason.lower())
