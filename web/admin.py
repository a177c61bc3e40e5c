"""For administrators: every route that needs the admin token, except announcements."""

from __future__ import annotations

from litestar import Router

from web import admin_accounts, admin_actions, admin_operations, admin_review, clock
from web.auth import admins_only

router = Router(
    "/api/admin",
    route_handlers=[
        *admin_accounts.HANDLERS,
        *admin_actions.HANDLERS,
        *admin_operations.HANDLERS,
        *admin_review.HANDLERS,
        *clock.HANDLERS,
    ],
    guards=[admins_only],
    tags=["admin"],
)
