"""An invoice of ours from its issue to its end, through the real policy, ledger, controller and mail."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID

import pypdfium2
import pytest
from sqlalchemy import text

from engine.load import bundle, load_texts
from jobs.controller import Controller
from jobs.invoices.pdf import pdf_of
from jobs.mail import Letter, MailRefused, MailUncertain
from storage import accounts, policies
from storage.invoicing import invoice_papers, invoices_pay, organisations, reminders_review
from storage.invoicing.invoices import Issued
from storage.settings import SHIPPED_POLICY
from tests.jobs.floor import Floor, words_of
from tests.jobs.invoices.papers import codes
from tests.storage.metered import Books

DAY = 24
DUE_DAYS = 31.1  # until the thirtieth day after its issue is over, also where clocks are put back in the meantime
GENTLE = Path(__file__).resolve().parents[3] / "examples" / "policies" / "gentle"


@dataclass
class Billed:
    """An organisation with one account, one server, and an invoice of 52.97 for it, payable in thirty days."""

    floor: Floor
    controller: Controller
    account: UUID
    customer: UUID
    server: UUID
    invoice: Issued
    books: Books

    def after(self, days: float) -> Billed:
        """Let days pass and everybody do their work."""
        self.floor.advance(days * DAY)
        self.work()
        return self

    def work(self) -> None:
        for _ in range(4):  # a letter that left moves its invoice on, which the next round sees
            self.run()
            self.controller.reminders.send()

    def run(self) -> None:
        """Let controller and workers work, and the controller's threads come to their end."""
        self.floor.run(self.controller)
        for rounds in self.controller.beside:
            rounds.wait(30)  # a letter that a thread has taken moves its invoice on only when it has left

    @property
    def state(self) -> str:
        return str(self.floor.scalar("SELECT state FROM invoice_states WHERE invoice_id = :id", id=self.invoice.id))

    @property
    def rung(self) -> str:
        return str(self.floor.row(self.account)["billing_status"])

    def letters(self) -> list[tuple[str, str]]:
        """What was asked for, and what became of it."""
        with self.floor.begin() as conn:
            found = conn.execute(text("SELECT state, status FROM invoice_reminders ORDER BY asked_at, intent"))
            return [(row.state, row.status) for row in found]

    def pay(self, amount: str | None = None) -> None:
        with self.floor.begin() as conn:
            wanted = None if amount is None else Decimal(amount)
            invoices_pay.pay(conn, self.invoice.id, wanted, by="test")
        self.work()

    def overdue(self) -> Billed:
        """Wait until reminders have come to their end."""
        for days in (0, DUE_DAYS, 7, 14, 14, 10.1):
            self.after(days)
        assert self.state == "overdue"
        return self


@pytest.fixture
def billed(floor: Floor, controller: Controller) -> Billed:
    account = floor.known_account()
    server = floor.machine(account)
    books = Books(floor)
    customer = UUID(str(floor.row(account)["customer_id"]))
    with floor.begin() as conn:
        organisations.change(conn, customer, {"pay_by_invoice": True, "auto_reminders": True, "payment_days": 30})
        conn.execute(
            text(
                "INSERT INTO tenant_billing_lifecycle "
                "(server_id, customer_id, account_id, organisation, tenant, event, "
                "at, source) VALUES (:server, :customer, :account, 'Ada', 'alpha', 'created', :at, 'observed')"
            ),
            {"server": server, "customer": customer, "account": account, "at": floor.now() - timedelta(days=200)},
        )
        invoice = books.billing.issue(conn, customer, books.month, by="test")
    assert invoice is not None
    return Billed(floor, controller, account, customer, server, invoice, books)


def test_the_invoice_leaves_by_mail_once_with_its_pdf(billed: Billed) -> None:
    billed.after(0)
    billed.after(1)
    (mail,) = billed.floor.mails()
    assert mail["Subject"].startswith(f"Invoice {billed.invoice.number}: CHF 52.97, due ")
    (attached,) = mail.iter_attachments()
    assert (attached.get_content_type(), attached.get_filename()) == (
        "application/pdf",
        f"invoice-{billed.invoice.number}.pdf",
    )
    assert attached.get_content().startswith(b"%PDF-1.7")
    assert billed.letters() == [("issued", "sent")]


def test_the_invoice_leaves_however_late_as_long_as_nothing_else_has(billed: Billed) -> None:
    billed.after(DUE_DAYS)
    assert (billed.state, billed.letters()) == ("due", [("issued", "sent")])
    assert len(billed.floor.mails()) == 1


def test_the_policy_in_force_says_what_a_letter_says_in_the_language_of_the_customer(billed: Billed) -> None:
    texts = bundle(SHIPPED_POLICY)
    translated = (GENTLE / "notices.yaml").read_text("utf-8").partition("translations:")[2].partition("\nstates:")[0]
    labels, _, letters = translated.partition("    notices:\n")
    german = f"translations:{labels}    notices:\n\n      send_invoice:{letters.partition('      send_invoice:')[2]}"
    texts["notices.yaml"] = texts["notices.yaml"].replace("\nstates:", f"\n{german}\nstates:")
    with billed.floor.begin() as conn:
        policies.deploy(conn, load_texts(texts), texts, {}, "test")
        accounts.speak(conn, billed.customer, "de")
    billed.after(0)
    (mail,) = billed.floor.mails()
    assert str(mail["Subject"]).startswith(f"Rechnung {billed.invoice.number}: CHF 52.97, zahlbar bis ")
    assert "Guten Tag" in words_of(mail)


def mails(billed: Billed) -> list[EmailMessage]:
    return sorted(billed.floor.mails(), key=lambda mail: str(mail["Subject"]))


def credited(billed: Billed, **wish: Any) -> Issued:
    with billed.floor.begin() as conn:
        return billed.books.billing.credit(conn, billed.invoice.id, by="test", **wish)


def test_each_credit_note_leaves_by_mail_once_with_its_pdf(billed: Billed) -> None:
    billed.after(0)
    part = credited(billed, wish={1: Decimal("9.00")})
    billed.work()
    rest = credited(billed)
    billed.after(1)
    billed.after(1)
    first, second = (mail for mail in mails(billed) if "Credit note" in str(mail["Subject"]))
    assert str(first["Subject"]) == f"Credit note {part.number}: CHF 9.73 of invoice {billed.invoice.number}"
    assert "CHF 43.24 is still to be paid" in words_of(first)
    assert "CHF 0.00 is still to be paid" in words_of(second)
    for mail, note in ((first, part), (second, rest)):
        (attached,) = mail.iter_attachments()
        assert attached.get_filename() == f"credit-note-{note.number}.pdf"
        with billed.floor.begin() as conn:
            assert attached.get_content() == invoice_papers.find(conn, note.id)
    assert billed.letters() == [("issued", "sent"), ("credit_note", "sent"), ("credit_note", "sent")]
    assert billed.state == "settled"


def test_a_credit_note_that_may_have_left_waits_for_a_person_and_holds_up_no_reminder(billed: Billed) -> None:
    billed.after(0)
    mailer, mail = billed.controller.reminders.mailer, Mail(MailUncertain("no answer"))
    billed.controller.reminders.mailer = mail
    note = credited(billed, wish={1: Decimal("9.00")})
    billed.after(1)
    billed.after(1)
    assert (billed.letters()[1:], mail.tried) == ([("credit_note", "unknown")], 1)
    assert note.number in str(billed.floor.scalar("SELECT text FROM alerts WHERE kind = 'notice_unknown'"))
    with billed.floor.begin() as conn:
        (stuck,) = reminders_review.listed(conn, stuck=True)
        policy = policies.in_force(conn)
        reminders_review.resolve(conn, policy, stuck.id, "again", by="ada", reason="the server was down")
    billed.controller.reminders.mailer = mailer
    billed.after(29)
    billed.after(7)
    assert [str(each["Subject"]).partition(" F")[0] for each in mails(billed)] == [
        "Credit note", "First reminder: invoice", "Invoice",
    ]  # fmt: skip


def test_a_policy_without_that_letter_mails_no_credit_note(billed: Billed) -> None:
    texts = bundle(SHIPPED_POLICY)
    before, _, after = texts["notices.yaml"].partition("  send_credit_note:")
    texts["notices.yaml"] = f"{before.rstrip()}\n\nletter: {after.partition('letter: ')[2]}"
    texts["intents.yaml"] = re.sub("(?m)^send_credit_note:.*\n", "", texts["intents.yaml"])
    with billed.floor.begin() as conn:
        policies.deploy(conn, load_texts(texts), texts, {}, "test")
    credited(billed, wish={1: Decimal("9.00")})
    billed.after(0)
    assert billed.letters() == [("issued", "sent")]


def test_unpaid_it_is_reminded_of_three_times_and_then_its_account_is_late_from_that_day(billed: Billed) -> None:
    billed.overdue()
    reminders = [mail for mail in billed.floor.mails() if "reminder" in str(mail["Subject"])]
    assert [str(mail["Subject"]).partition(":")[0] for mail in reminders] == [
        "First reminder", "Second reminder", "Final reminder",
    ]  # fmt: skip
    assert [part.get_filename() for part in reminders[2].iter_attachments()] == [
        f"final-reminder-{billed.invoice.number}.pdf",
        f"invoice-{billed.invoice.number}.pdf",
    ]
    account = billed.floor.row(billed.account)
    assert (account["overdue_invoices"], billed.rung) == (1, "overdue_warning")
    since = billed.floor.scalar("SELECT state_since FROM invoice_states WHERE invoice_id = :id", id=billed.invoice.id)
    assert account["past_due_since"] == since
    warning = words_of(billed.floor.mails()[-1])
    assert billed.invoice.number in warning
    assert "52.97" in warning


def test_overdue_it_climbs_to_a_suspension_and_paying_restores(billed: Billed) -> None:
    billed.overdue()
    billed.after(3.1)
    billed.after(2.1)
    assert billed.rung == "suspended"
    assert not billed.floor.host.running[str(billed.server)]
    billed.pay()
    assert (billed.state, billed.rung) == ("settled", "active")
    account = billed.floor.row(billed.account)
    assert (account["overdue_invoices"], account["past_due_since"]) == (0, None)
    assert not billed.floor.host.running[str(billed.server)], "nothing is started by itself"


def test_a_part_does_not_settle_and_the_rest_does(billed: Billed) -> None:
    billed.overdue()
    billed.pay("50.00")
    assert (billed.state, billed.rung) == ("overdue", "overdue_warning")
    billed.pay("2.97")
    assert (billed.state, billed.rung) == ("settled", "active")


def test_a_credit_note_settles_like_a_payment(billed: Billed) -> None:
    billed.overdue()
    with billed.floor.begin() as conn:
        billed.books.billing.credit(conn, billed.invoice.id, by="test")
    billed.work()
    assert (billed.state, billed.rung) == ("settled", "active")


def test_after_a_part_is_credited_reminders_and_warnings_ask_for_what_is_left(billed: Billed) -> None:
    billed.after(DUE_DAYS)
    with billed.floor.begin() as conn:
        billed.books.billing.credit(conn, billed.invoice.id, by="test", wish={1: Decimal("9.00")})
    billed.pay("3.24")
    billed.after(7.1)
    reminder = billed.floor.mails()[-1]
    assert str(reminder["Subject"]).endswith("CHF 40.00 open")
    (paper, whole) = (part.get_content() for part in reminder.iter_attachments())
    said = " ".join(pypdfium2.PdfDocument(paper)[0].get_textpage().get_text_range().split())
    assert "Credited -9.73" in said
    assert "Still to be paid CHF 40.00" in said
    assert "40.00" in codes(paper)[0]
    (first, *_) = (part.get_content() for part in billed.floor.mails()[0].iter_attachments())
    assert whole == first == pdf_of(billed.invoice.invoice)  # as it was issued
    for days in (14, 14, 10.1):
        billed.after(days)
    assert (billed.state, billed.rung) == ("overdue", "overdue_warning")
    assert "40.00" in words_of(billed.floor.mails()[-1])
    with billed.floor.begin() as conn:
        billed.books.billing.credit(conn, billed.invoice.id, by="test", wish={1: Decimal("37.00")})
    billed.work()
    assert (billed.state, billed.rung) == ("settled", "active")


def test_a_payment_that_the_bank_takes_back_is_reminded_of_anew_and_from_the_start(billed: Billed) -> None:
    billed.overdue()
    billed.pay()
    billed.pay("-52.97")
    assert (billed.state, billed.rung) == ("due", "active")
    billed.after(7.1)
    assert billed.letters()[-1] == ("first_reminder", "sent")


def test_paid_in_time_nobody_is_reminded(billed: Billed) -> None:
    billed.after(29)
    billed.pay()
    billed.after(400)
    assert billed.state == "settled"
    assert len(billed.floor.mails()) == 1


def test_who_is_not_reminded_by_itself_waits_for_a_person(billed: Billed) -> None:
    with billed.floor.begin() as conn:
        organisations.change(conn, billed.customer, {"auto_reminders": False})
    billed.after(DUE_DAYS)
    billed.after(300)
    assert (billed.state, billed.rung) == ("due", "active")
    with billed.floor.begin() as conn:
        organisations.change(conn, billed.customer, {"auto_reminders": True})
    billed.work()
    assert billed.state == "first_reminder"


def test_a_reminder_is_kept_as_it_was_sent_whatever_is_paid_later(billed: Billed) -> None:
    billed.after(DUE_DAYS)
    billed.after(7)
    paper, _ = billed.floor.mails()[-1].iter_attachments()
    kept = "SELECT paper FROM invoice_reminders WHERE state = '{}'"
    billed.pay("20.00")
    assert bytes(billed.floor.scalar(kept.format("first_reminder"))) == paper.get_content()
    assert billed.floor.scalar(kept.format("issued")) is None


def test_letters_bring_the_invoice_as_somebody_first_drew_it(billed: Billed) -> None:
    kept = b"%PDF-1.7 by an earlier typesetter"
    with billed.floor.begin() as conn:
        assert invoice_papers.keep(conn, billed.invoice.id, kept) == kept
    for days in (0, DUE_DAYS, 7.1):
        billed.after(days)
    mails = [[part.get_content() for part in mail.iter_attachments()] for mail in billed.floor.mails()]
    assert mails[0] == [kept]
    assert mails[-1][1:] == [kept]


class Mail:
    """A way out that fails as it is told."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.tried = 0

    def send(self, letter: Letter) -> str:
        self.tried += 1
        raise self.error


@pytest.mark.parametrize(
    ("error", "status"), [(MailUncertain("no answer"), "unknown"), (MailRefused("no such address"), "failed")]
)
def test_a_reminder_that_did_not_surely_leave_goes_no_further_and_a_person_is_told(
    billed: Billed, error: Exception, status: str
) -> None:
    billed.after(DUE_DAYS)
    mail = billed.controller.reminders.mailer = Mail(error)
    billed.after(7)
    assert billed.letters()[-1] == ("first_reminder", status)
    billed.after(400)
    assert (billed.state, billed.rung, mail.tried) == ("first_reminder", "active", 1)
    told = "SELECT text FROM alerts WHERE kind = 'notice_unknown'"
    assert billed.invoice.number in str(billed.floor.scalar(told))


def test_a_sender_that_dies_in_the_middle_leaves_it_unknown_and_never_sent_twice(billed: Billed) -> None:
    billed.after(DUE_DAYS)

    class Killed(BaseException):
        pass

    billed.controller.reminders.mailer = Mail(Killed())  # type: ignore[arg-type]
    billed.floor.advance(7 * DAY)
    billed.run()
    with contextlib.suppress(Killed):  # unless the controller's own round has met with it already
        billed.controller.reminders.send()
    assert billed.letters()[-1] == ("first_reminder", "sending")
    with billed.floor.begin() as conn:
        conn.execute(text("UPDATE invoice_reminders SET claimed_at = claimed_at - interval '11 minutes'"))
    billed.run()
    assert billed.letters()[-1] == ("first_reminder", "unknown")
    assert billed.controller.reminders.send() == 0


def test_a_reminder_that_waits_while_the_invoice_is_paid_is_dropped(billed: Billed) -> None:
    billed.after(DUE_DAYS)
    billed.floor.advance(7 * DAY)
    sender = billed.controller.reminders
    mail = sender.mailer = Mail(MailRefused("never tried"))
    asked_at = billed.floor.now()
    with billed.floor.begin() as conn:
        invoices_pay.pay(conn, billed.invoice.id, None, by="test")
        conn.execute(text("UPDATE invoice_states SET due_at = NULL"))  # the controller has not come to it yet
        conn.execute(
            text(
                "INSERT INTO invoice_reminders (invoice_id, intent, state, round, asked_at) "
                "VALUES (:id, 'send_first_reminder', 'due', 1, :now)"
            ),
            {"id": billed.invoice.id, "now": asked_at},
        )
    assert sender.send() == 1
    assert (billed.letters()[-1], mail.tried) == (("due", "dropped"), 0)
