"""The policy at the desk: its pictures, what it promises and whether that is true, its history, and what differs."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections import OrderedDict
from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import Connection

from engine.compare.policies import Change, compare
from engine.compare.tell import summary
from engine.draw_svg import svg
from engine.model import Policy
from engine.prove.judge import Judgement, judge
from storage import clock, policies
from storage.impact import Impact, impact, population, read_only
from web.inputs import bounded_query
from web.pages.desk_words import desk
from web.pages.render import HEADERS
from web.pages.visitor import admins_only
from web.problems import bad_input, nothing_here
from web.services import HttpRequest, PathId, TheServices

KEPT = 4  # policies whose proofs are remembered
MOST_ACCOUNTS = 20_000  # beyond, `forbear policy impact` looks, for as long as it takes
SHOWN = 100
STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)

_proved: OrderedDict[str, tuple[Judgement, ...]] = OrderedDict()
_proving = threading.Lock()


@get("/admin/policy", guards=[admins_only], sync_to_thread=True)
def show_policy(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show the policy in force: pictures, promises, and what was in force before."""
    with services.database.begin() as conn:
        policy, now = policies.in_force(conn), clock.now(conn)
        history = policies.history(conn)
        digest = policies.digest_in_force(conn)
    return desk(request, "desk_policy.html", now, policy=policy, digest=digest, history=history)


@get("/admin/policy/proofs", guards=[admins_only], sync_to_thread=True)
def show_proofs(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Hold the policy in force against what it promises. Takes seconds the first time, and is remembered."""
    with services.database.begin() as conn:
        policy, now = policies.in_force(conn), clock.now(conn)
    return desk(request, "desk_proofs.html", now, policy=policy, judgements=proofs(policy))


@get("/admin/policy/pictures/{machine:str}", guards=[admins_only], sync_to_thread=True)
def show_picture(services: TheServices, machine: PathId) -> Response[bytes]:
    """Show a machine of the policy in force as a picture."""
    with services.database.begin() as conn:
        policy = policies.in_force(conn)
    if machine not in policy.machines:
        raise nothing_here("machine")
    return picture(svg(policy.machines[machine]))


@get("/admin/policy/diff", guards=[admins_only], sync_to_thread=True)
def show_diff(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show what one deployed policy means otherwise than another."""
    with services.database.begin() as conn:
        now = clock.now(conn)
        old, new = (_deployed(conn, bounded_query(request, name, 64)) for name in ("old", "new"))
    changes: list[Change] = compare(old, new, prove=False)
    return desk(request, "desk_diff.html", now, old=old, new=new, changes=changes, summary=summary(changes))


@get("/admin/policy/impact", guards=[admins_only], sync_to_thread=True)
def show_impact(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show what going back to a deployed policy would do to the accounts as they are now. Writes nothing."""
    with services.database.begin() as conn:
        read_only(conn)
        now = clock.now(conn)
        policy = policies.in_force(conn)
        other = _deployed(conn, bounded_query(request, "to", 64))
        if population(conn) > MOST_ACCOUNTS:
            raise bad_input(f"There are too many accounts to look at here. Run `forbear policy impact {other.digest}`.")
        found: Impact = impact(conn, policy, other, world=services.world)
    return desk(request, "desk_impact.html", now, policy=policy, other=other, impact=found, shown=SHOWN)


def proofs(policy: Policy) -> tuple[Judgement, ...]:
    """Return what became of each promise, from memory if it is there. One is proved at a time."""
    with _proving:
        if policy.digest not in _proved:
            _proved[policy.digest] = tuple(judge(policy, guarantee) for guarantee in policy.guarantees)
            while len(_proved) > KEPT:
                _proved.popitem(last=False)
        return _proved[policy.digest]


def picture(drawing: str) -> Response[bytes]:
    """Return an SVG picture that may use its own style, named by its hash, and nothing else."""
    style = STYLE.search(drawing)
    named = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode() if style else ""
    only = f"default-src 'none'; style-src 'sha256-{named}'; frame-ancestors 'none'; sandbox"
    headers = {**HEADERS, "Content-Security-Policy": only}
    return Response(drawing.encode(), media_type="image/svg+xml", headers=headers)


def _deployed(conn: Connection, digest: str) -> Policy:
    if digest not in {each.digest for each in policies.history(conn)}:
        raise nothing_here("policy")
    return policies.load(conn, digest)


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_policy, show_proofs, show_picture, show_diff, show_impact)
