"""What a customer sees of their accounts."""

from __future__ import annotations

from typing import Any

from litestar import Router, get
from sqlalchemy import select

from storage import policies
from storage.tables import accounts
from web.auth import Caller, signed_in
from web.problems import Problem
from web.services import HttpRequest, TheServices
from web.told import Teller


@get("/api/account", sync_to_thread=True)
def list_accounts(request: HttpRequest, services: TheServices) -> list[dict[str, Any]]:
    """List the caller's accounts: where each stands, in words, and what to do next."""
    caller: Caller = request.state.caller
    if caller.customer_id is None:
        raise Problem(403, "CUSTOMERS_ONLY", "An administrator has no accounts; see `/api/admin/accounts/{accountId}`.")
    mine = select(accounts).where(accounts.c.customer_id == caller.customer_id)
    with services.database.begin() as conn:
        teller = Teller(conn, services.settings, policies.in_force(conn))
        rows = conn.execute(mine.order_by(accounts.c.created_at, accounts.c.id)).mappings().all()
        return [teller.account(row) for row in rows]


router = Router("/", route_handlers=[list_accounts], guards=[signed_in], tags=["account"])
