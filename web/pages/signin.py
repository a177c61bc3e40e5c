"""Registering, proving an address, signing in and out, and new passwords.

What is answered never tells whether an address is known; only mail to it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import Connection

from storage import accounts, letters, logins, policies
from storage.errors import AlreadyTaken
from storage.logins import Login
from web import guesses, known_browsers, passwords
from web.inputs import email_address, line, query, zone_name
from web.pages.forms import form_of
from web.pages.render import go_to, page
from web.pages.visitor import Visitor, anybody
from web.problems import Problem
from web.services import HttpRequest, Services, TheServices

MOST_LETTERS = 5
WRONG = "The mail address or the password is wrong."
SLOW_DOWN = "There were too many tries. Wait a quarter of an hour and try again."
LOCKED = (
    "There were too many tries with this mail address today, perhaps by somebody else. A browser in which you have "
    "signed in before lets you in; for this one, let us mail you a link."
)
FAULTS = {"slow": SLOW_DOWN, "locked": LOCKED}
NOT_PROVED = "Your address is not proved yet. Open the link in the letter that we sent you, or ask for a new password."
PROVES = "Sign in here with the password that you chose, and your address is proved."
LINK_IS_OLD = "This link is no longer good. Ask for a new one."


@get("/sign-in", guards=[anybody], sync_to_thread=False)
def show_sign_in(request: HttpRequest) -> Response[Any]:
    """Show the form."""
    visitor: Visitor = request.state.visitor
    to = query(request, "next", "/")
    if visitor.login is not None:
        return go_to(to)
    return page(request, "sign_in.html", next=to, email="", token="", told="", fault="")


@post("/sign-in", guards=[anybody])
async def sign_in(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Begin a session. The old cookie is good for nothing afterwards."""
    return await services.in_thread(_sign_in, request, services, await form_of(request))


def _sign_in(request: HttpRequest, services: Services, form: Mapping[str, str]) -> Response[Any]:
    email, to, token = form.get("email", "")[:254], form.get("next", "/"), form.get("token", "")
    with services.database.begin() as conn:
        login = logins.by_email(conn, email)
        device = known_browsers.known(request, services, login)
        verdict = guesses.judge(conn, client=_client(request), email=email, device=device)
    right = not verdict and passwords.is_right(
        form.get("password", "")[: passwords.MOST_CHARACTERS + 1], login.password_hash if login else None
    )
    fault = FAULTS[verdict] if verdict else WRONG if login is None or not right else ""
    if not fault and login is not None and login.verified_at is None and not _proves(services, login, token):
        fault = NOT_PROVED
    if fault or login is None:
        status = 429 if verdict else 401
        return page(request, "sign_in.html", status=status, next=to, email=email, token=token, told="", fault=fault)
    with services.database.begin() as conn:
        cookie = logins.begin_session(conn, login.id)
        logins.forgive(conn, guesses.pair_key(_client(request), email, device))
    to = to if to != "/" else "/admin" if login.role == "admin" else "/"
    return _known_from_now_on(go_to(to, cookie=cookie, services=services), request, services, login)


def _known_from_now_on(
    answer: Response[Any], request: HttpRequest, services: Services, login: Login, password_hash: str | None = None
) -> Response[Any]:
    """Let the browser keep that this person was there: nobody else's guesses lock them out of it."""
    if kept_hash := password_hash or login.password_hash:
        answer.cookies.append(known_browsers.remembered(request, services, login, kept_hash))
    return answer


def _proves(services: Services, login: Login, token: str) -> bool:
    """Prove the address of a login whose password was right, if this token was mailed to it."""
    with services.database.begin() as conn:
        holder = logins.holder(conn, token, "verify")
        if holder is None or holder.id != login.id or logins.use_token(conn, token, "verify") is None:
            return False
        logins.verify(conn, login.id)
        return True


@post("/sign-out", guards=[anybody])
async def sign_out(request: HttpRequest, services: TheServices) -> Response[Any]:
    """End the session."""
    await form_of(request)
    visitor: Visitor = request.state.visitor

    def end() -> None:
        with services.database.begin() as conn:
            logins.end_session(conn, visitor.cookie)

    await services.in_thread(end)
    return go_to("/sign-in")


@get("/register", guards=[anybody], sync_to_thread=False)
def show_register(request: HttpRequest) -> Response[Any]:
    """Show the form."""
    return page(request, "register.html", name="", email="", zone="UTC", fault="")


@post("/register", guards=[anybody])
async def register(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Make a customer, their login and their first account, and mail a link that proves the address."""
    return await services.in_thread(_register, request, services, await form_of(request))


def _register(request: HttpRequest, services: Services, form: Mapping[str, str]) -> Response[Any]:
    given = {name: form.get(name, "") for name in ("name", "email", "zone")}
    try:
        email, name, zone = email_address(given["email"]), line(given["name"], "name"), zone_name(given["zone"])
        fault = passwords.fault_of(form.get("password", "")) or ""
    except Problem as problem:
        fault = problem.detail
    if fault:
        return page(request, "register.html", status=400, **given, fault=fault)
    with services.database.begin() as conn:
        slow = _too_often(conn, request, f"register:{logins.normal(email)}", MOST_LETTERS)
    if slow:
        return page(request, "register.html", status=429, **given, fault=SLOW_DOWN)
    password_hash = passwords.hashed(form["password"])
    with services.database.begin() as conn:
        try:
            if logins.invited(conn, email) is not None:  # also a customer whom an admin made: theirs is that account
                raise AlreadyTaken("address", email)
            login = logins.create(conn, email, name, password_hash=password_hash, zone=zone)
        except AlreadyTaken:
            # Whoever asks learns nothing; whoever has the address learns that somebody tried.
            if (known := logins.by_email(conn, email)) is not None:
                _mail_link(conn, services, known, "reset")
        else:
            assert login.customer_id is not None
            _first_account(conn, services, login.customer_id)
            _mail_link(conn, services, login, "verify")
    return _look_into_mail(request, f"We have sent a link to {email}. Open it within two days, and you can sign in.")


@get("/verify", guards=[anybody], sync_to_thread=True)
def verify(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show the form that proves an address. Looking at it uses nothing up: mail programs open links by themselves.

    The password has to be typed too: whoever opens the link of somebody who registered with their address proves
    nothing for them.
    """
    token = query(request, "token", "")
    with services.database.begin() as conn:
        login = logins.holder(conn, token, "verify")
    if login is None:
        return _link_is_old(request)
    return page(request, "sign_in.html", next="/", email=login.email, token=token, told=PROVES, fault="")


@get("/password", guards=[anybody], sync_to_thread=False)
def show_password(request: HttpRequest) -> Response[Any]:
    """Show the form that asks for a link."""
    return page(request, "password.html", token="", fault="")


@post("/password", guards=[anybody])
async def ask_for_password(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Mail a link to choose a new password, if anybody has this address."""
    return await services.in_thread(_ask_for_password, request, services, await form_of(request))


def _ask_for_password(request: HttpRequest, services: Services, form: Mapping[str, str]) -> Response[Any]:
    email = form.get("email", "")[:254]
    with services.database.begin() as conn:
        if _too_often(conn, request, f"password:{logins.normal(email)}", MOST_LETTERS):
            return page(request, "password.html", status=429, token="", fault=SLOW_DOWN)
        login = logins.invited(conn, email)
        if login is not None:
            _mail_link(conn, services, login, "reset")
    return _look_into_mail(request, "If we know this address, we have sent a link to it. It is good for an hour.")


@get("/password/new", guards=[anybody], sync_to_thread=True)
def show_new_password(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show the form behind the link; looking at it uses nothing up."""
    token = query(request, "token", "")
    with services.database.begin() as conn:
        login = logins.holder(conn, token, "reset")
    return _link_is_old(request) if login is None else page(request, "password.html", token=token, fault="")


@post("/password/new", guards=[anybody])
async def choose_password(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Choose a password. The link proves the address too; every session ends, and the first account is made."""
    return await services.in_thread(_choose_password, request, services, await form_of(request))


def _choose_password(request: HttpRequest, services: Services, form: Mapping[str, str]) -> Response[Any]:
    token, password = form.get("token", ""), form.get("password", "")
    if fault := passwords.fault_of(password):
        return page(request, "password.html", status=400, token=token, fault=fault)
    with services.database.begin() as conn:
        if logins.holder(conn, token, "reset") is None:  # before any work is spent on it
            return _link_is_old(request)
    password_hash = passwords.hashed(password)
    with services.database.begin() as conn:
        login = logins.use_token(conn, token, "reset")
        if login is None:
            return _link_is_old(request)
        logins.set_password(conn, login.id, password_hash)
        logins.verify(conn, login.id)
        if login.customer_id is not None and not accounts.accounts_of(conn, login.customer_id):
            _first_account(conn, services, login.customer_id)
        logins.forgive(conn, guesses.pair_key(_client(request), login.email, None))
    told = "Your new password is kept. You can sign in now."
    shown = page(request, "sign_in.html", next="/", email=login.email, token="", told=told, fault="")
    return _known_from_now_on(shown, request, services, login, password_hash)


def _first_account(conn: Connection, services: Services, customer_id: UUID) -> None:
    """Make an account without a plan: registering costs nothing."""
    policy = policies.in_force(conn)
    accounts.create_account(conn, policy, customer_id, actor="register", world=services.world)


def _look_into_mail(request: HttpRequest, text: str) -> Response[Any]:
    return page(
        request,
        "told.html",
        title="Look into your mail",
        text=text,
        kind="good",
        failure_id="",
        back="/sign-in",
        back_words="To the sign-in",
    )


def _link_is_old(request: HttpRequest) -> Response[Any]:
    return page(
        request,
        "told.html",
        status=400,
        title="This link is no longer good",
        text=LINK_IS_OLD,
        kind="warn",
        failure_id="",
        back="/password",
        back_words="Ask for a new link",
    )


def _mail_link(conn: Connection, services: Services, login: Login, purpose: logins.Purpose) -> None:
    token = logins.issue_token(conn, login.id, purpose)
    path, what, good_for = {
        "verify": ("verify", "Prove that this address is yours, and you can sign in", "two days"),
        "reset": ("password/new", "Choose a new password", "an hour"),
    }[purpose]
    link = f"{services.settings.portal_url}/{path}?token={token}"
    body = (
        f"Hello {login.name},\n\n{what}:\n\n{link}\n\nThe link is good for {good_for}, once. "
        "If you did not ask for it, do nothing: without it, nothing changes.\n"
    )
    subject = {"verify": "Prove your address", "reset": "Your new password"}[purpose]
    key = f"{purpose}:{login.id}:{accounts.token_hash(token).hex()[:16]}"
    letters.write(conn, key, to_name=login.name, to_email=login.email, subject=subject, body=body)


def _too_often(conn: Connection, request: HttpRequest, key: str, most: int) -> bool:
    return guesses.by_client(conn, _client(request)) or logins.too_often(conn, key, most, guesses.WITHIN)


def _client(request: HttpRequest) -> str:
    return request.client.host if request.client else "unknown"


HANDLERS: tuple[HTTPRouteHandler, ...] = (
    show_sign_in,
    sign_in,
    sign_out,
    show_register,
    register,
    verify,
    show_password,
    ask_for_password,
    show_new_password,
    choose_password,
)
