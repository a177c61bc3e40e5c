"""Usage from CSV and addresses: whole or not at all, bounded, once however often it is told."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from engine.invoicing.metered import UsageKind
from jobs.invoices import usage
from jobs.invoices.commands import invoice
from storage.invoicing.errors import UsageRefused
from storage.invoicing.usage import take
from tests.storage.deployment import Deployment
from tests.storage.metered import Books

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
        assert [(each.tenant, each.kind, each.quantity) for each in told] == [
            ("alpha", UsageKind.MESSAGES, Decimal("12.5"))
        ]


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
