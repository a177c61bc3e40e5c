"""Writes pages: one environment that escapes everything, one frame around every page, headers that keep it safe."""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response

from engine.calendar import zone_of
from engine.languages import written_instant
from web.pages.visitor import kept
from web.sessions import PROOF_FIELD

if TYPE_CHECKING:
    from web.pages.visitor import Visitor
    from web.services import HttpRequest, Services

HERE = Path(__file__).resolve().parent
STATIC = HERE / "static"

# The path of a page of ours. Browsers take a backslash for a slash and leave out tabs and line breaks wherever they
# stand, so that `/\t/evil.example` is another site.
OURS = re.compile(r"/(?!/)[!-\[\]-~]*")

# Nothing is loaded from elsewhere, nothing inline runs, nobody frames us, forms go to us or to whoever takes payment.
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self' https://checkout.stripe.com https://billing.stripe.com; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}


@functools.cache
def headers_at(stripe_api_base: str) -> dict[str, str]:
    """Return the headers of a page whose forms may lead to Stripe, or to the double that stands in for it."""
    if not stripe_api_base:
        return HEADERS
    policy = HEADERS["Content-Security-Policy"]
    parts = urlsplit(stripe_api_base)
    ours = policy.replace("form-action 'self'", f"form-action 'self' {parts.scheme}://{parts.netloc}")
    return {**HEADERS, "Content-Security-Policy": ours}


def page(request: HttpRequest, template: str, *, status: int = 200, **given: Any) -> Response[str]:
    """Return a page. Templates find the visitor, the proof for forms, and `instant` to write dates in their zone."""
    visitor: Visitor = request.state.visitor
    services: Services = request.app.state.services
    zone = given.get("zone") or "UTC"
    text = (
        environment()
        .get_template(template)
        .render(
            visitor=visitor,
            proof=visitor.proof,
            proof_field=PROOF_FIELD,
            path=request.url.path,
            support_email=services.settings.support_email,
            instant=lambda at: instant(at, zone),
            when=lambda at: When(at, zone),
            zone_words=zone_words(zone) if visitor.login and "zone" in given else "",
            **given,
        )
    )
    cookies = [kept(services, visitor.cookie)] if visitor.is_new else []
    headers = headers_at(services.settings.stripe_api_base)
    return Response(text, status_code=status, media_type="text/html", headers=headers, cookies=cookies)


def showing_frames(shown: Response[str]) -> Response[str]:
    """Let a page show other pages of ours in it; no other page may."""
    policy = shown.headers["Content-Security-Policy"]
    shown.headers["Content-Security-Policy"] = f"{policy}; frame-src 'self'"
    return shown


def go_to(path: str, *, cookie: str | None = None, services: Services | None = None) -> Response[None]:
    """Send the browser on to a page of ours, by GET; `cookie` begins another session."""
    if OURS.fullmatch(path) is None:
        path = "/"
    cookies = [kept(services, cookie)] if cookie is not None and services is not None else []
    return Response(None, status_code=303, headers={**HEADERS, "Location": path}, cookies=cookies)


def leave_to(url: str) -> Response[None]:
    """Send the browser on to where Stripe said that people pay."""
    return Response(None, status_code=303, headers={**HEADERS, "Location": url})


@functools.cache
def environment() -> Environment:
    """Make the one environment. A template that names what it was not given fails rather than shows nothing."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["static"] = static
    return made


@functools.cache
def static(name: str) -> str:
    """Return the address of a file; it changes with its content, so that browsers may keep it for ever."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?{digest}"


@dataclass(frozen=True, slots=True)
class When:
    """An instant written shortly, for lists; the page says below in which zone. None: a dash."""

    at: datetime | None
    zone: str

    def __html__(self) -> str:
        """Write it as markup. What it holds is digits and names of days: nothing that anybody typed."""
        if self.at is None:
            return "–"
        local = self.at.astimezone(zone_of(self.zone) or UTC)
        words = f"{local:%a} {local.day} {local:%b %Y}, {local:%H:%M}"
        return f'<time datetime="{self.at.isoformat(timespec="seconds")}">{words}</time>'


def zone_words(zone: str) -> str:
    """Write the zone in which a page tells its instants."""
    return zone.replace("_", " ") if zone_of(zone) is not None else "UTC"


def instant(at: datetime | None, zone: str) -> str:
    """Write an instant for this reader; a dash where there is none."""
    return "–" if at is None else written_instant(at, zone)
