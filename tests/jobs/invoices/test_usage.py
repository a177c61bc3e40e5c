"""Usage from CSV and addresses: whole or not at all, bounded, once however often it is told."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from engine.invoicing.days import month_of
from engine.invoicing.invoice import LineKind
from engine.invoicing.metered import UsageKind
from jobs.invoices import usage
from jobs.invoices.commands import invoice
from storage.invoicing import organisations, prices
from storage.invoicing.errors import UsageRefused
from storage.invoicing.usage import take
from tests.storage.deployment import Deployment
from tests.storage.metered import Books

D = Decimal
HEAD = "tenant,kind,date,quantity\n"


@pytest.fixture
def books(database_url: str) -> Iterator[Books]:
    """Return billing with prices."""
    deployment = Deployment(database_url)
    yield Books(deployment)
    deployment.close()


def test_csv_and_json_tell_the_same() -> None:
    row = {"tenant": "alpha", "kind": "messages", "date": "2030-01-31", "quantity": 12.5}
    for told in (
        usage.read_csv((HEAD + "alpha,messages,2030-01-31,12.5\n\n").encode("utf-8-sig")),
        usage.read_json(json.dumps([row]).encode()),
    ):
        assert [(each.tenant, each.kind, each.quantity) for each in told] == [("alpha", UsageKind.MESSAGES, D("12.5"))]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "line 1: expected the columns"),
        (b"a,b\n", "line 1: expected the columns"),
        (HEAD.encode() + b"alpha,messages,2030-01-31\n", "line 2: expected tenant"),
        (HEAD.encode() + b"alpha,mails,2030-01-31,1\n", "line 2: the kind is one of"),
        (HEAD.encode() + b"alpha,messages,31.1.2030,1\n", "line 2: the date"),
        (HEAD.encode() + b"alpha,messages,2030-02-30,1\n", "line 2: `2030-02-30` is no day"),
        (HEAD.encode() + b"alpha,messages,2030-01-31,-1\n", "line 2: the quantity"),
        (HEAD.encode() + b"alpha,messages,2030-01-31,1e9\n", "line 2: the quantity"),
        (HEAD.encode() + b"alpha,messages,2030-01-31,NaN\n", "line 2: the quantity"),
        (HEAD.encode() + b"a\x1blpha,messages,2030-01-31,1\n", "line 2: the tenant is no name"),
        (HEAD.encode() + b'"alpha,messages\n', "line 2"),
        (HEAD.encode() + b"\xff\n", "byte 26: it is not UTF-8"),
        (HEAD.encode() + b"\x00\n", "a character that no text has"),
        (b"x" * (usage.MOST_BYTES + 1), "larger than"),
        (HEAD.encode() + b"\n".join([b"alpha,messages,2030-01-31,-1"] * 30), "line 21: the quantity"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_its_line(content: bytes, fault: str) -> None:
    with pytest.raises(UsageRefused, match=fault) as refused:
        usage.read_csv(content)
    assert len(refused.value.faults) <= 20


@pytest.mark.parametrize("quantity", ["1e999999999", "1e9999999999999999999", "0e999999999", "1e-999999999", "1e400"])
def test_a_short_number_that_is_long_when_written_out_is_refused_at_once(quantity: str) -> None:
    row = f'[{{"tenant": "alpha", "kind": "messages", "date": "2030-01-31", "quantity": {quantity}}}]'
    with pytest.raises(UsageRefused):
        usage.read_json(row.encode())


@given(st.binary(max_size=300))
def test_no_bytes_are_anything_but_taken_or_refused(content: bytes) -> None:
    for read in (usage.read_csv, usage.read_json):
        for tried in (content, HEAD.encode() + content):
            with contextlib.suppress(UsageRefused):
                assert read(tried) is not None


def test_import_takes_all_or_nothing_and_each_day_once(books: Books) -> None:
    customer = books.organisation("alpha")
    day = books.month.isoformat()
    today = books.deployment.now().astimezone(ZoneInfo("Europe/Zurich")).date()
    yesterday = (today - timedelta(days=1)).isoformat()

    def told(*rows: str) -> tuple[int, int]:
        with books.deployment.begin() as conn:
            taken = take(conn, usage.read_csv((HEAD + "\n".join(rows)).encode()), source="meter")
        return taken.added, taken.repeated

    right = f"alpha,messages,{day},10"
    for wrong, fault in (
        (f"nobody,messages,{day},1", "there is no tenant `nobody`"),
        (f"alpha,messages,{day},3", "is told twice"),
        (f"alpha,messages,{today},1", "is not over yet"),
    ):
        with pytest.raises(UsageRefused, match=f"line 3: .*{fault}"):
            told(right, wrong)
    assert books.deployment.scalar("SELECT count(*) FROM tenant_usage") == 0
    assert (told(right), told(right)) == ((1, 0), (0, 1))
    assert told(f"alpha,messages,{yesterday},1") == (1, 0)
    with pytest.raises(UsageRefused, match="was told as 10 before"):
        told(f"alpha,messages,{day},11")
    with books.deployment.begin() as conn:
        assert books.billing.issue(conn, customer, books.month, by="test") is not None
    with pytest.raises(UsageRefused, match="is invoiced already"):
        told(f"alpha,model_spend,{day},1")


def test_usage_of_a_month_that_was_passed_over_stands_on_the_next_invoice_at_that_months_price(books: Books) -> None:
    customer, deployment = books.organisation("alpha", "beta"), books.deployment
    passed, (billed, last_on) = books.month, following(books.month)
    (running, end_on) = following(billed)
    with deployment.begin() as conn:
        prices.change(conn, {"per_message_price": D("0.50")}, by="test", valid_from=passed - timedelta(days=400))
        gone = "INSERT INTO tenant_billing_lifecycle (server_id, customer_id, account_id, organisation, tenant, event, "
        gone += "at, source) SELECT server_id, customer_id, account_id, organisation, tenant, 'deleted', :at, source "
        gone += "FROM tenant_billing_lifecycle WHERE tenant = 'beta'"
        conn.execute(text(gone), {"at": datetime.combine(passed, time(12), ZoneInfo("Europe/Zurich"))})
        issued = books.billing.issue(conn, customer, billed, by="test")
        assert issued is not None
        prices.change(conn, {"per_message_price": D("0.75"), "vat_rate_chli": D("8.50")}, by="test", valid_from=running)
    rows = [f"alpha,messages,{passed + timedelta(days=day)},10" for day in (2, 4)]
    rows += [f"beta,messages,{passed},4", f"beta,messages,{passed + timedelta(days=1)},1000"]
    told = usage.read_csv((HEAD + "\n".join([*rows, f"alpha,messages,{running},1"])).encode())
    with deployment.begin() as conn:
        taken = take(conn, told, source="meter")
        assert (taken.added, taken.late, take(conn, told, source="meter").repeated) == (5, 4, 5)

    def charged(first: date, last: date) -> list[tuple[str, date, date, D, D, D]]:
        with deployment.begin() as conn:
            found = books.billing.preview(conn, organisations.get(conn, customer), first, last)
        return [
            (each.text, each.first_on, each.last_on, each.quantity, each.amount, each.vat_percent)
            for each in found.lines
            if each.kind is LineKind.USAGE
        ]

    late = f"told late for {passed:%Y-%m}"
    alpha, old, new = passed + timedelta(days=2), D("8.10"), D("8.50")
    assert charged(running, running) == [
        ("Messages of alpha", running, running, D(1), D("0.75"), new),
        (f"Messages of alpha, {late}", alpha, alpha + timedelta(days=2), D(20), D("10.00"), old),
        (f"Messages of beta, {late}", passed, passed, D(4), D("2.00"), old),  # it lived until then
    ]
    assert len(charged(running, end_on)) == 3
    assert charged(running + timedelta(days=1), end_on) == charged(passed, billed - timedelta(days=1)) == []
    with deployment.begin() as conn:
        again = books.billing.preview(conn, organisations.get(conn, customer), billed, last_on)
    assert again.lines == issued.invoice.lines  # whatever came later


@pytest.mark.parametrize(("outcome", "late"), [("nothing", 1), ("failed", 0)])
def test_usage_of_a_month_that_held_nothing_is_late_and_of_one_that_failed_is_not(
    books: Books, outcome: str, late: int
) -> None:
    customer = books.organisation("alpha")
    ran = "INSERT INTO invoice_runs (month, customer_id, outcome, at) VALUES (:month, :customer, :outcome, now())"
    told = usage.read_csv(f"{HEAD}alpha,messages,{books.month},10".encode())
    with books.deployment.begin() as conn:
        conn.execute(text(ran), {"month": books.month, "customer": customer, "outcome": outcome})
        assert take(conn, told, source="meter").late == late
    charged_on = books.deployment.scalar("SELECT charged_on FROM tenant_usage")
    assert charged_on == (following(books.month)[0] if late else None)


def test_usage_of_a_month_whose_invoice_was_taken_back_stands_on_the_one_that_is_issued_anew(books: Books) -> None:
    customer = books.organisation("alpha")
    told = usage.read_csv(f"{HEAD}alpha,messages,{books.month},10".encode())
    with books.deployment.begin() as conn:
        first = books.billing.issue(conn, customer, books.month, by="test")
        assert first is not None
        assert books.billing.issue(conn, customer, following(books.month)[0], by="test") is not None
        books.billing.credit(conn, first.id, by="test")
        assert take(conn, told, source="meter").late == 0


def following(month: date) -> tuple[date, date]:
    """Return the first and the last day of the month after one."""
    first_on = (month + timedelta(days=31)).replace(day=1)
    return month_of(first_on.year, first_on.month)


def test_usage_of_a_month_that_is_being_issued_waits_and_is_refused_rather_than_never_charged(books: Books) -> None:
    customer = books.organisation("alpha")
    told = usage.read_csv(f"{HEAD}alpha,messages,{books.month},10".encode())
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

    def tell() -> str:
        with books.deployment.begin() as conn, pytest.raises(UsageRefused) as refused:
            take(conn, told, source="meter")
        return refused.value.faults[0]

    with ThreadPoolExecutor(1) as pool:
        with books.deployment.begin() as conn:
            assert books.billing.issue(conn, customer, books.month, by="test") is not None
            telling = pool.submit(tell)
            while not (telling.done() or books.deployment.scalar(waits)):
                pass
        assert "is invoiced already" in telling.result(30)


def answering(content: bytes, kind: str = "application/json", status: int = 200) -> httpx.MockTransport:
    return httpx.MockTransport(lambda _: httpx.Response(status, content=content, headers={"content-type": kind}))


def test_address_is_asked_with_its_token_and_within_bounds() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, text=HEAD + "alpha,messages,2030-01-31,1\n", headers={"content-type": "text/csv"})

    told = usage.fetch("https://meter.example/usage", token="secret", transport=httpx.MockTransport(answer))
    assert (len(told), asked[0].headers["authorization"]) == (1, "Bearer secret")
    for transport, fault in (
        (answering(b"[]", status=302), "answered 302"),
        (answering(b"x" * (usage.MOST_BYTES + 1)), "larger than"),
        (answering(b"{}"), "expected a list"),
        (answering(b"["), "not JSON"),
    ):
        with pytest.raises(UsageRefused, match=fault) as refused:
            usage.fetch("https://meter.example/usage", token="secret", transport=transport)
        assert "secret" not in str(refused.value)


def test_command_takes_a_file(books: Books, tmp_path: Path) -> None:
    books.organisation("alpha")
    file = tmp_path / "usage.csv"
    file.write_text(HEAD + f"alpha,messages,{books.month},10\n")
    env = {"FORBEAR_DATABASE_URL": books.deployment.url}
    done = CliRunner(env=env).invoke(invoice, ["usage", str(file), "--name", "meter"])
    assert (done.exit_code, done.stdout) == (0, "1 added, 0 told before\n")
    secret = tmp_path / "token"
    secret.write_text("tök\nen")
    for wrong in (
        ("http://127.0.0.1:1", "--name", "x", "--token-file", str(secret)),
        (str(file), "--name", "\x1b[31m"),
    ):
        refused = CliRunner(env=env).invoke(invoice, ["usage", *wrong])
        assert (refused.exit_code, "expected one line" in refused.output) == (2, True), wrong
