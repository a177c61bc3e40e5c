"""`forbear audit`: are the chains whole, and what happened to an account.

Exit status: 0 fine, 1 faults were found, 2 nothing could be looked at.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from uuid import UUID

import click

from storage import audit as chain
from storage import audit_verify, migrate
from storage.accounts import account_view
from storage.alerts import raise_alert
from storage.beside import data_option
from storage.clock import real_now
from storage.commands.terminal import connected, opened

MOST_SHOWN = 1000


@click.group()
def audit() -> None:
    """Verify and read the audit chains."""


@audit.command()
@click.option("--account", type=click.UUID, help="Only this account's chain.")
@data_option
def verify(account: UUID | None) -> None:
    """Is any audit row edited, removed, inserted or reordered? Exit 1 if so.

    \b
    Examples:
      forbear audit verify
      forbear audit verify --account 0b8f…
    """
    with opened() as (_, database), database.begin() as conn:
        migrate.require(conn)
        so_far = audit_verify.Verified()
        found = 0
        for each in audit_verify.breaks(conn, account, so_far):
            found += 1
            if found <= MOST_SHOWN:
                click.echo(str(each))
        if account is not None and so_far.chains == 0:
            raise click.ClickException(f"no account has the id `{account}`")
    chains = (
        f"{so_far.chains} chain{'s' if so_far.chains != 1 else ''}, {so_far.rows} row{'s' if so_far.rows != 1 else ''}"
    )
    if not found:
        click.echo(f"{chains}: every row follows the one before it, up to its head")
        return
    click.echo(f"{chains}: {found} break{'s' if found != 1 else ''}")
    with database.begin() as conn:
        words = f"the audit does not hold at {found} place{'s' if found != 1 else ''}; run `forbear audit verify`"
        raise_alert(conn, "audit_broken", words, key=f"audit_broken:{real_now(conn).date()}:{found}")
    sys.exit(1)


@audit.command()
@click.argument("account", type=click.UUID)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to show it.")
@data_option
def show(account: UUID, form: str) -> None:
    """Show what happened to an account and why, oldest first."""
    with connected() as (_, conn):
        account_view(conn, account)
        for row in chain.read(conn, account):
            click.echo(json.dumps(row, ensure_ascii=False) if form == "json" else _line(row))


def _line(row: dict[str, Any]) -> str:
    """Write one audit row for a terminal: when, what, from where to where, why, who."""
    move = f" {row['from'] or '-'} -> {row['to']}" if row["to"] is not None and row["from"] != row["to"] else ""
    because = f" because {row['because']}" if row["because"] else ""
    place = f" ({row['place']})" if row["place"] else ""
    asked = f" asked {', '.join(row['asked'])}" if row["asked"] else ""
    shown = f"{row['at']}  {row['kind']:<10} {row['action']}{move}{because}{place}{asked} by {row['actor']}"
    return "".join(each if each.isprintable() else "�" for each in shown)
