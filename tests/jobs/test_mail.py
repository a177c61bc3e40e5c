"""Letters: what they look like, and that every way of failing is told apart."""

from __future__ import annotations

import mailbox
import socket
import threading
from datetime import UTC, datetime
from email import policy
from email.parser import BytesParser
from pathlib import Path

import pytest

from jobs.mail import (
    Letter,
    MailDelayed,
    MaildirMailer,
    MailRefused,
    MailUncertain,
    SmtpMailer,
    compose,
    message_id,
    one_line,
)
from tests.doubles.smtp import Behaviour, SmtpSink

SENDER = "Billing <billing@host.example>"


def letter(**changes: object) -> Letter:
    values: dict[str, object] = {
        "key": "a:billing:1:send_final_warning:1:-",
        "to_name": "Ada Lovelace",
        "to_email": "ada@example.com",
        "subject": "Your servers stop on Friday",
        "text": "Dear Ada,\n\n.a line that begins with a dot\nGrüße aus Zürich\n",
        "written_at": datetime(2026, 3, 1, 8, 0, tzinfo=UTC),
    }
    return Letter(**(values | changes))  # type: ignore[arg-type]


def test_letter_arrives_over_smtp_as_written() -> None:
    with SmtpSink() as sink:
        receipt = SmtpMailer(sink.url, SENDER).send(letter())
        (arrived,) = sink.letters
    assert receipt.startswith("smtp 250")
    assert arrived["To"] == "Ada Lovelace <ada@example.com>"
    assert arrived["From"] == SENDER
    assert arrived["Subject"] == "Your servers stop on Friday"
    assert arrived["Auto-Submitted"] == "auto-generated"
    assert arrived.get_content().replace("\r\n", "\n") == letter().text


def test_credentials_are_used() -> None:
    with SmtpSink(password="s3cret/+") as sink:
        url = sink.url.replace("s3cret/+", "s3cret%2F%2B")
        SmtpMailer(url, SENDER).send(letter())
        assert len(sink.taken) == 1
        with pytest.raises(MailDelayed, match="credentials"):
            SmtpMailer(url.replace("s3cret", "wrong"), SENDER).send(letter())


def test_same_intent_has_same_message_id_and_another_round_another() -> None:
    first = message_id(letter().key, SENDER)
    assert first.encode() in compose(letter(subject="another subject"), SENDER)
    assert first.endswith("@host.example>")
    assert first != message_id("a:billing:1:send_final_warning:2:-", SENDER)


@pytest.mark.parametrize(
    ("behaviour", "error", "kept"),
    [
        ("refuse_recipient", MailRefused, 0),
        ("refuse_content", MailRefused, 0),
        ("busy", MailDelayed, 0),
        ("vanish_at_once", MailDelayed, 0),
        ("vanish_after_content", MailUncertain, 1),
    ],
)
def test_each_failure_is_told_apart(behaviour: Behaviour, error: type[Exception], kept: int) -> None:
    with SmtpSink(behaviour) as sink:
        with pytest.raises(error):
            SmtpMailer(sink.url, SENDER, timeout_seconds=30).send(letter())
        assert len(sink.taken) == kept


def test_nobody_listening_is_a_delay() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(MailDelayed, match="refused"):
            SmtpMailer(f"smtp://127.0.0.1:{port}", SENDER).send(letter())


def test_silent_server_is_a_delay_not_a_hang() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mailer = SmtpMailer(f"smtp://127.0.0.1:{silent.getsockname()[1]}", SENDER, timeout_seconds=0.3)
        with pytest.raises(MailDelayed, match="timed out"):
            mailer.send(letter())


def test_server_that_dies_within_the_content_has_no_letter() -> None:
    """The connection breaks while the text travels, before its end was sent: surely not taken."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def converse() -> None:
            line, _ = listener.accept()
            with line, line.makefile("rb") as heard:
                line.sendall(b"220 x\r\n")
                for answer in (b"250 x\r\n", b"250 x\r\n", b"250 x\r\n", b"421 going away\r\n"):
                    heard.readline()
                    line.sendall(answer)

        thread = threading.Thread(target=converse, daemon=True)
        thread.start()
        with pytest.raises(MailDelayed):
            SmtpMailer(f"smtp://127.0.0.1:{listener.getsockname()[1]}", SENDER, timeout_seconds=30).send(letter())
        thread.join(5)


def test_clear_text_to_another_machine_is_refused() -> None:
    with SmtpSink() as sink:
        mailer = SmtpMailer(sink.url, SENDER)
        mailer.host = "127.0.0.2"
        with pytest.raises(MailDelayed):
            mailer.send(letter())
        assert sink.taken == []


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("Eve\r\nBcc: all@example.com", "Hello\r\nBcc: all@example.com"),
        ("Eve\nSubject: other", "x\n\nbody"),
        ('"Eve" <other@example.com>', "<b>bold</b> @everyone"),
        ("=?utf-8?q?Eve=0d=0aBcc:_all@example.com?=", "=?utf-8?q?Hello=0d=0aBcc:_all@example.com?="),
        ("=\x00?utf-8?b?RXZlDQpCY2M6IGFsbEBleGFtcGxlLmNvbQ==?=", "x " * 60 + "=?utf-8?q?=0a=0aBcc:_all@example.com?="),
        ("\u202eevE\u2066", "\u202egnp.exe"),
        ("é" * 300, "ü" * 900),
        ("", ""),
    ],
)
def test_no_name_or_subject_makes_a_header_of_its_own(name: str, subject: str) -> None:
    raw = compose(letter(to_name=name, subject=subject), SENDER)
    parsed = BytesParser(policy=policy.default).parsebytes(raw)
    assert parsed["Bcc"] is None
    assert parsed.get_all("Subject") is not None
    assert len(parsed.get_all("Subject", [])) == 1
    assert [each.addr_spec for each in parsed["To"].addresses] == ["ada@example.com"]
    assert not any(ord(character) in range(0x202A, 0x202F) for character in str(parsed["Subject"]) + str(parsed["To"]))


@pytest.mark.parametrize(
    "address", ["", "nobody", "@example.com", "a@b\r\nRCPT TO:<x@y>", "a b@example.com", "a@", "a@ü\u202e"]
)
def test_unusable_address_is_refused_not_retried(address: str, tmp_path: Path) -> None:
    with pytest.raises(MailRefused):
        MaildirMailer(tmp_path, SENDER).send(letter(to_email=address))


def test_address_in_another_script_gets_an_ascii_domain() -> None:
    assert b"ada@xn--zrich-kva.example" in compose(letter(to_email="ada@zürich.example"), SENDER)


def test_maildir_holds_each_letter_once_and_whole(tmp_path: Path) -> None:
    mailer = MaildirMailer(tmp_path / "a folder" / "mail", SENDER)
    first = mailer.send(letter())
    again = mailer.send(letter())
    mailer.send(letter(key="another"))
    assert first == again
    box = mailbox.Maildir(tmp_path / "a folder" / "mail")
    assert len(box) == 2
    assert list((tmp_path / "a folder" / "mail" / "tmp").iterdir()) == []


def test_maildir_knows_a_letter_that_was_read_meanwhile(tmp_path: Path) -> None:
    mailer = MaildirMailer(tmp_path, SENDER)
    mailer.send(letter())
    (fresh,) = (tmp_path / "new").iterdir()
    fresh.rename(tmp_path / "cur" / f"{fresh.name}:2,S")
    mailer.send(letter())
    assert list((tmp_path / "new").iterdir()) == []


def test_full_or_missing_disk_is_a_delay(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file stands where the folder should")
    with pytest.raises(MailDelayed):
        MaildirMailer(tmp_path / "mail", SENDER).send(letter())


def test_subject_is_one_bounded_line() -> None:
    assert one_line("  a\r\n\tb\u2028c  ") == "a b c"
    assert len(one_line("x" * 5000)) == 200
