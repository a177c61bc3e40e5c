"""The embedded Redis: it spreads and wakes work, and holds nothing that PostgreSQL does not, so it keeps no file."""

from __future__ import annotations

import contextlib
import signal
import socket
from pathlib import Path
from typing import Self

from storage.embedded.binaries import redis_server
from storage.embedded.folder import ServerFolder
from storage.embedded.process import Child, server_uid
from storage.embedded.server import EmbeddedServer


class Redis(EmbeddedServer):
    """A running Redis. Its configuration goes in by a pipe, so that the password is in no argument list."""

    name = "Redis"
    stop_steps = ((signal.SIGTERM, 5.0),)

    @classmethod
    def start(cls, data_dir: Path) -> Self:
        """Start it in its own folder and return when it answers. Raises EmbeddedError."""
        folder = ServerFolder(cls.name, data_dir)
        folder.open()
        try:
            server = cls(folder)
            server.run()
        except BaseException:
            folder.close()
            raise
        return server

    @property
    def url(self) -> str:
        return f"redis://:{self.folder.password()}@127.0.0.1:{self.port}/0"

    def _launch(self, port: int) -> Child:
        settings = {
            "bind": "127.0.0.1",
            "port": port,
            "requirepass": self.folder.password(),
            "appendonly": "no",
            "save": '""',
            "databases": 64,
            "maxmemory": "256mb",
            "maxmemory-policy": "noeviction",
            "tcp-backlog": 128,
            "daemonize": "no",
        }
        configuration = "".join(f"{key} {value}\n" for key, value in settings.items())
        return Child(
            [redis_server(), "-"],
            log=self.folder.log,
            uid=server_uid(),
            death_signal=signal.SIGKILL,
            stdin=configuration.encode("ascii"),
        )

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(f"AUTH {self.folder.password()}\r\nPING\r\n".encode("ascii"))
            answer = b""
            while answer.count(b"\r\n") < 2 and (part := connection.recv(200)):
                answer += part
            return answer == b"+OK\r\n+PONG\r\n"
        return False
