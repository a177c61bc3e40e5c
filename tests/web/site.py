"""The application behind a real HTTP server on a real database, and the people who talk to it."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import uvicorn
from sqlalchemy import text

from jobs.certificates import certificates
from jobs.hosts.base import ServerSpec
from jobs.hosts.local.host import LocalHost, default_commands, stop_everything
from storage import accounts, policies, servers
from storage.database import Database
from storage.invoicing import metering
from storage.settings import SHIPPED_POLICY, Settings
from web.app import create_app
from web.auth import FailureLimit

ADMIN = "admin-token-of-the-tests"
SECRET = "whsec_of_the_tests"


@dataclass
class Tenant:
    """A customer with an account and a server on it."""

    customer_id: str
    token: str
    account_id: str
    server_id: str
    stripe_customer: str
    client: httpx.Client
    name: str
    """The one by which the tenant is billed."""


class Site:
    """A running server, looked at from outside and from below."""

    def __init__(self, database_url: str, redis_url: str, data: Path, **more: Any) -> None:
        self.settings = Settings(
            database_url=database_url,
            redis_url=redis_url,
            data_dir=data,
            admin_token=ADMIN,
            stripe_webhook_secrets=(SECRET,),
            **more,
        )
        self.database = Database(self.settings, pool_size=4)
        self.host = LocalHost(data, default_commands())
        self._numbers = itertools.count(1)
        self._clients: list[httpx.Client] = []

    def start(self) -> None:
        """Put the shipped policy in force and serve."""
        policies.deploy_folder(self.database.engine, SHIPPED_POLICY, {}, by="test")
        self.app = create_app(self.settings)
        self.app.state.services.failures = FailureLimit(per_minute=1_000_000)  # tests fail on purpose, from one address
        config = uvicorn.Config(
            self.app,
            port=0,
            lifespan="on",
            log_config=None,
            access_log=False,
            ws="websockets-sansio",
            timeout_graceful_shutdown=2,
        )
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run, name="site")
        self._thread.start()
        for _ in polling(60):
            if self.server.started or not self._thread.is_alive():
                break
        assert self.server.started
        self.port: int = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin = self.client(ADMIN)
        self.nobody = self.client(None)

    def stop(self) -> None:
        """Stop serving, and whatever servers run."""
        for client in self._clients:
            client.close()
        self.server.should_exit = True
        self._thread.join(60)
        stop_everything(self.settings.data_dir)
        self.database.close()
        assert not self._thread.is_alive()

    def client(self, token: str | None) -> httpx.Client:
        """Return a client with a bearer token, or without."""
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        made = httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False, verify=certificates())
        self._clients.append(made)
        return made

    # ---- who and what there is ---------------------------------------------------------------------------------------

    def tenant(self, *, kind: str = "game", plan: str = "game") -> Tenant:
        """Make a customer with an account and a server that stands ready, stopped."""
        number = next(self._numbers)
        with self.database.begin() as conn:
            policy = policies.in_force(conn)
            made = accounts.create_customer(conn, f"c{number}@example.org", f"Customer {number}")
            account_id = accounts.create_account(conn, policy, made.id, stripe_customer_id=f"cus_{number}", plan=plan)
        server_id = self.add_server(account_id, kind=kind)
        client = self.client(made.token)
        with self.database.begin() as conn:
            metering.created(conn, UUID(server_id))
            (metered,) = metering.listed(conn, customer_id=made.id)
        return Tenant(str(made.id), made.token, str(account_id), server_id, f"cus_{number}", client, metered.name)

    def add_server(self, account_id: UUID | str, *, kind: str = "game") -> str:
        """Make a server as a worker would have: it exists on the host and stands stopped."""
        with self.database.begin() as conn:
            policy = policies.in_force(conn)
            made, _ = servers.create(conn, policy, UUID(str(account_id)), name="overworld", kind=kind, actor="test")
            conn.execute(
                text(
                    "UPDATE servers SET lifecycle = 'stopped', desired = 'stopped', observed = 'stopped' WHERE id = :id"
                ),
                {"id": made},
            )
            conn.execute(text("UPDATE intents SET status = 'done' WHERE server_id = :id"), {"id": made})
        self.host.create(self.spec(str(made), kind))
        return str(made)

    @staticmethod
    def spec(server_id: str, kind: str = "game") -> ServerSpec:
        """Return what the host knows of a tenant's server."""
        return ServerSpec(server_id, "overworld", kind, 0)

    def put_into(self, account_id: str, server_billing_state: str, code: str | None = None, **states: str) -> None:
        """Put an account into a condition, as decisions would have over days."""
        row = {"state": server_billing_state, "code": code, "id": account_id, "states": json.dumps(states)}
        with self.database.begin() as conn:
            conn.execute(
                text(
                    "UPDATE accounts SET server_billing_state = :state, server_billing_code = :code, "
                    "states = states || CAST(:states AS jsonb), "
                    "billing_status = coalesce(CAST(:states AS jsonb) ->> 'billing', billing_status) WHERE id = :id"
                ),
                row,
            )

    # ---- what is left in the state -----------------------------------------------------------------------------------

    def trace(self) -> dict[str, str]:
        """Return a hash of every table's rows and of the customers' files: equal means that nothing has changed."""
        found = {}
        with self.database.begin() as conn:
            # A server shows every few seconds that it lives: that is no request's doing.
            all_but = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'processes'"
            names = conn.execute(text(all_but)).scalars().all()
            for name in names:
                rows = f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM \"{name}\" t"
                found[name] = conn.execute(text(rows)).scalar_one()
        for file in sorted(self.settings.data_dir.rglob("*")):
            if file.is_file() and "/files/" in str(file):
                found[str(file)] = file.read_bytes().hex()[:4000]
        return found

    def scalar(self, query: str, **given: Any) -> Any:
        """Ask the database for one value."""
        with self.database.begin() as conn:
            return conn.execute(text(query), given).scalar_one()


@contextlib.contextmanager
def serving(site: Site) -> Iterator[Site]:
    """Start and stop a site around a test."""
    site.start()
    try:
        yield site
    finally:
        site.stop()


def polling(seconds: float, every_seconds: float = 0.02) -> Iterator[None]:
    """Yield until the time is over: a bounded wait for a condition that the caller checks."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(every_seconds)
