"""`forbear db`: bring the database to the newest tables, or say how far it is."""

from __future__ import annotations

import os
import sys

import click

from storage import migrate
from storage.beside import data_option
from storage.commands.terminal import opened
from storage.settings import Settings


@click.group()
def db() -> None:
    """Bring the database to the newest tables."""


@db.command()
def upgrade() -> None:
    """Migrate the database. One that is up to date is left alone."""
    settings = Settings.from_env(os.environ)
    done = migrate.upgrade(settings.database_url)
    click.echo(f"migrated to {migrate.HEAD}" if done else f"up to date at {migrate.HEAD}")


db.add_command(upgrade, "migrate")


@db.command()
@data_option
def status() -> None:
    """Say at which migration the database is. Exit 1 if it needs another one."""
    with opened() as (_, database), database.begin() as conn:
        found = migrate.current(conn)
    click.echo(f"at {found or 'none'}, this version needs {migrate.HEAD}")
    sys.exit(0 if found == migrate.HEAD else 1)
