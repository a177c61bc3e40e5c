"""A mail server that keeps what it takes, and that can be told to fail in the ways that mail servers fail."""

from __future__ import annotations

import asyncio
import threading
import warnings
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Literal, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

Behaviour = Literal["accept", "refuse_recipient", "busy", "refuse_content", "vanish_after_content", "vanish_at_once"]


@dataclass
class SmtpSink:
    """Use as a context manager; `behaviour` may be changed at any moment."""

    behaviour: Behaviour = "accept"
    password: str | None = None
    taken: list[bytes] = field(default_factory=list)
    """Letters that the server kept, whether or not it told the sender."""

    def __enter__(self) -> Self:
        self._kept = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(self._loop.create_server(self._session, "127.0.0.1", 0))
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        sessions = asyncio.all_tasks() - {asyncio.current_task()}
        for session in sessions:
            session.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)

    def _session(self) -> SMTP:
        asks = self.password is not None
        warnings.filterwarnings("ignore", "Requiring AUTH while not requiring TLS")
        return SMTP(
            self,
            hostname="sink.test",
            enable_SMTPUTF8=True,
            auth_required=asks,
            auth_require_tls=False,
            authenticator=self.authenticate if asks else None,
            loop=self._loop,
        )

    @property
    def port(self) -> int:
        """The port that the system chose."""
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """The address for the settings, with credentials when a password is asked for."""
        return f"smtp://{f'forbear:{self.password}@' if self.password else ''}127.0.0.1:{self.port}"

    @property
    def letters(self) -> list[EmailMessage]:
        """What was taken, parsed."""
        with self._kept:
            return [message_from_bytes(raw, policy=policy.default) for raw in self.taken]

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        """Let the one password in."""
        right = isinstance(data, LoginPassword) and data.password == (self.password or "").encode()
        return AuthResult(success=right, handled=False)

    async def handle_EHLO(  # noqa: N802 - the library's name
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Greet, or hang up."""
        session.host_name = hostname
        if self.behaviour == "vanish_at_once":
            _hang_up(server)
        return responses

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a recipient, or do not."""
        if self.behaviour == "refuse_recipient":
            return "550 5.1.1 no such mailbox"
        if self.behaviour == "busy":
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - the library's name
        """Keep a letter, or do not; `vanish_after_content` keeps it and tells nobody."""
        if self.behaviour == "refuse_content":
            return "554 5.6.0 not this letter"
        content = envelope.original_content or b""
        with self._kept:
            self.taken.append(content)
        if self.behaviour == "vanish_after_content":
            _hang_up(server)
            await asyncio.sleep(0)
        return "250 kept"


def _hang_up(server: SMTP) -> None:
    assert isinstance(server.transport, asyncio.WriteTransport)
    server.transport.abort()
