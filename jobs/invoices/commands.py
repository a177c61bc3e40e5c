"""`forbear invoice`: what a month costs an organisation, and its invoices, one or all of them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import click
from rich.console import Console
from rich.progress import Progress

from engine.invoicing.days import MOST_DAYS, month_of
from engine.invoicing.document import to_document
from engine.invoicing.invoice import Invoice
from jobs.invoices import usage as usage_of
from jobs.invoices.creditor import creditor_of, previewer_of
from jobs.invoices.labels import untaxed
from jobs.invoices.papers import paper_of
from jobs.invoices.run import NO_PLACE, Report, waiting
from jobs.invoices.run import run as issue_all
from storage import clock, migrate
from storage.beside import data_option
from storage.commands.terminal import opened
from storage.database import Database
from storage.invoicing import invoices, organisations
from storage.invoicing.invoices import Issued
from storage.invoicing.invoices_issue import Billing
from storage.invoicing.usage import take
from storage.settings import Settings

YEARS: Final = (2000, 2200)
NAME_CHARACTERS: Final = 40
MONTH: Final = re.compile(r"(2[01][0-9]{2})-(0[1-9]|1[0-2])")

format_option = click.option(
    "--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True, help="For whom."
)
month_option = click.option("--month", metavar="YYYY-MM", help="Which month; the last one that is over, by default.")
by_option = click.option("--by", help="Who; the system's user by default.")


@click.group()
def invoice() -> None:
    """Preview, issue and show invoices, and take in the usage that they charge."""


@invoice.command()
@click.argument("customer", type=click.UUID)
@month_option
@click.option("--from", "first_on", type=click.DateTime(("%Y-%m-%d",)), help="Instead of a month: its first day.")
@click.option("--until", "last_on", type=click.DateTime(("%Y-%m-%d",)), help="And the last one.")
@format_option
@data_option
def preview(customer: UUID, month: str | None, first_on: Any, last_on: Any, form: str) -> None:
    """Compute what a customer's month costs, and write nothing down."""
    if (first_on is None) != (last_on is None):
        raise click.UsageError("`--from` and `--until` go together")
    with _opened() as (settings, database), database.begin() as conn:
        period = _month(month, database) if first_on is None else (first_on.date(), last_on.date())
        if period[1] < period[0]:
            raise click.UsageError("`--until` lies before `--from`")
        if not YEARS[0] <= period[0].year <= period[1].year <= YEARS[1] or (period[1] - period[0]).days >= MOST_DAYS:
            raise click.UsageError("`--from` and `--until` are days that can be meant, at most ten years apart")
        billing = Billing(previewer_of(settings))
        found = billing.preview(conn, organisations.get(conn, customer), *period)
    click.echo(to_document(found) if form == "json" else "\n".join(_told(found)))


@invoice.command()
@click.argument("customer", type=click.UUID)
@month_option
@by_option
@format_option
@data_option
def issue(customer: UUID, month: str | None, by: str | None, form: str) -> None:
    """Issue a customer's invoice of a month that is over. Exit 1 if there is nothing to pay for."""
    with _opened() as (settings, database):
        first_on, _ = _month(month, database)
        billing, who = Billing(creditor_of(settings)), _who(by)
        made = database.transact("the invoice", lambda conn: billing.issue(conn, customer, first_on, by=who))
    if made is None:
        click.echo(f"{first_on:%Y-%m} holds nothing to pay for; no number was used")
        raise SystemExit(1)
    _show(made, form)


@invoice.command()
@month_option
@click.option("--automatic", is_flag=True, help="Only for organisations whose invoices are issued by themselves.")
@by_option
@format_option
@data_option
def run(month: str | None, automatic: bool, by: str | None, form: str) -> None:
    """Issue the month's invoice for everybody who pays by invoice. Repeat it at will. Exit 1 if any has failed."""
    with _opened() as (settings, database):
        first_on, _ = _month(month, database)
        creditor = creditor_of(settings)
        count = waiting(database, first_on, automatic=automatic)
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task(f"{first_on:%Y-%m}", total=count)

            def tell(report: Report) -> None:
                bar.update(task, completed=report.done)

            report = issue_all(database, creditor, first_on, by=_who(by), automatic=automatic, tell=tell)
    counts = {"issued": report.issued, "nothing": report.nothing, "failed": report.failed, "total": str(report.total)}
    lacking = [{"customerId": str(customer), "name": name} for customer, name in report.warnings]
    if form == "json":
        faults = [{"customerId": str(customer), "reason": reason} for customer, reason in report.faults]
        more = {"warned": report.warned, "withoutAddress": lacking, "faults": faults}
        click.echo(json.dumps({"month": f"{first_on:%Y-%m}", **counts, **more}))
    else:
        click.echo(f"{first_on:%Y-%m}: " + ", ".join(f"{name} {value}" for name, value in counts.items()))
        for customer, reason in report.faults:
            click.echo(f"  {customer}: {reason}")
        if report.warned:
            click.echo(f"{report.warned} of those issued lack something: credit and issue anew once it is known")
        for customer, _ in report.warnings:
            click.echo(f"  {customer}: {NO_PLACE}")
    if report.failed:
        raise SystemExit(1)


@invoice.command()
@click.argument("number")
@click.option("--pdf", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write its PDF here.")
@format_option
@data_option
def show(number: str, file: Path | None, form: str) -> None:
    """Show an invoice or credit note as it was issued, and what is open of it."""
    with _opened() as (settings, database):
        with database.begin() as conn:
            found = invoices.get(conn, number)
        pdf = b"" if file is None else paper_of(database, settings, found.id, found.invoice)
    if file is not None:
        file.write_bytes(pdf)
    _show(found, form)


@invoice.command()
@click.argument("source")
@click.option("--name", required=True, help="What the source is called; a source tells each day of a tenant once.")
@click.option("--token-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Of an address.")
@data_option
def usage(source: str, name: str, token_file: Path | None) -> None:
    """Take usage in from a CSV file, or an address that answers with CSV or JSON: whole, or nothing of it."""
    if not (1 <= len(name) <= NAME_CHARACTERS and name.isprintable()):
        raise click.BadParameter(f"expected one line of at most {NAME_CHARACTERS} characters", param_hint="--name")
    if source.startswith(("https://", "http://")):
        told = usage_of.fetch(source, token=_token(token_file) if token_file else "")
    else:
        with Path(source).open("rb") as stream:
            told = usage_of.read_csv(stream.read(usage_of.MOST_BYTES + 1))
    with _opened() as (_, database):
        taken = database.transact("usage", lambda conn: take(conn, told, source=name))
    late = f", {taken.late} of them of months passed over: they stand on the next invoice" if taken.late else ""
    click.echo(f"{taken.added} added{late}, {taken.repeated} told before")


def _token(path: Path) -> str:
    words = path.read_bytes().strip()
    if not (words.isascii() and words.decode("ascii").isprintable()):
        raise click.BadParameter("expected one line of plain characters", param_hint="--token-file")
    return words.decode("ascii")


@contextmanager
def _opened() -> Iterator[tuple[Settings, Database]]:
    with opened(pool_size=2) as (settings, database):
        with database.begin() as conn:
            migrate.require(conn)
        yield settings, database


def _month(words: str | None, database: Database) -> tuple[date, date]:
    """Read a month; without one, the last one that is over by the clock that decisions use."""
    if words is None:
        with database.begin() as conn:
            before = clock.now(conn).date().replace(day=1) - timedelta(days=1)
        return month_of(before.year, before.month)
    found = MONTH.fullmatch(words)
    if found is None:
        raise click.BadParameter(f"`{words}` is no month; write one such as `2030-01`", param_hint="--month")
    return month_of(int(found[1]), int(found[2]))


def _who(by: str | None) -> str:
    return by or os.environ.get("USER") or "root"


def _show(found: Issued, form: str) -> None:
    if form == "json":
        more: dict[str, Any] = {"state": found.state, "paid": str(found.paid), "open": str(found.open)}
        more["withoutAddress"] = not found.invoice.debtor.has_place
        without = untaxed(found.invoice)
        more["noVat"] = None if without is None else without.reason
        click.echo(json.dumps({**json.loads(found.document), **more}, ensure_ascii=False, sort_keys=True))
        return
    state = f"{found.state}, {found.open} {found.currency} open" if found.kind == "invoice" else "credit note"
    lines = [*_told(found.invoice), f"{state}; reference {found.reference or 'none'}"]
    if not found.invoice.debtor.has_place:
        lines.append(f"warning: {NO_PLACE}")
    click.echo("\n".join(lines))


def _told(found: Invoice) -> Iterator[str]:
    head = f"{found.number or 'preview'}  {found.organisation}  {found.first_on} to {found.last_on}"
    yield head + (f"  due {found.due_on}" if found.due_on else "")
    for line in found.lines:
        yield f"  {line.text:<40} {line.quantity:>10f} {line.unit:<8} x {line.unit_price:>12f} {line.amount:>12f}"
    without = untaxed(found)
    for vat in found.vat_lines:
        called = f"VAT {vat.percent} % of {vat.net}" if without is None else f"{without.name}, of {vat.net}"
        yield f"  {called:<75} {vat.vat:>11f}"
    yield f"  {'total':<75} {found.total:>11f} {found.currency}"
    if without is not None:
        yield f"  {without.reason}"
