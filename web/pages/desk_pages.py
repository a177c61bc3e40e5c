"""Every page of the desk."""

from litestar.handlers import HTTPRouteHandler

from web.pages import (
    desk,
    desk_account,
    desk_actions,
    desk_deletion,
    desk_holds,
    desk_notices,
    desk_policy,
    desk_review,
    desk_tickets,
)

HANDLERS: tuple[HTTPRouteHandler, ...] = (
    *desk.HANDLERS,
    *desk_account.HANDLERS,
    *desk_actions.HANDLERS,
    *desk_deletion.HANDLERS,
    *desk_holds.HANDLERS,
    *desk_notices.HANDLERS,
    *desk_policy.HANDLERS,
    *desk_review.HANDLERS,
    *desk_tickets.HANDLERS,
)
