"""`forbear admin`: who may sign in at the desk. The first admin comes to be here; nobody registers as one."""

from __future__ import annotations

import click

from storage import audit, letters, logins
from storage.accounts import token_hash
from storage.audit import AuditNote
from storage.beside import data_option
from storage.commands.terminal import connected, operator
from storage.errors import AlreadyTaken


@click.group()
def admin() -> None:
    """Say who may sign in at the desk."""


@admin.command()
@click.argument("mail")
@click.option("--name", required=True, help="How the desk greets them.")
@click.option("--mail-it", "mailed", is_flag=True, help="Mail the link instead of printing it.")
@click.option("--by", help="Who adds them; the system's user by default.")
@data_option
def add(mail: str, name: str, *, mailed: bool, by: str | None) -> None:
    """Let MAIL sign in at the desk, by a link to choose a password that is good for an hour.

    For somebody who is an admin already, it makes a new link.

    \b
    Examples:
      forbear admin add ada@example.org --name "Ada Lovelace"
      forbear admin add ada@example.org --name "Ada Lovelace" --mail-it
    """
    mail, name = mail.strip(), " ".join(name.split())
    if "@" not in mail.strip("@") or not mail.isprintable() or " " in mail or len(mail) > 254:
        raise click.UsageError(f"`{mail[:60]}` is no mail address; write it as ada@example.org")
    if not name or not name.isprintable() or len(name) > 100:
        raise click.UsageError("the name is empty, too long or holds what cannot be shown; give at most 100 characters")
    with connected() as (settings, conn):
        login = logins.by_email(conn, mail)
        if login is not None and login.role != "admin":
            raise AlreadyTaken("address", mail)
        if login is None:
            login = logins.create(conn, mail, name, role="admin")
        token = logins.issue_token(conn, login.id, "reset")
        link = f"{settings.portal_url}/password/new?token={token}"
        audit.append(conn, None, [AuditNote("admin", "add_admin", operator(by), facts={"email": login.email})])
        if mailed:
            letters.write(
                conn,
                f"admin:{login.id}:{token_hash(token).hex()[:16]}",
                to_name=login.name,
                to_email=login.email,
                subject="Your place at the desk",
                body=f"Hello {login.name},\n\nchoose a password, and you can sign in at the desk:\n\n{link}\n\n"
                "The link is good for an hour, once.\n",
            )
    told = f"a link was mailed to {login.email}" if mailed else link
    click.echo(
        f"{login.email} may sign in at {settings.portal_url}/sign-in; within an hour, choose a password:\n{told}"
    )
