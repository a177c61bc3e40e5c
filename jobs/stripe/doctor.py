"""What the doctor says of Stripe: whether webhooks arrive, the list is read, and the endpoint at Stripe is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection

from jobs.finding import Finding, span
from jobs.stripe.client import PAGE, Asker, StandingUnknown, client_of
from storage.settings import Settings
from storage.stripe import event_list
from storage.stripe.event import API_VERSION, READERS
from storage.stripe.event_list import Arrivals, Cursor

PATH = "/api/billing/webhook"
QUIET_SECONDS = 3 * 86_400.0  # without any event: a host with customers hears of renewals every day
BEHIND_SECONDS = 120.0  # of a list that is read every few seconds
BEHIND_OF_GAPS_SECONDS = 2 * 3_600.0  # of one that is read each hour
MOST_NAMED = 5


def examine_stripe(settings: Settings, conn: Connection) -> Iterator[Finding]:
    """Yield findings on how Stripe's events come in. With a key Stripe is asked about its endpoint."""
    cursor, arrivals = event_list.cursor(conn), event_list.arrivals(conn)
    if settings.polls and not settings.stripe_api_key:
        words = f"FORBEAR_STRIPE_MODE is `{settings.stripe_mode}`, and no key is set here"
        yield Finding("Stripe's list of events", "fault", words, "set STRIPE_API_KEY; without it no event is read")
    if settings.stripe_mode != "poll":
        yield _webhook(settings, arrivals)
        yield _version(arrivals)
    if settings.stripe_api_key:
        yield _list(settings, cursor)
        if settings.stripe_mode != "poll":
            yield from _endpoint(settings)
    if settings.stripe_mode != "poll" and arrivals.missed:
        words = f"{arrivals.missed} of the last 7 days came by no webhook and were found in Stripe's list"
        advice = "the endpoint's page at Stripe shows which deliveries failed, and why; nothing is lost meanwhile"
        yield Finding("missed webhooks", "warning", words, advice)


def _webhook(settings: Settings, arrivals: Arrivals) -> Finding:
    if not settings.stripe_webhook_secrets:
        advice = "set STRIPE_WEBHOOK_SECRET to the signing secret of the endpoint; this sees its own environment alone"
        return Finding("webhook", "fault", "no secret is set here; where it serves so, every event is refused", advice)
    if arrivals.webhook_seconds is None:
        advice = (
            f"point Stripe at POST {PATH}; `stripe trigger invoice.payment_failed` sends one. Without a public "
            "address: FORBEAR_STRIPE_MODE=poll"
        )
        return Finding("webhook", "warning", "no event has arrived within 31 days", advice)
    words = f"the last event arrived {span(arrivals.webhook_seconds)} ago"
    if arrivals.webhook_seconds >= QUIET_SECONDS:
        advice = "does the endpoint's page at Stripe show failures? Stripe gives up an endpoint after days of them"
        return Finding("webhook", "warning", words, advice)
    return Finding("webhook", "ok", words)


def _version(arrivals: Arrivals) -> Finding:
    if arrivals.version in (None, API_VERSION):
        return Finding("version of events", "ok", f"read as {API_VERSION}")
    words = f"events are written as {arrivals.version}, and {API_VERSION} is the one read last; both are read"
    return Finding("version of events", "warning", words, _new_endpoint())


def _list(settings: Settings, cursor: Cursor) -> Finding:
    subject = "Stripe's list of events"
    if cursor.read_at is None:
        return Finding(subject, "warning", "it was never read to its end", "is the controller at work with the key?")
    ago = (cursor.now - (cursor.read_at if settings.polls else cursor.reconciled_at or cursor.read_at)).total_seconds()
    words = f"read {span(ago)} ago"
    if ago > (BEHIND_SECONDS if settings.polls else BEHIND_OF_GAPS_SECONDS):
        advice = "the controller's log says what keeps it; `forbear stripe reconcile` reads it now"
        return Finding(subject, "fault" if settings.polls else "warning", words, advice)
    return Finding(subject, "ok", words)


# ---- the endpoint at Stripe ------------------------------------------------------------------------------------------


def _endpoint(settings: Settings) -> Iterator[Finding]:
    try:
        found, _ = Asker(client_of(settings)).page("/v1/webhook_endpoints", limit=PAGE)
    except StandingUnknown as error:
        advice = "may the key read webhook endpoints, and can Stripe be reached? Events do not depend on it"
        yield Finding("endpoint at Stripe", "warning", error.reason, advice)
        return
    ours = [each for each in found if urlsplit(str(each.get("url"))).path == PATH]
    own = [each for each in ours if str(each.get("url")) == settings.public_url + PATH]
    if not ours:
        words = "no endpoint of this Stripe account leads here"
        yield Finding("endpoint at Stripe", "warning", words, _new_endpoint(settings.public_url))
    for each in own or ours:
        yield _judged(each)


def _judged(endpoint: Mapping[str, Any]) -> Finding:
    """Say whether one endpoint sends what is read here, in the version that is read here."""
    subject, url = "endpoint at Stripe", str(endpoint.get("url"))[:200]
    if endpoint.get("status") != "enabled":
        return Finding(subject, "fault", f"`{url}` is switched off at Stripe", "enable it on its page at Stripe")
    enabled = endpoint.get("enabled_events")
    types = set(map(str, enabled)) if isinstance(enabled, list) else set()
    missing = sorted(READERS.keys() - types) if "*" not in types else []
    if missing:
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        words = f"`{url}` does not send {', '.join(missing[:MOST_NAMED])}{more}"
        return Finding(subject, "warning", words, "add these types on its page at Stripe")
    version = endpoint.get("api_version")
    if version is not None and version != API_VERSION:
        words = f"`{url}` sends {version}, and {API_VERSION} is the one read last; both are read"
        return Finding(subject, "warning", words, _new_endpoint())
    kind = version or "the account's own version"
    return Finding(subject, "ok", f"`{url}` sends {kind}, and every type that is read")


def _new_endpoint(public_url: str = "") -> str:
    return (
        f"make an endpoint with version {API_VERSION} that leads to {public_url}{PATH}, and then its secret known here"
    )
