"""Letters to customers: by SMTP, or into a Maildir when no server is configured.

Each try ends in one of four ways, never in a guess. What a letter says is `jobs.notices`; whether and when it is sent
is the ledger's.
"""

from __future__ import annotations

import hashlib
import os
import re
import smtplib
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from storage.settings import Settings

TIMEOUT_SECONDS = 20.0
SUBJECT_CHARACTERS = 200
MOST_TRIES = 12
FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 1800.0
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class MailError(Exception):
    """A letter was not sent, or it is not known whether it was."""


class MailDelayed(MailError):
    """The letter surely did not leave; the same call can succeed later."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the letter did not leave: {reason}")


class MailRefused(MailError):
    """The letter surely did not leave, and trying again changes nothing."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the letter was refused: {reason}")


class MailUncertain(MailError):
    """The server had the whole letter and did not say what it did with it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the letter may have left: {reason}")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A PDF that goes along."""

    name: str
    pdf: bytes


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter. `key` is the intent's: the Message-ID follows from it, so a copy can be told from a new letter."""

    key: str
    to_name: str
    to_email: str
    subject: str
    text: str
    written_at: datetime
    html: str | None = None
    """The same with looks; `text` is what counts."""
    attached: tuple[Attachment, ...] = ()


class Mailer(Protocol):
    """A way out for letters."""

    def send(self, letter: Letter) -> str:
        """Send and return what proves it. Raises MailDelayed, MailRefused, MailUncertain."""


def mailer_of(settings: Settings) -> Mailer:
    """Choose the way out: SMTP when configured, else the Maildir under the data directory."""
    if settings.smtp_url:
        return SmtpMailer(settings.smtp_url, sender=settings.mail_from)
    return MaildirMailer(Path(settings.data_dir) / "mail", sender=settings.mail_from)


def pause_seconds(tries: int) -> float | None:
    """Return how long a letter that surely did not leave waits after so many tries; None: it is given up."""
    if tries >= MOST_TRIES:
        return None
    return min(FIRST_PAUSE_SECONDS * 2.0 ** (tries - 1), LONGEST_PAUSE_SECONDS)


# ---- writing ---------------------------------------------------------------------------------------------------------


def one_line(text: str, most_characters: int = SUBJECT_CHARACTERS) -> str:
    """Fold whatever a person typed into one harmless header line: no line breaks, controls or direction marks."""
    words = "".join(character if character.isprintable() else " " for character in text).split()
    # What looks encoded (RFC 2047) is decoded by the library before it writes the header, line breaks and all.
    line = " ".join(words).replace("=?", "= ?")
    return line if len(line) <= most_characters else line[: most_characters - 1] + "…"


def message_id(key: str, sender: str) -> str:
    """Derive the Message-ID from the intent's key: the same letter always has the same one."""
    domain = sender.rpartition("@")[2].strip("<> ") or "forbear.invalid"
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{domain}>"


def compose(letter: Letter, sender: str) -> bytes:
    """Write the letter as it goes over the wire. Raises MailRefused for an address that is none."""
    message = EmailMessage(policy=WIRE)
    try:
        name, _, spec = letter.to_email.rpartition("@")
        if not name or not letter.to_email.isprintable():
            raise MailRefused("the customer has no usable mail address")
        message["To"] = Address(display_name=one_line(letter.to_name, 80), addr_spec=f"{name}@{_ascii_domain(spec)}")
        message["From"] = sender
    except (ValueError, IndexError, UnicodeError, MessageError) as error:
        raise MailRefused("the customer has no usable mail address") from error
    message["Subject"] = one_line(letter.subject)
    message["Date"] = format_datetime(letter.written_at)
    message["Message-ID"] = message_id(letter.key, sender)
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    message.set_content(letter.text, charset="utf-8", cte="quoted-printable")
    if letter.html is not None:
        message.add_alternative(letter.html, subtype="html", charset="utf-8", cte="quoted-printable")
        message.set_boundary(f"part-{hashlib.sha256(letter.key.encode()).hexdigest()[:40]}")
    for each in letter.attached:
        message.add_attachment(each.pdf, maintype="application", subtype="pdf", filename=one_line(each.name, 80))
    if letter.attached:
        message.set_boundary(f"whole-{hashlib.sha256(letter.key.encode()).hexdigest()[:40]}")
    return message.as_bytes()


def _ascii_domain(domain: str) -> str:
    return domain.encode("idna").decode("ascii") if not domain.isascii() else domain


# ---- Maildir ---------------------------------------------------------------------------------------------------------


class MaildirMailer:
    """Puts letters into a Maildir, each exactly once: the file's name follows from the key."""

    def __init__(self, folder: Path, sender: str) -> None:
        self.folder = folder
        self.sender = sender

    def send(self, letter: Letter) -> str:
        """Write aside, then rename: a reader sees a whole letter or none."""
        payload = compose(letter, self.sender)
        unique = hashlib.sha256(letter.key.encode()).hexdigest()[:32]
        try:
            for name in ("tmp", "new", "cur"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            if there := self._already(unique):
                return f"maildir {there}"
            name = f"{int(letter.written_at.timestamp())}.{unique}.forbear"
            aside = self.folder / "tmp" / f"{name}.{os.getpid()}"
            with aside.open("wb") as file:
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            aside.rename(self.folder / "new" / name)
            _sync_folder(self.folder / "new")
        except OSError as error:
            raise MailDelayed(f"the mail folder cannot be written: {error.strerror or error}") from error
        return f"maildir {name}"

    def _already(self, unique: str) -> str | None:
        for folder in ("new", "cur"):
            for found in (self.folder / folder).glob(f"*.{unique}.forbear*"):
                return found.name
        return None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# ---- SMTP ------------------------------------------------------------------------------------------------------------


class SmtpMailer:
    """Hands letters to a mail server.

    `smtps://user:password@host` is TLS from the start; `smtp://` takes STARTTLS, which must be offered unless the
    server is on this machine. The end of DATA is the one point of doubt: before it, nothing has left; after it, only
    the server's answer tells.
    """

    def __init__(self, url: str, sender: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("the mail server's address must look like `smtp://host:587` or `smtps://host`")
        self.implicit_tls = parts.scheme == "smtps"
        self.host = parts.hostname
        self.port = parts.port or (465 if self.implicit_tls else 587)
        self.user = unquote(parts.username or "")
        self.password = unquote(parts.password or "")
        self.sender = sender
        self.timeout_seconds = timeout_seconds

    def send(self, letter: Letter) -> str:
        """Hand the letter over and return the server's receipt."""
        payload = compose(letter, self.sender)
        envelope_from = self.sender.rpartition("<")[2].strip("<> ")
        local, _, domain = letter.to_email.rpartition("@")
        try:
            server = self._connect()
        except smtplib.SMTPAuthenticationError as error:
            raise MailDelayed("the mail server refused our credentials") from error
        except (OSError, smtplib.SMTPException) as error:
            raise MailDelayed(f"the mail server cannot be used: {_reason(error)}") from error
        try:
            self._offer(server, envelope_from, f"{local}@{_ascii_domain(domain)}", payload)
            return self._conclude(server)
        finally:
            server.close()

    def _connect(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self.implicit_tls:
            server: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=self.timeout_seconds, context=context)
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=self.timeout_seconds)
        try:
            server.ehlo_or_helo_if_needed()
            if not self.implicit_tls and server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo()
            elif not self.implicit_tls and self.host not in LOOPBACK:
                raise smtplib.SMTPNotSupportedError("it offers no STARTTLS, and letters do not travel in clear text")
            if self.user:
                server.login(self.user, self.password)
        except BaseException:
            server.close()
            raise
        return server

    def _offer(self, server: smtplib.SMTP, sender: str, recipient: str, payload: bytes) -> None:
        """Send everything but the end of DATA: whatever fails here, the server has no letter."""
        options = [] if recipient.isascii() else ["SMTPUTF8"]
        try:
            if options and not server.has_extn("smtputf8"):
                raise MailRefused("the mail server cannot write to an address with such letters")
            _check("MAIL", server.mail(sender, options), refusal=MailDelayed)
            _check("RCPT", server.rcpt(recipient))
            _check("DATA", server.docmd("DATA"), refusal=MailDelayed)
            body = payload if payload.endswith(b"\r\n") else payload + b"\r\n"
            server.send(re.sub(rb"(?m)^\.", b"..", body))
        except (OSError, smtplib.SMTPException, UnicodeError) as error:
            raise MailDelayed(f"the mail server broke off: {_reason(error)}") from error

    def _conclude(self, server: smtplib.SMTP) -> str:
        try:
            server.send(b".\r\n")
            code, text = server.getreply()
        except (OSError, smtplib.SMTPException) as error:
            raise MailUncertain(f"the mail server had the letter and broke off: {_reason(error)}") from error
        _check("end of DATA", (code, text))
        return f"smtp {code} {_printable(text)}"


def _check(verb: str, answer: tuple[int, bytes], refusal: type[MailDelayed | MailRefused] = MailRefused) -> None:
    """Raise what an answer means. A lasting no to recipient or letter is final; one to us an operator can mend."""
    code, text = answer
    if 200 <= code < 400:
        return
    reason = f"{verb} answered {code} {_printable(text)}"
    raise refusal(reason) if 500 <= code < 600 else MailDelayed(reason)


def _printable(text: bytes) -> str:
    return one_line(text.decode("utf-8", "replace"), 160)


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return one_line(str(error), 160) or "no reason given"
