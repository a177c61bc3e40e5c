"""The monthly run and `forbear invoice`: everybody once, however often and wherever it is stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.invoicing.document import from_document
from engine.invoicing.metered import UsageKind
from jobs.hosts.base import HostUnavailable, Tenant
from jobs.invoices.automatic import last_month_over, run_by_itself
from jobs.invoices.commands import invoice
from jobs.invoices.creditor import creditor_of, price_zone_of, read_creditor
from jobs.invoices.ordered import run_ordered
from jobs.invoices.run import first_of, run, waiting
from jobs.operator_file import OperatorFileWrong
from storage.errors import SettingWrong
from storage.invoicing import invoice_orders, invoices, prices
from storage.invoicing.errors import TooLargeToInvoice
from storage.invoicing.invoices_issue import Billing
from storage.invoicing.usage import Told, take
from tests.storage.deployment import Deployment
from tests.storage.metered import CREDITOR, Books

EXAMPLE = Path(__file__).parents[2] / "examples" / "deploy" / "invoice.yaml"


@pytest.fixture
def books(database_url: str) -> Iterator[Books]:
    """Return billing with prices."""
    deployment = Deployment(database_url)
    yield Books(deployment)
    deployment.close()


def call(books: Books, *arguments: str, file: bool = True) -> Result:
    env = {"FORBEAR_DATABASE_URL": books.deployment.url, "FORBEAR_INVOICE_FILE": str(EXAMPLE) if file else ""}
    return CliRunner(env=env).invoke(invoice, list(arguments))


def numbers(books: Books) -> list[str]:
    return [row["number"] for row in books.deployment.rows("SELECT number FROM invoices ORDER BY number")]


def test_run_gives_each_payer_by_invoice_theirs_once(books: Books) -> None:
    with_tenants = [books.organisation(f"tenant-{number}") for number in range(3)]
    books.organisation()  # with nothing to pay for
    books.organisation("card", pay_by_invoice=False)
    database = books.deployment.database
    assert waiting(database, books.month) == 4
    done: list[int] = []
    report = run(database, CREDITOR, books.month, by="test", tell=lambda told: done.append(told.done))
    assert done == [4]
    assert (report.issued, report.nothing, report.failed, report.total) == (3, 1, 0, Decimal("158.91"))
    assert books.deployment.scalar("SELECT count(*) FROM invoice_papers") == 0  # nobody has asked for one yet
    again = run(database, CREDITOR, books.month, by="test")
    assert (again.issued, again.nothing) == (0, 1)
    rows = books.deployment.rows("SELECT customer_id, outcome FROM invoice_runs WHERE outcome = 'issued'")
    assert {row["customer_id"] for row in rows} == set(with_tenants)


def test_who_has_no_address_is_issued_and_named_in_the_report(books: Books) -> None:
    books.organisation("alpha", postal_code="8001", town="Zürich")
    lacking = books.organisation("beta", postal_code="8001")
    nowhere = books.organisation("gamma", auto_invoices=True)
    books.organisation()  # without an address too, and with nothing to pay for
    automatic = run(books.deployment.database, CREDITOR, books.month, by="test", automatic=True)
    assert (automatic.issued, automatic.warned, automatic.warnings) == (1, 1, [(nowhere, "A")])
    month = f"{books.month:%Y-%m}"
    told = call(books, "run", "--month", month, "--format", "json")
    found = json.loads(told.stdout)
    assert (told.exit_code, found["issued"], found["warned"], found["failed"]) == (0, 2, 1, 0)
    assert found["withoutAddress"] == [{"customerId": str(lacking), "name": "A"}]
    with books.deployment.begin() as conn:
        issued = invoices.of_month(conn, lacking, books.month)
        assert issued is not None
        Billing(CREDITOR).credit(conn, issued.id, by="test")
    again = call(books, "issue", str(lacking), "--month", month)
    assert (again.exit_code, "warning: it names no place of its recipient" in again.stdout) == (0, True)
    delta = books.organisation("delta")
    said = call(books, "run", "--month", month).stdout
    assert "1 of those issued lack something" in said
    assert f"  {delta}: it names no place of its recipient" in said
    rows = books.deployment.rows(
        "SELECT customer_id, reason FROM invoice_runs WHERE reason <> '' AND outcome = 'issued'"
    )
    assert {row["customer_id"] for row in rows} == {lacking, nowhere, delta}


def test_order_that_is_cut_short_is_gone_on_with_and_tells_how_far_it_is(books: Books) -> None:
    for number in range(3):
        books.organisation(f"tenant-{number}", auto_invoices=number == 1)
    settings, database = replace(books.deployment.settings, invoice_file=EXAMPLE), books.deployment.database
    with database.begin() as conn:
        asked = [invoice_orders.ask(conn, books.month, by=who) for who in ("ada", "bob")]
        taken = invoice_orders.next_open(conn)
    run(database, CREDITOR, books.month, by="ada", automatic=True)  # so far it came, and died
    with database.begin() as conn:
        midway = invoice_orders.newest(conn)
        again = invoice_orders.next_open(conn)
    assert taken is not None
    assert again is not None
    assert again.id == taken.id == asked[0][0].id == asked[1][0].id
    assert [is_new for _, is_new in asked] == [True, False]
    assert midway is not None
    assert (midway.issued, midway.left, midway.order.by) == (1, 2, "ada")
    assert run_ordered(settings, database) is not None
    with database.begin() as conn:
        done = invoice_orders.newest(conn)
        assert invoice_orders.next_open(conn) is None
    assert done is not None
    assert (done.issued, done.failed, done.left, done.total) == (3, 0, 0, Decimal("158.91"))
    assert books.deployment.scalar("SELECT count(DISTINCT issued_by) FROM invoices WHERE issued_by = 'ada'") == 1


def test_automatic_run_is_for_those_who_want_it(books: Books) -> None:
    books.organisation("alpha")
    wanted = books.organisation("beta", auto_invoices=True)
    report = run(books.deployment.database, CREDITOR, books.month, by="test", automatic=True)
    assert report.issued == 1
    assert books.deployment.scalar("SELECT customer_id FROM invoices") == wanted


def test_controller_issues_for_those_once_the_month_is_over_everywhere(books: Books) -> None:
    settings, database = books.deployment.settings, books.deployment.database
    wanted = books.ago(0)
    settings = replace(settings, invoice_file=EXAMPLE)
    books.organisation("alpha", auto_invoices=True, zone="Pacific/Pago_Pago")
    broken = books.organisation("beta", auto_invoices=True)
    with books.deployment.session() as session:
        session.execute(f"ALTER TABLE invoices ADD CONSTRAINT poison CHECK (customer_id <> '{broken}')")
    report, again = run_by_itself(settings, database, {}), run_by_itself(settings, database, {})
    assert report is not None
    assert again is not None
    assert (report.issued, report.failed, again.issued) == (1, 1, 0)
    assert report.month == first_of(last_month_over(wanted))
    assert books.deployment.alerts() == ["account_failed"]


def test_what_failed_in_earlier_months_is_tried_again_and_months_that_nobody_ran_are_told(books: Books) -> None:
    settings, database = replace(books.deployment.settings, invoice_file=EXAMPLE), books.deployment.database
    last = first_of(last_month_over(books.ago(0)))
    months = [last]
    while len(months) < 4:
        months.insert(0, first_of(months[0] - timedelta(days=1)))
    broken = books.organisation("alpha", auto_invoices=True)
    with books.deployment.session() as session:
        session.execute(f"ALTER TABLE invoices ADD CONSTRAINT poison CHECK (customer_id <> '{broken}')")
    assert run(database, CREDITOR, months[0], by="test", automatic=True).failed == 1
    with books.deployment.session() as session:
        session.execute("ALTER TABLE invoices DROP CONSTRAINT poison")
    books.organisation("beta", auto_invoices=True)  # who wants it only since: no month of before is theirs
    books.organisation("gamma", auto_invoices=True, days=0)  # yesterday may have been in the month that is over
    run_by_itself(settings, database, {})
    issued = books.deployment.rows("SELECT customer_id, first_on FROM invoices ORDER BY first_on")
    assert [row["first_on"] for row in issued if row["customer_id"] == broken] == [months[0], last]
    assert len(issued) == 3
    told = [row["text"] for row in books.deployment.rows("SELECT text FROM alerts ORDER BY text")]
    assert [f"{month:%Y-%m} for 1 org" in words for month, words in zip(months[1:3], told, strict=True)] == [True] * 2


def test_that_nobody_has_said_who_invoices_are_from_is_told_once_somebody_waits_for_one(
    books: Books, tmp_path: Path
) -> None:
    database, wrong = books.deployment.database, tmp_path / "invoice.yaml"
    wrong.write_text(EXAMPLE.read_text("utf-8").replace("CH58", "CH59"))
    without = replace(books.deployment.settings, invoice_file=None)
    assert run_by_itself(without, database, {}) is None
    assert books.deployment.alerts() == []
    books.organisation("alpha", auto_invoices=True)
    for settings, why in ((without, "FORBEAR_INVOICE_FILE"), (replace(without, invoice_file=wrong), "check digits")):
        with books.deployment.session() as session:
            session.execute("DELETE FROM alerts")
        for _ in range(2):
            assert run_by_itself(settings, database, {}) is None
        assert books.deployment.alerts() == ["account_failed"]
        assert why in str(books.deployment.scalar("SELECT text FROM alerts"))


class Away:
    """A host that cannot be asked."""

    def tenants(self) -> list[Tenant]:
        raise HostUnavailable("local", "no route")


def test_a_host_that_does_not_tell_is_waited_for_and_not_for_ever(books: Books) -> None:
    settings, database = replace(books.deployment.settings, invoice_file=EXAMPLE), books.deployment.database
    books.organisation("alpha", auto_invoices=True)
    now = books.deployment.now()
    over_at = datetime.combine((now.date().replace(day=1) + timedelta(days=32)).replace(day=1), time_of_day(12), UTC)
    for at, issued in (
        (timedelta(minutes=5), 0),
        (timedelta(days=2, minutes=-5), 0),
        (timedelta(days=2, minutes=5), 1),
    ):
        books.deployment.advance((over_at + at - books.deployment.now()).total_seconds() / 3600)
        report = run_by_itself(settings, database, {"local": Away()})
        assert (0 if report is None else report.issued) == issued, at


@pytest.mark.parametrize(
    ("now", "month"),
    [("2030-03-01T11:59:59+00:00", date(2030, 1, 31)), ("2030-03-01T12:00:00+00:00", date(2030, 2, 28))],
)
def test_month_is_over_when_it_is_over_in_the_last_zone(now: str, month: date) -> None:
    assert last_month_over(datetime.fromisoformat(now)) == month


def test_one_that_fails_is_told_and_stops_nobody_else(books: Books) -> None:
    broken = books.organisation("alpha")
    books.organisation("beta")
    with books.deployment.session() as session:
        session.execute(f"ALTER TABLE invoices ADD CONSTRAINT poison CHECK (customer_id <> '{broken}')")
    first = call(books, "run", "--month", f"{books.month:%Y-%m}", "--format", "json")
    assert first.exit_code == 1
    told = json.loads(first.stdout)
    assert (told["issued"], told["failed"], told["total"]) == (1, 1, "52.97")
    assert [each["customerId"] for each in told["faults"]] == [str(broken)]
    with books.deployment.session() as session:
        session.execute("ALTER TABLE invoices DROP CONSTRAINT poison")
    again = call(books, "run", "--month", f"{books.month:%Y-%m}", "--format", "json")
    assert (again.exit_code, json.loads(again.stdout)["issued"]) == (0, 1)
    year = books.deployment.now().year
    assert numbers(books) == [f"F{year}-00001", f"F{year}-00002"]


def begun(books: Books) -> subprocess.Popen[bytes]:
    """Begin a run in a process of its own."""
    settings = {"FORBEAR_DATABASE_URL": books.deployment.url, "FORBEAR_INVOICE_FILE": str(EXAMPLE)}
    command = [sys.executable, "-m", "forbear", "invoice", "run", "--month", f"{books.month:%Y-%m}"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env={**os.environ, **settings}, stdout=quiet, stderr=quiet)


def test_more_than_an_invoice_holds_fails_for_its_organisation_alone(books: Books) -> None:
    with books.deployment.begin() as conn:
        prices.change(conn, {"per_message_price": Decimal("0.00001")}, by="test", valid_from=books.month)
    customers = [books.organisation(name) for name in ("alpha", "beta", "gamma")]
    bad = min(customers)
    name = ("alpha", "beta", "gamma")[customers.index(bad)]
    told = [
        Told("line", name, UsageKind.MESSAGES, books.month.replace(day=day), Decimal(9_999_999_999)) for day in (1, 2)
    ]
    with books.deployment.begin() as conn:
        take(conn, told, source="meter")
    with books.deployment.begin() as conn, pytest.raises(TooLargeToInvoice, match="look at its usage"):
        books.billing.issue(conn, bad, books.month, by="test")
    report = run(books.deployment.database, CREDITOR, books.month, by="test")
    assert (report.issued, report.failed, [customer for customer, _ in report.faults]) == (2, 1, [bad])


def test_run_that_is_killed_anywhere_goes_on_and_each_has_one(books: Books) -> None:
    count = 30
    for number in range(count):
        books.organisation(f"tenant-{number:02d}")
    # Where it is held up and then killed: over its numbers, over the invoices, and at the end of a batch.
    for table in ("invoice_number_counters", "invoices", "invoice_runs"):
        with books.deployment.session() as session, session.transaction(force_rollback=True):
            session.execute(f"LOCK TABLE {table} IN SHARE MODE")
            going = begun(books)
            waits = f"SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass AND NOT granted"
            deadline = time.monotonic() + 60
            while not books.deployment.scalar(waits) and going.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            assert books.deployment.scalar(waits) == 1, f"it did not come to {table}"
            going.kill()
            going.wait()
        assert numbers(books) == []
        assert books.deployment.scalar("SELECT count(*) FROM invoice_lines") == 0
    going = begun(books)
    deadline = time.monotonic() + 60
    while not numbers(books) and going.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    going.kill()  # between batches, or wherever it is by now
    going.wait()
    assert call(books, "run", "--month", f"{books.month:%Y-%m}").exit_code == 0
    year = books.deployment.now().year
    assert numbers(books) == [f"F{year}-{number:05d}" for number in range(1, count + 1)]
    assert books.deployment.scalar("SELECT count(DISTINCT customer_id) FROM invoices") == count
    assert books.deployment.scalar("SELECT count(*) FROM invoice_lines") == count


def test_commands_preview_issue_and_show(books: Books, tmp_path: Path) -> None:
    customer = books.organisation("alpha", postal_code="8001", town="Zürich")
    month = f"{books.month:%Y-%m}"
    shown = call(books, "preview", str(customer), "--month", month, "--format", "json", file=False)
    assert (shown.exit_code, from_document(shown.stdout).total) == (0, Decimal("52.97"))
    days = call(books, "preview", str(customer), "--from", f"{month}-01", "--until", f"{month}-02", file=False)
    assert "2 day" in days.stdout
    assert "FORBEAR_INVOICE_FILE" in str(call(books, "issue", str(customer), "--month", month, file=False).exception)
    made = call(books, "issue", str(customer), "--month", month)
    assert made.exit_code == 0
    number = numbers(books)[0]
    assert "open, 52.97 CHF open; reference RF" in made.stdout
    assert "warning" not in made.stdout
    found = call(books, "show", number, "--format", "json", "--pdf", str(tmp_path / "invoice.pdf"))
    assert (json.loads(found.stdout)["state"], json.loads(found.stdout)["total"]) == ("open", "52.97")
    drawn = (tmp_path / "invoice.pdf").read_bytes()
    assert drawn.startswith(b"%PDF-")
    assert bytes(books.deployment.scalar("SELECT pdf FROM invoice_papers")) == drawn
    for abroad in (call(books, "issue", str(books.organisation("beta", country="DE")), "--month", month),
                   call(books, "show", numbers(books)[1])):  # fmt: skip
        assert "No Swiss VAT, of 49.00" in abroad.stdout
        assert "Not subject to VAT: the service is supplied abroad" in abroad.stdout
    assert "VAT 8.10 % of 49.00" in call(books, "show", number).stdout
    told = [json.loads(call(books, "show", each, "--format", "json").stdout)["noVat"] for each in numbers(books)]
    assert (told[0], told[1].partition(":")[0]) == (None, "Not subject to VAT")
    empty = books.organisation()
    assert call(books, "issue", str(empty), "--month", month).exit_code == 1
    for wrong in ("2030-13", "0001-01", "9999-12", "2030-+1"):
        assert call(books, "preview", str(customer), "--month", wrong).exit_code == 2
    assert call(books, "preview", str(customer), "--from", "0001-01-01", "--until", "9999-12-31").exit_code == 2
    assert "there is no invoice" in str(call(books, "show", "F1999-1").exception)


def test_invoice_file_tells_every_fault_at_its_place(tmp_path: Path) -> None:
    found = read_creditor(EXAMPLE)
    assert (found.iban, found.payment_days, found.number(2030, 7)) == ("CH5800791123000889012", 30, "F2030-00007")
    wrong = tmp_path / "invoice.yaml"
    wrong.write_text(
        EXAMPLE.read_text("utf-8").replace('"8001"', "8001").replace("number_prefix: F", "number_prefix: f-")
    )
    with pytest.raises(OperatorFileWrong, match=r"(?s)a postal code in quotes.*at most six capital letters"):
        read_creditor(wrong)
    wrong.write_text(EXAMPLE.read_text("utf-8").replace("CH58", "CH59"))
    with pytest.raises(OperatorFileWrong, match="check digits"):
        read_creditor(wrong)
    wrong.write_text(EXAMPLE.read_text("utf-8").replace("Europe/Zurich", "Europe/Gletsch"))
    with pytest.raises(OperatorFileWrong, match=r"there is no zone `Europe/Gletsch`"):
        read_creditor(wrong)


def test_zone_of_prices_is_that_of_the_invoice_file(books: Books, tmp_path: Path) -> None:
    wrong, settings = tmp_path / "invoice.yaml", books.deployment.settings
    wrong.write_text(EXAMPLE.read_text("utf-8").replace("Europe/Zurich", "Europe/Gletsch"))
    files = {EXAMPLE: "Europe/Zurich", wrong: "UTC", tmp_path / "gone.yaml": "UTC", None: "UTC"}
    assert {file: price_zone_of(replace(settings, invoice_file=file)) for file in files} == files


def test_without_a_file_nothing_is_issued(books: Books) -> None:
    with pytest.raises(SettingWrong, match="FORBEAR_INVOICE_FILE"):
        creditor_of(books.deployment.settings)
