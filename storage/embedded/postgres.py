"""The embedded PostgreSQL: a cluster made once, then started, recovered and stopped with production's durability."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from storage.embedded import logs
from storage.embedded.binaries import postgres_binary
from storage.embedded.errors import EmbeddedError
from storage.embedded.folder import ServerFolder
from storage.embedded.process import Child, server_uid, signals_held
from storage.embedded.server import EmbeddedServer

ROLE = DATABASE = "forbear"
SUPERUSER = "postgres"
INITDB_TIMEOUT_SECONDS = 120.0
ORPHAN_TIMEOUT_SECONDS = 30.0

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path may be at most 107 bytes long; loopback has no such limit
    "max_connections": "100",
    "shared_buffers": "128MB",
    "jit": "off",  # compiling costs more than our short statements
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
}
# For tests only: what a killed process has written survives without these; what a power cut would leave does not.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


class Postgres(EmbeddedServer):
    """A running PostgreSQL with one database and the role that owns it, both named `forbear`.

    That role is no superuser: as root this server may pass any folder, which its SQL must not be able to use.
    """

    name = "PostgreSQL"
    # Fast shutdown ends sessions and writes a checkpoint; immediate leaves recovery to the next start.
    stop_steps = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0))
    passing_faults = ("pre-existing shared memory block", "postmaster.pid")

    def __init__(self, folder: ServerFolder, *, durable: bool = True) -> None:
        super().__init__(folder)
        self.cluster = folder.path / "cluster"
        self.durable = durable

    @classmethod
    def start(cls, data_dir: Path, *, durable: bool = True) -> Self:
        """Start it in its own folder, making the cluster at first, and return when it answers.

        durable: False only in tests; trades safety against power cuts for speed. Raises EmbeddedError.
        """
        folder = ServerFolder(cls.name, data_dir)
        folder.open()
        try:
            server = cls(folder, durable=durable)
            server._make_cluster()
            server._end_orphan()
            server.run()
            try:
                server._make_database()
            except BaseException:
                server.stop()
                raise
        except BaseException:
            folder.close()
            raise
        return server

    @property
    def url(self) -> str:
        return self._url_of(ROLE, "password", DATABASE)

    @property
    def superuser_url(self) -> str:
        """Return the address for whoever makes databases and roles: us at the first start, and the tests."""
        return self._url_of(SUPERUSER, "superuser_password", "postgres")

    def _url_of(self, role: str, password: str, database: str) -> str:
        secret = quote(self.folder.password(password, may_create=False), safe="")
        return f"postgresql://{role}:{secret}@127.0.0.1:{self.port}/{database}"

    def _launch(self, port: int) -> Child:
        settings = SETTINGS | {"port": str(port)} | ({} if self.durable else NOT_DURABLE)
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return Child(
            [postgres_binary("postgres"), "-D", self.cluster, *options],
            log=self.folder.log,
            uid=server_uid(self.cluster),
            death_signal=signal.SIGINT,
        )

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.superuser_url, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                reason = "its password file does not fit it; put the right one back"
                raise EmbeddedError(self.name, self.folder.path, reason) from error
            return False
        return True

    def _make_cluster(self) -> None:
        """Make the cluster under another name first, so that an interrupted start leaves nothing half made in place."""
        if (self.cluster / "PG_VERSION").exists():
            return
        fresh = self.folder.path / "cluster.new"
        shutil.rmtree(fresh, ignore_errors=True)
        self.folder.password("superuser_password")
        uid = server_uid()
        try:
            fresh.mkdir(mode=0o700)
            if uid >= 0:
                os.chown(fresh, uid, uid)
        except OSError as error:
            raise EmbeddedError(self.name, self.folder.path, f"cannot make `{fresh}`: {error.strerror}") from error
        log_start = logs.size_bytes(self.folder.log)
        command: list[str | Path] = [postgres_binary("initdb"), "--pgdata", fresh, "--username", SUPERUSER]
        command += [
            "--pwfile",
            self.folder.path / "superuser_password",
            "--auth-host=scram-sha-256",
            "--auth-local=reject",
        ]
        command += ["--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"]
        command += [] if self.durable else ["--no-sync"]
        with signals_held():
            self._child = Child(command, log=self.folder.log, uid=uid)
        try:
            status = self._child.wait(INITDB_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            raise self._failure("making the cluster took too long", log_start) from None
        finally:
            self._child.kill()
            self._child = None
        if status != 0:
            raise self._failure("the cluster could not be made", log_start)
        fresh.rename(self.cluster)

    def _make_database(self) -> None:
        with contextlib.closing(psycopg.connect(self.superuser_url, autocommit=True)) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                return
            # An interrupted first start may have left the role alone: its password is then set anew.
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone()
            statement = "ALTER ROLE {} LOGIN PASSWORD {}" if known else "CREATE ROLE {} LOGIN PASSWORD {}"
            role = sql.Identifier(ROLE)
            connection.execute(sql.SQL(statement).format(role, sql.Literal(self.folder.password())))
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), role))

    def _end_orphan(self) -> None:
        """Stop a server that outlived the process which started it, where the system does not do so by itself.

        We hold the folder's lock, so whatever serves this cluster now is nobody's.
        """
        file = self.cluster / "postmaster.pid"
        try:
            pid = int(file.read_text(encoding="utf-8").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        if not _serves(pid, self.cluster):
            # The id may belong to another program by now; PostgreSQL would take that one for a server of this cluster.
            file.unlink(missing_ok=True)
            return
        for number, seconds in ((signal.SIGINT, ORPHAN_TIMEOUT_SECONDS), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                if not _serves(pid, self.cluster):
                    return
                time.sleep(0.02)
        raise EmbeddedError(self.name, self.folder.path, f"process {pid} still serves it and cannot be stopped")


def _serves(pid: int, cluster: Path) -> bool:
    """Tell whether this process is a PostgreSQL whose cluster is this folder."""
    processes = Path("/proc")
    if (processes / "self" / "cwd").exists():
        try:
            return (processes / str(pid) / "cwd").resolve(strict=True) == cluster.resolve()
        except OSError:
            return False
    command = ["/bin/ps", "-p", str(pid), "-o", "command="]
    return str(cluster) in subprocess.run(command, capture_output=True, text=True, check=False).stdout
