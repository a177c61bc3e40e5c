"""Notices beside mail: signed, at most once, never in the way of the mail, and never to our own network."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from jobs.controller import Controller
from jobs.letters.hooks import HookSender
from jobs.rounds import close_all
from storage import hooks
from tests.doubles.hook import HookSink
from tests.jobs.floor import Floor, words_of


def pointed(floor: Floor, url: str, account: UUID) -> str:
    """Give the account's customer an address; return its secret."""
    with floor.begin() as conn:
        owner = conn.execute(text("SELECT customer_id FROM accounts WHERE id = :id"), {"id": account}).scalar_one()
        return hooks.point(conn, owner, url)


def outcomes(floor: Floor) -> list[str]:
    """Return how each post ended, or what it waits for."""
    with floor.begin() as conn:
        return list(conn.execute(text("SELECT outcome FROM hook_posts ORDER BY id")).scalars())


def told(floor: Floor, url: str, allows: str = "any", seconds: float = 30) -> HookSender:
    """Let one notice leave with this address beside, and make one round of posts."""
    sender = HookSender(floor.database, allows, seconds)
    account = floor.known_account()
    pointed(floor, url, account)
    with floor.begin() as conn:
        hooks.write(conn, "key:1", hook_owner(floor, account), "send_billing_warning", {"text": "Hello"})
    sender.send()
    return sender


def hook_owner(floor: Floor, account: UUID) -> UUID:
    """Return an account's customer."""
    owner: UUID = floor.row(account)["customer_id"]
    return owner


def test_a_notice_is_posted_once_signed_and_says_what_the_mail_says(floor: Floor, controller: Controller) -> None:
    with HookSink() as sink:
        account = floor.known_account()
        secret = pointed(floor, sink.url, account)
        floor.owe(account)
        floor.run(controller)
        sender = HookSender(floor.database, "any")
        sender.send()  # beside the controller's own: each post is one sender's
        close_all(controller.beside)
    ((headers, body),) = sink.taken
    at, _, signed = headers["forbear-signature"].removeprefix("t=").partition(",v1=")
    assert hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest() == signed
    said = json.loads(body)
    assert (said["notice"], said["accountId"]) == ("send_billing_warning", str(account))
    (mail,) = floor.mails()
    assert (said["subject"], said["text"]) == (str(mail["Subject"]), words_of(mail))
    assert headers["host"] == sink.url.split("/")[2], "the name goes along, though the address was looked up before"
    assert outcomes(floor) == ["told, it answered 200"]
    assert floor.scalar("SELECT body FROM hook_posts") == ""


@pytest.mark.parametrize(
    ("status", "outcome", "posts"),
    [
        (204, "told, it answered 204", 1),
        (302, "it answered 302", 1),
        (404, "it answered 404", 1),
        (500, "it answered 500", 1),
        (0, "it may have arrived: RemoteProtocolError", 1),
        (-1, "it may have arrived: no answer in time", 1),
    ],
)
def test_what_may_have_arrived_is_not_posted_again(floor: Floor, status: int, outcome: str, posts: int) -> None:
    with HookSink(status=status) as sink:
        sender = told(floor, sink.url, seconds=1 if status == -1 else 30)  # little where it is sure to be waited out
        sender.send()
    assert outcomes(floor) == [outcome]
    assert len(sink.taken) == posts, "and nobody is led elsewhere"
    assert floor.scalar("SELECT sent_at IS NOT NULL FROM hook_posts") is True


@pytest.mark.parametrize("status", [429, 503])
def test_not_now_is_tried_later_and_not_for_ever(floor: Floor, status: int) -> None:
    with HookSink(status=status) as sink:
        sender = told(floor, sink.url)
        for _ in range(12):
            with floor.begin() as conn:
                conn.execute(text("UPDATE hook_posts SET not_before = NULL"))
            sender.send()
    assert len(sink.taken) == 8
    assert outcomes(floor) == [f"given up: it answered {status}"]


def test_nobody_there_is_tried_later(floor: Floor) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        told(floor, f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert outcomes(floor) == ["it cannot be reached"]
    assert floor.scalar("SELECT sent_at IS NULL AND not_before > clock_timestamp() FROM hook_posts") is True


def test_an_address_of_our_own_network_is_never_connected_to(floor: Floor) -> None:
    with HookSink() as sink:
        for url in (sink.url, sink.url.replace("http:", "https:"), "https://169.254.169.254/latest/meta-data"):
            told(floor, url, allows="public")
            with floor.begin() as conn:
                (outcome,) = conn.execute(text("DELETE FROM hook_posts RETURNING outcome")).scalars()
                conn.execute(text("DELETE FROM hooks"))
            assert outcome.startswith("refused: "), outcome
    assert sink.taken == []


def test_switched_off_nothing_is_posted(floor: Floor) -> None:
    with HookSink() as sink:
        told(floor, sink.url, allows="off")
    assert sink.taken == []


def test_an_address_that_was_taken_away_is_not_posted_to(floor: Floor) -> None:
    with HookSink(status=503) as sink:
        sender = told(floor, sink.url)
        with floor.begin() as conn:
            conn.execute(text("DELETE FROM hooks"))
            conn.execute(text("UPDATE hook_posts SET not_before = NULL"))
        sender.send()
    assert len(sink.taken) == 1
    assert outcomes(floor) == ["not posted: the address was taken away"]


def test_the_mail_goes_out_whatever_becomes_of_the_second_way(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    pointed(floor, "http://127.0.0.1:1/", account)
    with floor.begin() as conn:
        conn.execute(text("ALTER TABLE hook_posts RENAME TO hook_posts_gone"))
    try:
        floor.owe(account)
        floor.run(controller)
    finally:
        with floor.begin() as conn:
            conn.execute(text("ALTER TABLE hook_posts_gone RENAME TO hook_posts"))
    assert floor.statuses(account) == [("send_billing_warning", "done")]
    assert len(floor.mails()) == 1


def test_mail_that_is_refused_still_leaves_the_second_way(floor: Floor, controller: Controller, tmp_path: Path) -> None:
    account = floor.known_account(email="")
    pointed(floor, "http://127.0.0.1:1/", account)
    floor.owe(account)
    floor.run(controller)
    assert floor.scalar("SELECT count(*) FROM hook_posts") == 1
    assert floor.row(account)["warning_sent_at"] is None, "a post is no proof that somebody was told"
