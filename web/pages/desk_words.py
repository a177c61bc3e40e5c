"""How the desk writes: short instants in UTC, how far away they are, what comes next, and what came of a form."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from litestar import Response

from engine.errors import EngineError
from engine.model import STOPPED_BILLING_STATES, Policy
from engine.snapshot import Snapshot, Step, StepKind
from engine.timeline.play import Player, onwards
from web.inputs import bounded_query, line
from web.pages.render import go_to, page
from web.problems import Problem, bad_input, translated

if TYPE_CHECKING:
    from web.pages.visitor import Visitor
    from web.services import HttpRequest

AHEAD = timedelta(days=400)
REASON_CHARACTERS = 500
PLACES = (
    ("/admin", "Accounts"),
    ("/admin/review", "To review"),
    ("/admin/tickets", "Tickets"),
    ("/admin/billing", "Billing"),
    ("/admin/holds", "Holds and brakes"),
    ("/admin/policy", "Policy"),
    ("/admin/notices", "Notices"),
)


@dataclass(frozen=True, slots=True)
class Coming:
    """What follows for an account if nothing changes. `at` None: nothing does by itself."""

    at: datetime | None
    words: tuple[str, ...]
    held: tuple[str, ...] = ()
    """What is due, and not permitted."""


def desk(request: HttpRequest, template: str, now: datetime, **given: Any) -> Response[str]:
    """Return a page of the desk. Templates find `at` and `away` to write instants, and what the last form came to."""
    return page(
        request,
        template,
        now=now,
        at=short,
        away=lambda instant: away(instant, now),
        grade=grade,
        told=told(request),
        desk_places=PLACES,
        **given,
    )


def short(at: datetime | str | None) -> str:
    """Write an instant in UTC, to the minute."""
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    return "–" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def away(at: datetime | str | None, now: datetime) -> str:
    """Write how far an instant is away: `in 2 d 3 h`, `5 min ago`."""
    if at is None:
        return ""
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    seconds = int((at - now).total_seconds())
    minutes, hours, days = abs(seconds) // 60, abs(seconds) // 3600, abs(seconds) // 86400
    if not minutes:
        return "now"
    span = f"{minutes} min" if not hours else f"{hours} h" if hours < 24 else f"{days} d {hours % 24} h"
    return f"in {span}" if seconds > 0 else f"{span} ago"


def grade(server_billing_state: str, *, at_rest: bool = False) -> str:
    """Return how a state looks: good, warn, bad or kept."""
    if server_billing_state == "retained":
        return "kept"
    if server_billing_state in STOPPED_BILLING_STATES:
        return "bad"
    return "good" if at_rest else "warn"


def coming(policy: Policy, snapshot: Snapshot, now: datetime) -> Coming:
    """Return what is next for an account and when, notices arriving and hosts obeying."""
    try:
        for moment in Player(policy, onwards(policy, snapshot, now)).run(now + AHEAD):
            if moment.at <= now and not moment.steps and moment.waiting:
                held = tuple(f"{each.rule} waits for {each.permit}" for each in moment.waiting)
                return Coming(None, (), held)
            words = (*(step_words(step) for step in moment.steps), *(f"sends {name}" for name in moment.notices))
            if words:
                return Coming(moment.at, words)
    except EngineError as error:  # such as a state that the policy lacks: the page must show the account all the more
        return Coming(None, (str(error),))
    return Coming(None, ())


def step_words(step: Step) -> str:
    """Write one step of a decision."""
    if step.kind is StepKind.TRANSITION:
        return f"{step.machine}: {step.from_} → {step.to}"
    if step.kind is StepKind.MARK:
        return f"{step.machine}: {step.because.rpartition('.')[2]}"
    return f"{step.kind.value} {step.because}"


# ---- what came of a form ---------------------------------------------------------------------------------------------


def deed(request: HttpRequest, back: str, work: Callable[[], str]) -> Response[Any]:
    """Do what a form asks for, and go back to show the sentence that `work` returns; a refusal is a page that says why.

    The sentence travels in the address, sealed for this visitor: nobody else can put words on the page.
    """
    try:
        words = work()
    except Exception as error:
        problem = error if isinstance(error, Problem) else translated(error)
        return page(
            request,
            "told.html",
            status=problem.status,
            title="This was not done",
            text=problem.detail,
            kind="warn" if problem.status < 500 else "bad",
            failure_id=problem.more.get("failureId", ""),
            back=back,
            back_words="Back, without having changed anything",
        )
    path, hash_, place = back.partition("#")
    joint = "&" if "?" in path else "?"
    return go_to(f"{path}{joint}told={quote(words)}&seal={_seal(request, words)}{hash_}{place}")


def told(request: HttpRequest) -> str:
    """Return what the last form came to; empty when there is nothing, or somebody else wrote it."""
    words, seal = bounded_query(request, "told"), bounded_query(request, "seal")
    return words if words and hmac.compare_digest(seal.encode(), _seal(request, words).encode()) else ""


def _seal(request: HttpRequest, words: str) -> str:
    visitor: Visitor = request.state.visitor
    return hmac.new(visitor.cookie.encode(), f"told:{words}".encode(), hashlib.sha256).hexdigest()[:32]


def reason_of(form: Mapping[str, str]) -> str:
    """Return the reason that every deed needs. Raises the 400."""
    if not form.get("reason", "").strip():
        raise bad_input("Say why: the reason is written into the audit.", field="reason")
    return line(form["reason"], "reason", REASON_CHARACTERS)


def until_of(form: Mapping[str, str], *, needed: bool = True) -> datetime | None:
    """Return the instant of the field `until`, in UTC. Raises the 400."""
    given = form.get("until", "").strip()
    if not given and not needed:
        return None
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise bad_input("Choose a date and a time, in UTC, such as 2030-01-31T12:00.", field="until") from None
    found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    if not 2000 <= found.year <= 2200:
        raise bad_input("`until` is not a date that can be meant.", field="until")
    return found
