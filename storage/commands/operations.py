"""`forbear operations`: those that failed go on, or what they left behind is cleaned up, as by the admin's routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import click

from storage import operations as rows
from storage import operations_settle, policies
from storage.beside import data_option
from storage.commands.terminal import connected, operator
from storage.gather import World
from storage.operations import Operation

STATES = ("failed", "queued", "in_progress", "succeeded")
Settle = Callable[..., tuple[Operation, Any]]


@click.group()
def operations() -> None:
    """List operations, resume one that failed, or clean up what it left behind."""


@operations.command("list")
@click.option("--state", type=click.Choice(STATES), default="failed", show_default=True, help="Which to list.")
@data_option
def listing(state: str) -> None:
    """List operations, newest first. Exit 1 if any has failed."""
    with connected() as (_, conn):
        found = rows.listed(conn, [state], limit=1000)
    for each in found:
        click.echo(told(each))
    if state == "failed" and any(each.phase != operations_settle.CLEANED for each in found):
        raise SystemExit(1)


@operations.command()
@click.argument("operation", type=click.UUID)
@click.option("--reason", required=True, help="Why; it is written into the audit.")
@click.option("--by", help="Who; the system's user by default.")
@data_option
def resume(operation: UUID, reason: str, by: str | None) -> None:
    """Let a failed operation go on where it stands. Billing may forbid it."""
    _settle(operations_settle.resume, operation, reason, by)


@operations.command()
@click.argument("operation", type=click.UUID)
@click.option("--reason", required=True, help="Why; it is written into the audit.")
@click.option("--by", help="Who; the system's user by default.")
@data_option
def cleanup(operation: UUID, reason: str, by: str | None) -> None:
    """Take away what a failed order made: that alone, and never a server that has run."""
    _settle(operations_settle.clean_up, operation, reason, by)


def told(each: Operation) -> str:
    """Write one operation for a terminal: when, what, where it stands, why, what it left."""
    why = f": {each.reason}" if each.reason else ""
    left = f"; left at its host: {each.left_behind}" if each.left_behind else ""
    server = f" of server {each.server_id}" if each.server_id else ""
    line = f"{each.created_at:%Y-%m-%d %H:%M}  {each.id}  {each.kind}{server} {each.state} in {each.phase}{why}{left}"
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in line)


def _settle(how: Settle, operation: UUID, reason: str, by: str | None) -> None:
    with connected() as (settings, conn):
        policy, world = policies.in_force(conn), World.of(settings)
        found, _ = how(conn, policy, operation, actor=operator(by), reason=reason, world=world)
    click.echo(told(found))  # the controller wakes a worker at its next tick
