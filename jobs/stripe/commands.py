"""`forbear stripe reconcile`: catch up with Stripe now. Exit status: 0 done, 1 a person has to look, 2 not possible."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from storage import migrate, policies
from storage.beside import data_option, settings_beside
from storage.database import Database
from storage.errors import SettingWrong

if TYPE_CHECKING:
    from jobs.stripe.reconcile import Reconciled

STEPS = 1_000


@click.group()
def stripe() -> None:
    """Catch up with Stripe where webhooks did not come."""


@stripe.command()
@click.option("--everybody", is_flag=True, help="Ask about every account, and not only where events cannot tell.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to show it.")
@data_option
def reconcile(everybody: bool, form: str) -> int:
    """Read Stripe's events since the last reading, at most 30 days, then ask about accounts that they cannot tell of.

    Takes what it finds as a webhook would have brought it: what is known already changes nothing. The controller does
    the same each hour. Needs STRIPE_API_KEY. Ends with 1 when something is left for a person, with 2 when Stripe gives
    no answer; then the next run begins where this one did.

    \b
    Examples:
      forbear stripe reconcile                    after webhooks were away
      forbear stripe reconcile --everybody        compare every account with Stripe's own invoices and subscriptions
      forbear stripe reconcile --format json      for a program
    """
    from jobs.stripe.reconcile import Reconciliation

    settings = settings_beside()
    if not settings.stripe_api_key:
        raise SettingWrong("STRIPE_API_KEY", "is not set; without it Stripe cannot be asked for anything")
    database = Database(settings, pool_size=2)
    try:
        with database.begin() as conn:
            migrate.require(conn)
            policy = policies.in_force(conn)
        run = Reconciliation(settings, database, policy)
        with click.progressbar(length=STEPS, label="events", file=sys.stderr) as bar:
            run.events(lambda share: bar.update(round(share * STEPS) - bar.pos))
        with click.progressbar(length=run.to_ask(everybody=everybody), label="accounts", file=sys.stderr) as bar:
            run.accounts(bar.update)
    finally:
        database.close()
    found = run.found
    click.echo(json.dumps(_document(found), indent=2) if form == "json" else _text(found))
    return 1 if found.needs_a_person else 0


def _document(found: Reconciled) -> dict[str, object]:
    reading = found.reading
    return {
        "events": {
            "seen": reading.seen,
            "new": dict(sorted(reading.new.items())),
            "failed": reading.failed,
            "readTo": reading.top.isoformat() if reading.top else None,
        },
        "accounts": {
            "asked": found.asked,
            "changed": sorted(map(str, found.changed)),
            "unknown": {str(account): reason for account, reason in found.unknown.items()},
        },
    }


def _text(found: Reconciled) -> str:
    reading = found.reading
    new = ", ".join(f"{count} {status}" for status, count in sorted(reading.new.items())) or "nothing new"
    lines = [f"events    {reading.seen} read: {new}"]
    if reading.failed:
        lines.append(f"          {reading.failed} could not be taken and are read again; an alert says why")
    lines.append(f"accounts  {found.asked} asked about, {len(found.changed)} otherwise than events had told")
    lines += [f"          {account}: {reason}" for account, reason in found.unknown.items()]
    if reading.new["quarantined"]:
        lines.append("          GET /api/admin/stripe-events lists what is quarantined")
    return "\n".join(lines)
