"""For administrators: every route that needs the admin token, except announcements."""

from __future__ import annotations

from litestar import Router

from web import (
    admin_accounts,
    admin_actions,
    admin_billing,
    admin_deletion,
    admin_invoices,
    admin_operations,
    admin_review,
    admin_tenants,
    clock,
    tenant_requests,
)
from web.auth import admins_only

router = Router(
    "/api/admin",
    route_handlers=[
        *admin_accounts.HANDLERS,
        *admin_actions.HANDLERS,
        *admin_deletion.HANDLERS,
        *admin_billing.HANDLERS,
        *admin_invoices.HANDLERS,
        *admin_operations.HANDLERS,
        *admin_review.HANDLERS,
        *admin_tenants.HANDLERS,
        *tenant_requests.ADMIN_HANDLERS,
        *clock.HANDLERS,
    ],
    guards=[admins_only],
    tags=["admin"],
)
