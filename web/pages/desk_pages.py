"""Every page of the desk."""

from litestar.handlers import HTTPRouteHandler

from web.pages import (
    desk,
    desk_account,
    desk_actions,
    desk_billing,
    desk_billing_import,
    desk_billing_invoice,
    desk_billing_methods,
    desk_billing_organisations,
    desk_billing_prices,
    desk_billing_reminders,
    desk_deletion,
    desk_holds,
    desk_notices,
    desk_policy,
    desk_requests,
    desk_review,
    desk_tickets,
)

HANDLERS: tuple[HTTPRouteHandler, ...] = (
    *desk.HANDLERS,
    *desk_account.HANDLERS,
    *desk_actions.HANDLERS,
    *desk_billing.HANDLERS,
    *desk_billing_invoice.HANDLERS,
    *desk_billing_methods.HANDLERS,
    *desk_billing_organisations.HANDLERS,
    *desk_billing_prices.HANDLERS,
    *desk_billing_reminders.HANDLERS,
    *desk_billing_import.HANDLERS,
    *desk_deletion.HANDLERS,
    *desk_holds.HANDLERS,
    *desk_notices.HANDLERS,
    *desk_policy.HANDLERS,
    *desk_requests.HANDLERS,
    *desk_review.HANDLERS,
    *desk_tickets.HANDLERS,
)
