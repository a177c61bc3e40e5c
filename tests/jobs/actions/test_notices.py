"""Notices: written from what is true, sent once, and never called sent when they were not."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from engine.load import bundle, load_texts
from jobs.controller import Controller
from jobs.mail import SmtpMailer
from storage import policies
from storage.settings import SHIPPED_POLICY
from tests.doubles.smtp import SmtpSink
from tests.jobs.floor import Floor, words_of

SENDER = "Billing <billing@host.example>"
GERMAN = """
translations:
  de:
    letter: {reason: Warum, next: Danach, invoices: Rechnungen, pay: Zahlen, none: keine}
    notices:
      send_billing_warning:
        subject: Zahlung offen
        text: |
          {customer_name}, bitte zahlen Sie:
          {pay_url}
          Fragen? {support_email}
"""


@pytest.fixture
def sink() -> SmtpSink:
    return SmtpSink()


def by_smtp(database_url: str, redis_url: str, folder: Path, sink: SmtpSink) -> Floor:
    """Make a floor whose letters go to the sink."""
    return Floor(database_url, redis_url, folder, mailer=SmtpMailer(sink.url, SENDER, timeout_seconds=30))


def test_the_whole_ladder_sends_each_letter_once(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    floor.machine(account)
    floor.suspend(account, controller)
    floor.advance(24 * 11 + 1)
    floor.run(controller)
    floor.pay(account)
    floor.run(controller)
    kinds = [row["intent"] for row in floor.intents_of(account) if row["kind"] == "notice"]
    assert kinds == [
        "send_billing_warning",
        "send_final_warning",
        "send_suspended_notice",
        "send_retention_warning",
        "send_restored_notice",
    ]
    assert len(floor.letters()) == 5
    assert all("Ada Lovelace" in letter for letter in floor.letters())


def test_final_warning_tells_the_date_that_then_holds_in_the_customers_zone(
    floor: Floor, controller: Controller
) -> None:
    account = floor.known_account()
    floor.owe(account)
    floor.run(controller)
    floor.advance(73)
    floor.run(controller)
    promised = floor.intents_of(account, "send_final_warning")[0]["promise_at"]
    from engine.languages import written_instant

    told = written_instant(promised, "Europe/Zurich")
    assert any(told in subject for subject in floor.subjects())
    assert promised <= floor.row(account)["due_at"] <= promised + timedelta(minutes=1)


def test_suspended_notice_waits_until_the_servers_were_seen_stopped(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server = floor.machine(account)
    floor.host.stubborn.add(str(server))
    floor.suspend(account, controller)
    assert not any("have been stopped" in subject for subject in floor.subjects())
    floor.host.stubborn.clear()
    floor.advance(0.1)
    floor.run(controller)
    letter = next(each for each in floor.letters() if "Being stopped:" in each)
    assert "Stopped: s\n" in letter
    assert "Being stopped: none" in letter


def test_suspended_notice_says_being_stopped_after_an_hour(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    floor.host.stubborn.add(str(floor.machine(account)))
    floor.suspend(account, controller)
    floor.advance(1.1)
    floor.run(controller)
    letter = next(each for each in floor.letters() if "Being stopped:" in each)
    assert "Stopped: none\n" in letter
    assert "Being stopped: s\n" in letter


def test_no_way_out_makes_the_account_wait_and_tells_people(database_url: str, redis_url: str, tmp_path: Path) -> None:
    with SmtpSink("busy") as sink:
        floor = by_smtp(database_url, redis_url, tmp_path, sink)
        controller = floor.controller()
        account = floor.known_account()
        other = floor.machine(account)
        floor.owe(account)
        for _ in range(8):
            floor.run(controller)
            floor.advance(24)
        assert floor.row(account)["billing_status"] == "overdue_warning", "no rung without its notice"
        assert floor.seat(other).observed == "running"
        assert "notice_failed" in floor.alerts()
        sink.behaviour = "accept"
        floor.advance(24)
        floor.run(controller)
        assert floor.row(account)["warning_sent_at"] is not None
        floor.close()


def test_a_letter_that_may_have_left_is_unknown_and_not_sent_again(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with SmtpSink("vanish_after_content") as sink:
        floor = by_smtp(database_url, redis_url, tmp_path, sink)
        controller = floor.controller()
        account = floor.known_account()
        floor.owe(account)
        floor.run(controller)
        sink.behaviour = "accept"
        for _ in range(5):
            floor.advance(24)
            floor.run(controller)
        assert floor.statuses(account) == [("send_billing_warning", "unknown")]
        assert len(sink.taken) == 1
        assert "notice_unknown" in floor.alerts()
        assert floor.row(account)["billing_status"] == "overdue_warning"
        floor.close()


def test_customer_without_an_address_is_not_skipped_in_silence(floor: Floor, controller: Controller) -> None:
    account = floor.known_account(email="")
    floor.owe(account)
    floor.run(controller)
    floor.advance(240)
    floor.run(controller)
    assert floor.row(account)["billing_status"] == "overdue_warning"
    assert "notice_failed" in floor.alerts()


def test_names_with_markup_and_line_breaks_reach_the_customer_harmlessly(floor: Floor, controller: Controller) -> None:
    account = floor.known_account(name="Eve\r\nBcc: all@example.com <b>@everyone</b>")
    floor.owe(account)
    floor.run(controller)
    (mail,) = floor.mails()
    assert mail["Bcc"] is None
    assert len(mail["To"].addresses) == 1
    assert "\nBcc:" not in floor.letters()[0]


def test_pay_link_is_the_invoices_own_page(floor: Floor, controller: Controller) -> None:
    account: UUID = floor.known_account()
    floor.rows(
        "INSERT INTO stripe_invoices (id, account_id, status, number, amount_remaining_cents, currency, "
        "first_failed_at, hosted_invoice_url, evidence_at, evidence_event_id) "
        "VALUES ('in_1', :id, 'open', 'A1-7', 1250, 'eur', now(), "
        "'https://invoice.example/in_1', now(), 'evt') RETURNING 1",
        id=account,
    )
    floor.owe(account)
    floor.run(controller)
    (mail,) = floor.mails()
    for form in ("plain", "html"):
        assert "https://invoice.example/in_1" in words_of(mail, form)
        assert "A1-7, 12.50 EUR" in words_of(mail, form)


def test_a_customer_is_written_to_in_their_language(floor: Floor, controller: Controller) -> None:
    account: UUID = floor.known_account()
    texts = bundle(SHIPPED_POLICY)
    texts["notices.yaml"] += GERMAN
    with floor.begin() as conn:
        policies.deploy(conn, load_texts(texts), texts, {}, "test")
        conn.execute(text("UPDATE customers SET language = 'de-AT'"))
    floor.owe(account)
    floor.run(controller)
    assert floor.subjects() == ["Zahlung offen"]
    assert '<html lang="de">' in words_of(floor.mails()[0], "html")
    assert "Zahlen\n" in words_of(floor.mails()[0], "html").replace("</a>", "\n")
