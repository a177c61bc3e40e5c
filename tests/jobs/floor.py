"""A floor for tests of jobs: the shipped policy, a real database and Redis, a host that can be told to fail.

Workers and controllers run in the test's own process; tests that kill them start real ones (`tests.jobs.processes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text

from engine.load import bundle
from jobs import apply as applying
from jobs.actions.targets import spec_of
from jobs.alerts import AlertSender
from jobs.context import Context, ServerHost
from jobs.controller import Controller
from jobs.hosts.base import ServerSpec
from jobs.mail import MaildirMailer, Mailer
from jobs.presence import Presence
from jobs.queues import connect
from jobs.tick import Report
from storage import clock, intents, policies, servers
from storage.accounts import create_account, create_customer
from storage.settings import SHIPPED_POLICY
from tests.doubles.host import HostDouble
from tests.factories import shipped_policy
from tests.storage.deployment import Deployment


class Silence:
    """Channels on which nobody listens."""

    def has(self, channel: str) -> bool:
        """Say so."""
        return False

    def post(self, channel: str, text: str) -> None:
        """Never called."""


class Floor(Deployment):
    """A deployment whose intents are carried out."""

    def __init__(
        self,
        url: str,
        redis_url: str,
        data_dir: Path,
        *,
        hosts: Mapping[str, ServerHost] | None = None,
        mailer: Mailer | None = None,
    ) -> None:
        super().__init__(url, shipped_policy())
        self.settings = replace(
            self.settings,
            redis_url=redis_url,
            data_dir=data_dir,
            portal_url="https://panel.example",
            tick_seconds=0.05,
            customer_hooks="any",  # doubles listen on this machine
        )
        with self.begin() as conn:
            policies.deploy(conn, self.policy, bundle(SHIPPED_POLICY), {}, "test")
            conn.execute(text("DELETE FROM alerts"))  # that it was deployed
        self.host = HostDouble()
        mails = mailer or MaildirMailer(data_dir / "mail", "Billing <billing@host.example>")
        self.context = Context(
            self.settings,
            self.database,
            connect(redis_url),
            hosts or {"local": self.host},
            mails,
            Presence(self.database, "worker test"),
        )
        self.context.presence.keep()
        self._controllers: list[Controller] = []

    def close(self) -> None:
        """End everything that was begun."""
        for each in self._controllers:
            each.stopping.set()
            each.run()
            each.context.presence.leave()
        self.context.presence.leave()
        super().close()

    # ---- customers ---------------------------------------------------------------------------------------------------

    def known_account(self, name: str = "Ada Lovelace", email: str = "ada@example.com") -> UUID:
        """Make a customer with an account, as an admin does."""
        with self.begin() as conn:
            customer = create_customer(conn, email, name, "Europe/Zurich")
            return create_account(conn, self.policy, customer.id, stripe_customer_id=f"cus_{name}_{email}", plan="game")

    def owe(self, account_id: UUID, hours: float = 0) -> None:
        """Let the account's invoice be unpaid since so many hours, and decide."""
        since = "past_due_since = clock_timestamp() + (SELECT offset_by FROM clock) - make_interval(secs => :ago)"
        with self.begin() as conn:
            late = text(f"UPDATE accounts SET overdue_invoices = 1, {since} WHERE id = :id")
            conn.execute(late, {"id": account_id, "ago": hours * 3600})
        self.record(account_id)

    def machine(self, account_id: UUID, *, runs: bool = True) -> UUID:
        """Make a server that its host knows."""
        at = "running" if runs else "stopped"
        server_id = self.server(account_id, lifecycle=at, observed=at, desired=at)
        self.host.running[str(server_id)] = runs
        self.host.autostart[str(server_id)] = runs
        self.host.files[str(server_id)] = b"world"
        return server_id

    def host_spec(self, server_id: UUID) -> ServerSpec:
        """Return what the host knows of a server."""
        return spec_of(self.seat(server_id))

    def seat(self, server_id: UUID) -> servers.Server:
        """Return a server's row."""
        with self.begin() as conn:
            return servers.get(conn, server_id)

    # ---- work --------------------------------------------------------------------------------------------------------

    def apply(self, intent_id: UUID) -> str:
        """Let a worker apply one intent."""
        return applying.apply(self.context, str(intent_id))

    def apply_named(self, account_id: UUID, name: str) -> str:
        """Let a worker apply the account's newest intent of this name."""
        return self.apply(UUID(str(self.intents_of(account_id, name)[-1]["id"])))

    def carry_out(self, most: int = 200) -> list[str]:
        """Let workers apply everything that is runnable; return what was done, in order."""
        done: list[str] = []
        for _ in range(most):
            with self.begin() as conn:
                found = intents.runnable(conn, clock.now(conn), 50)
            if not found:
                return done
            done += [outbox.intent for outbox in found if self.apply(outbox.intent_id) == "done"]
        raise AssertionError(f"never at rest: {[outbox.intent for outbox in found]}")

    def controller(self, **changes: Any) -> Controller:
        """Make a controller, with a process of its own in the database."""
        context = replace(self.context, presence=Presence(self.database, "controller"), **changes)
        made = Controller(context, AlertSender(self.database, Silence()))
        self._controllers.append(made)
        return made

    def tick(self, controller: Controller) -> Report:
        """Let a controller take its turn, which must be its to take."""
        report = controller.turn()
        assert report is not None
        assert report.failed == []
        return report

    def run(self, controller: Controller, most: int = 40) -> None:
        """Let the controller and the workers work until nothing can proceed."""
        for _ in range(most):
            report = self.tick(controller)
            done = self.carry_out()
            if not (done or report.changed or report.pending):
                return
        raise AssertionError("never at rest")

    def suspend(self, account_id: UUID, controller: Controller) -> None:
        """Let an account that owes climb to its suspension, with every notice on the way."""
        self.owe(account_id)
        self.run(controller)
        for hours in (73, 49):
            self.advance(hours)
            self.run(controller)
        assert self.row(account_id)["billing_status"] == "suspended"

    def suspend_now(self, account_id: UUID) -> None:
        """Let an account climb to its suspension with every notice, while nothing but notices is carried out."""
        self.owe(account_id)
        for hours in (0, 73, 49):
            self.advance(hours)
            self.sweep()
            for row in self.intents_of(account_id):
                if row["kind"] == "notice" and row["status"] == "open":
                    self.apply(row["id"])
        assert self.row(account_id)["billing_status"] == "suspended"

    # ---- looking -----------------------------------------------------------------------------------------------------

    def mails(self) -> list[EmailMessage]:
        """Return the letters that left, in the order of their dates; those of one second as they left."""
        folder = self.settings.data_dir / "mail" / "new"
        found = list(folder.glob("*")) if folder.is_dir() else []
        found.sort(key=lambda letter: (int(letter.name.partition(".")[0]), letter.stat().st_mtime_ns))
        return [message_from_bytes(each.read_bytes(), policy=policy.default) for each in found]

    def letters(self) -> list[str]:
        """Return their texts."""
        return [words_of(mail) for mail in self.mails()]

    def subjects(self) -> list[str]:
        """Return their subjects."""
        return [str(mail["Subject"]) for mail in self.mails()]

    def statuses(self, account_id: UUID) -> list[tuple[str, str]]:
        """Return (intent, status) of everything asked for, oldest first."""
        return [(row["intent"], row["status"]) for row in self.intents_of(account_id)]


def words_of(mail: EmailMessage, form: Literal["plain", "html"] = "plain") -> str:
    """Return what a mail says, in one of its forms."""
    body = mail.get_body((form,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")
