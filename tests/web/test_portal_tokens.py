"""Tokens that another portal signed: whose they are, and every way of making one that must not pass."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from storage.errors import SettingWrong
from storage.settings_jwt import JwtSettings
from tests.doubles.portal import AUDIENCE, ISSUER, Publisher, published, rsa_key, token
from tests.web.site import Site, Tenant
from web.portal_keys import EVERY_SECONDS, KEPT_SECONDS, MOST_BYTES, KeysAway, PortalKeys
from web.portal_tokens import PortalTokens

SECRET = "a secret of at least 32 bytes, of course, and as long as a longer hash too"
KEY = rsa_key()
OTHER = rsa_key()
CURVE = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()


@pytest.fixture
def ada(site: Site) -> Tenant:
    return site.tenant()


@pytest.fixture
def by_secret(site: Site) -> Iterator[None]:
    site.app.state.services.portal_tokens = PortalTokens(JwtSettings(ISSUER, AUDIENCE, secret=SECRET))
    yield
    site.app.state.services.portal_tokens = None


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    keys = [published("one", KEY), published("curve", CURVE), published("edwards", EDWARDS)]
    with Publisher([{**keys[0], "kty": "oct", "k": "c2VjcmV0", "kid": "shared"}, *keys]) as running:
        yield running


@pytest.fixture
def by_keys(site: Site, publisher: Publisher) -> Iterator[None]:
    site.app.state.services.portal_tokens = PortalTokens(JwtSettings(ISSUER, AUDIENCE, keys=publisher.url))
    yield
    site.app.state.services.portal_tokens = None


def ask(site: Site, text: str, path: str = "/api/account") -> httpx.Response:
    return site.nobody.get(path, headers={"Authorization": f"Bearer {text}"})


@pytest.mark.usefixtures("by_secret")
def test_whoever_the_token_names_sees_their_own_and_is_no_admin(site: Site, ada: Tenant) -> None:
    eve = site.tenant()
    signed = token(SECRET, "HS256", sub=ada.customer_id, role="admin", aud=["other", AUDIENCE])
    answer = ask(site, signed)
    assert [each["accountId"] for each in answer.json()] == [ada.account_id]
    assert ask(site, signed, f"/api/servers/{eve.server_id}/files/list").status_code == 404
    assert ask(site, signed, "/api/admin/brakes").status_code == 403
    assert ada.client.get("/api/account").status_code == 200, "our own tokens stay good"


@pytest.mark.usefixtures("by_keys")
def test_published_keys_of_each_kind_verify(site: Site, ada: Tenant) -> None:
    for key, algorithm, kid in ((KEY, "RS256", "one"), (CURVE, "ES256", "curve"), (EDWARDS, "EdDSA", "edwards")):
        assert ask(site, token(key, algorithm, kid=kid, sub=ada.customer_id)).status_code == 200, algorithm


def unsigned(**claims: Any) -> str:
    parts = ({"alg": "none", "kid": "one"}, {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 99, **claims})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def signed_by_what_is_published(**claims: Any) -> str:
    """Use the public key as if both sides knew it as a secret."""
    public = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    whole = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 99, **claims}
    head, body = jwt.encode(whole, "x" * 32, algorithm="HS256", headers={"kid": "one"}).split(".")[:2]
    algorithm = jwt.get_algorithm_by_name("HS256")
    mac = algorithm.sign(f"{head}.{body}".encode(), public)
    return f"{head}.{body}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def of(key: Any, algorithm: str, **more: Any) -> Callable[..., str]:
    return lambda **claims: token(key, algorithm, **{**claims, **more})


FORGED_KEYS: list[tuple[Callable[..., str], str]] = [
    (unsigned, "signature"),
    (signed_by_what_is_published, "signature"),
    (of(OTHER, "RS256"), "signature"),
    (of(CURVE, "ES256", kid="one"), "signature"),
    (of(KEY, "RS512"), "signature"),
    (of(SECRET, "HS256", kid="shared"), "not published"),
    (of(KEY, "RS256", kid="two"), "not published"),
    (of(KEY, "RS256", kid=None), "names no key"),
    (of(KEY, "RS256", lives=-31), "expired"),
    (of(KEY, "RS256", exp=None), "lacks `exp`"),
    (of(KEY, "RS256", exp=str(int(time.time()) + 90_000)), "longer than a day"),
    (of(KEY, "RS256", exp=[1]), "cannot be read"),
    (of(KEY, "RS256", lives=90_000), "longer than a day"),
    (of(KEY, "RS256", nbf=int(time.time()) + 3_600), "not good yet"),
    (of(KEY, "RS256", iss="https://evil.example"), "another issuer"),
    (of(KEY, "RS256", aud="another"), "another audience"),
    (of(KEY, "RS256", aud=None), "lacks `aud`"),
    (of(KEY, "RS256", sub=None), "lacks `sub`"),
    (of(KEY, "RS256", sub="somebody"), "no customer's id"),
    (of(KEY, "RS256", sub="00000000-0000-0000-0000-000000000000"), "no customer here"),
    (lambda **_: "a.b.c", "cannot be read"),
    (lambda **_: "..", "cannot be read"),
]


@pytest.mark.usefixtures("by_keys")
def test_no_forged_or_foreign_token_passes(site: Site, ada: Tenant) -> None:
    for forge, says in FORGED_KEYS:
        answer = ask(site, forge(sub=ada.customer_id))
        assert answer.status_code == 401, says
        assert says in answer.json()["detail"]


@pytest.mark.usefixtures("by_secret")
def test_where_a_secret_is_known_no_other_algorithm_passes(site: Site, ada: Tenant) -> None:
    for forge in (unsigned, of(KEY, "RS256"), of("y" * 64, "HS256"), of(SECRET, "HS512")):
        assert ask(site, forge(sub=ada.customer_id)).status_code == 401
    assert ask(site, "x" * 5_000).status_code == 401


def test_mail_address_names_a_customer_only_when_it_was_verified_and_is_one_persons(site: Site, ada: Tenant) -> None:
    services = site.app.state.services
    services.portal_tokens = PortalTokens(JwtSettings(ISSUER, AUDIENCE, secret=SECRET, claim="email"))
    email = site.scalar("SELECT email FROM customers WHERE id = :id", id=ada.customer_id)
    try:
        for claims, status in (
            ({"email": email.upper(), "email_verified": True}, 200),
            ({"email": email}, 401),
            ({"email": email, "email_verified": "true"}, 401),
            ({"email": "nobody@example.org", "email_verified": True}, 401),
        ):
            assert ask(site, token(SECRET, "HS256", **claims)).status_code == status
        site.admin.post("/api/admin/customers", json={"email": email, "name": "Eve"})
        assert ask(site, token(SECRET, "HS256", email=email, email_verified=True)).status_code == 401
    finally:
        services.portal_tokens = None


def test_without_its_settings_no_portals_token_is_good(site: Site, ada: Tenant) -> None:
    assert ask(site, token(SECRET, "HS256", sub=ada.customer_id)).status_code == 401


def test_keys_that_were_never_had_are_our_fault(site: Site, ada: Tenant, publisher: Publisher) -> None:
    publisher.status = 500
    site.app.state.services.portal_tokens = PortalTokens(JwtSettings(ISSUER, AUDIENCE, keys=publisher.url))
    answer = ask(site, token(KEY, "RS256", sub=ada.customer_id))
    site.app.state.services.portal_tokens = None
    assert (answer.status_code, answer.json()["code"]) == (503, "PORTAL_KEYS_AWAY")


# ---- keys ------------------------------------------------------------------------------------------------------------


def test_unknown_key_is_looked_for_once_a_minute_and_old_keys_stay_good(publisher: Publisher) -> None:
    now = [0.0]
    keys = PortalKeys(publisher.url, clock=lambda: now[0])
    assert keys.find("one") is not None
    assert [keys.find(f"guess {number}") for number in range(50)] == [None] * 50
    assert publisher.asked == 1
    publisher.keys.append(published("new", OTHER))
    now[0] += EVERY_SECONDS
    assert keys.find("new") is not None
    publisher.status = 500
    now[0] += KEPT_SECONDS + 1
    assert keys.find("one") is not None, "what is known stays good while nothing can be fetched"
    assert publisher.asked == 3


def test_whose_key_is_known_waits_for_nobody_who_guesses(publisher: Publisher) -> None:
    now = [0.0]
    keys = PortalKeys(publisher.url, clock=lambda: now[0])
    assert keys.find("one") is not None
    now[0] += EVERY_SECONDS
    publisher.hangs = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        guess = pool.submit(keys.find, "guessed")
        while publisher.asked < 2:
            time.sleep(0.005)
        now[0] += KEPT_SECONDS
        assert keys.find("one") is not None
        assert not guess.done()
        publisher.hangs.set()
        assert guess.result(20) is None


def test_a_key_that_is_no_longer_published_is_forgotten(publisher: Publisher) -> None:
    now = [0.0]
    keys = PortalKeys(publisher.url, clock=lambda: now[0])
    assert keys.find("curve") is not None
    publisher.keys = [published("one", KEY)]
    now[0] += KEPT_SECONDS + 1
    assert keys.find("curve") is None


@pytest.mark.parametrize(
    "answer",
    [
        {"body": b"x" * (MOST_BYTES + 1)},
        {"body": b"no json"},
        {"body": b"[]"},
        {"body": b'{"keys": {}}'},
        {"body": json.dumps({"keys": [{}] * 65}).encode()},
        {"body": b'{"keys": [7, {"kty": "RSA"}, {"kty": "oct", "k": "c2VjcmV0", "kid": "one"}]}'},
        {"status": 302},
        {"status": 404},
    ],
)
def test_odd_answers_give_no_keys(publisher: Publisher, answer: dict[str, Any]) -> None:
    for name, value in answer.items():
        setattr(publisher, name, value)
    with pytest.raises(KeysAway):
        PortalKeys(publisher.url).find("one")


def test_keys_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [published("one", KEY)]}))
    assert PortalKeys(str(file)).find("one") is not None


# ---- settings --------------------------------------------------------------------------------------------------------

GOOD = {"FORBEAR_JWT_ISSUER": ISSUER, "FORBEAR_JWT_AUDIENCE": AUDIENCE, "FORBEAR_JWT_SECRET": SECRET}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"FORBEAR_JWT_KEYS": "https://p.example/keys"}, "two ways"),
        ({"FORBEAR_JWT_SECRET": ""}, "two ways"),
        ({"FORBEAR_JWT_ISSUER": ""}, "`FORBEAR_JWT_ISSUER` is not set"),
        ({"FORBEAR_JWT_AUDIENCE": ""}, "`FORBEAR_JWT_AUDIENCE` is not set"),
        ({"FORBEAR_JWT_SECRET": "x" * 31}, "shorter than 32"),
        ({"FORBEAR_JWT_SECRET": "", "FORBEAR_JWT_KEYS": "http://p.example/keys"}, "use https"),
    ],
)
def test_settings_that_would_let_strangers_in_are_refused(change: dict[str, str], says: str) -> None:
    with pytest.raises(SettingWrong, match=says):
        JwtSettings.from_env({**GOOD, **change})


def test_settings_are_none_unless_given_and_hide_the_secret() -> None:
    assert JwtSettings.from_env({}) is None
    made = JwtSettings.from_env(GOOD)
    assert made is not None
    assert made.claim == "sub"
    assert SECRET not in repr(made)
