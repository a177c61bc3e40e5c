"""The deployment in one frozen value, read from the environment once by each entry point and passed down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Self

from storage.errors import SettingWrong
from storage.settings_jwt import JwtSettings

StripeMode = Literal["webhook", "poll", "both"]
STRIPE_MODES: Final[tuple[StripeMode, ...]] = ("webhook", "poll", "both")

DEFAULT_PORT = 8080
SHIPPED_POLICY = Path(__file__).resolve().parent.parent / "policy"
EDGE_PREFIX = "FORBEAR_EDGE_"  # secrets that the edge file names
OVERRIDE_PREFIX = "BILLING_"  # environment names that override numbers of a policy, resolved when it is deployed


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that differs between deployments. Secrets never show in `repr`."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False, default="redis://127.0.0.1:6379/0")
    data_dir: Path = Path(".forbear")
    policy_dir: Path = SHIPPED_POLICY
    policy_overrides: Mapping[str, str] = field(default_factory=dict)
    hosts_file: Path | None = None
    """Which machines servers run on; `None`: this one."""
    edge_file: Path | None = None
    """What leads people to servers; `None`: a zone file under the data directory, and no proxy."""
    edge_secrets: Mapping[str, str] = field(repr=False, default_factory=dict)
    """What the edge file names as `secret`: variables of the environment that begin with `FORBEAR_EDGE_`."""
    invoice_file: Path | None = None
    """Who invoices are from, and how they are paid; `None`: they are only previewed."""
    port: int = DEFAULT_PORT
    test_clock: bool = False
    up_pid: int | None = None
    """Process id of the `forbear up` that we belong to."""
    public_url: str = f"http://127.0.0.1:{DEFAULT_PORT}"
    """Where browsers and links in mail find the API."""
    portal_url: str = f"http://127.0.0.1:{DEFAULT_PORT}"
    """Where a customer signs in."""
    pay_url: str = ""
    """Where a customer pays when no invoice has a page of its own; empty: the portal."""
    support_email: str = "support@example.org"
    ticket_prefix: str = "ZLH"
    """What the numbers of support's tickets begin with."""
    jwt: JwtSettings | None = None
    """How bearer tokens of another portal are verified; None: none are taken."""
    admin_token: str = field(repr=False, default="")
    """Bearer token with the admin role; empty: nobody is an admin."""
    stripe_webhook_secrets: tuple[str, ...] = field(repr=False, default=())
    """Several while one is rotated; empty: no webhook is taken."""
    stripe_api_key: str = field(repr=False, default="")
    """Empty: the mirror of webhooks counts as fresh."""
    stripe_api_base: str = ""
    """Another address of the Stripe API, such as a double; empty: Stripe's own."""
    stripe_mode: StripeMode = "webhook"
    """`webhook`: Stripe sends events; `poll`: its list is read; `both`. With a key, the list fills gaps in any case."""
    smtp_url: str = field(repr=False, default="")
    """`smtp://user:password@host:port` or `smtps://…`; empty: a Maildir under the data directory."""
    mail_from: str = "Forbear <billing@forbear.example>"
    customer_hooks: str = "public"
    """Which addresses of customers notices are posted to beside mail: `off`, `public` (by HTTPS), or `any`."""
    metrics_token_file: Path | None = None
    """Holds the bearer token of `/metrics`; read at each request, so that it can be changed. None: nobody may."""
    discord_urls: Mapping[str, str] = field(repr=False, default_factory=dict)
    """Channel name to webhook address; a channel that is missing is not told."""
    tick_seconds: float = 1.0
    """How often the controller looks when nothing wakes it."""
    provisioning_concurrency: int = 1
    """How many servers are made at the same time, by all workers together."""
    deletion: bool = False
    """Whether an account that two admins gave up may be deleted at all; the worker asks again right before."""
    test_pause_at: str = ""
    """`intent:moment` (see `jobs.faults`): where a worker stops for a fault test; only with the test clock."""

    @property
    def polls(self) -> bool:
        """Whether Stripe's list of events is read all the time, and not only for gaps."""
        return self.stripe_mode != "webhook"

    @property
    def our_urls(self) -> tuple[str, ...]:
        """What addresses that lead to us begin with."""
        return tuple(dict.fromkeys((self.portal_url, self.public_url)))

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the environment. Raises SettingWrong naming the variable."""
        port = _number(env, "FORBEAR_PORT", DEFAULT_PORT)
        here = f"http://127.0.0.1:{port}"
        public_url = env.get("FORBEAR_PUBLIC_URL") or here
        test_clock = env.get("FORBEAR_TEST_CLOCK") == "1"
        return cls(
            database_url=_needed(env, "FORBEAR_DATABASE_URL"),
            redis_url=env.get("FORBEAR_REDIS_URL") or "redis://127.0.0.1:6379/0",
            data_dir=Path(env.get("FORBEAR_DATA") or ".forbear").absolute(),
            policy_dir=Path(env.get("FORBEAR_POLICY_DIR") or SHIPPED_POLICY).absolute(),
            policy_overrides={name: value for name, value in env.items() if name.startswith(OVERRIDE_PREFIX)},
            hosts_file=_path(env, "FORBEAR_HOSTS_FILE"),
            edge_file=_path(env, "FORBEAR_EDGE_FILE"),
            invoice_file=_path(env, "FORBEAR_INVOICE_FILE"),
            edge_secrets={name: value for name, value in env.items() if name.startswith(EDGE_PREFIX)},
            port=port,
            test_clock=test_clock,
            up_pid=_number(env, "FORBEAR_UP_PID", 0) or None,
            public_url=public_url.rstrip("/"),
            portal_url=(env.get("FORBEAR_PORTAL_URL") or public_url).rstrip("/"),
            pay_url=env.get("FORBEAR_PAY_URL", ""),
            support_email=env.get("FORBEAR_SUPPORT_EMAIL") or "support@example.org",
            ticket_prefix=_prefix(env, "FORBEAR_TICKET_PREFIX"),
            jwt=JwtSettings.from_env(env),
            admin_token=env.get("FORBEAR_ADMIN_TOKEN", "").strip(),
            stripe_webhook_secrets=_list(env, "STRIPE_WEBHOOK_SECRET"),
            stripe_api_key=env.get("STRIPE_API_KEY", "").strip(),
            stripe_api_base=env.get("STRIPE_API_BASE", "").rstrip("/"),
            stripe_mode=_stripe_mode(env),
            smtp_url=env.get("FORBEAR_SMTP_URL", ""),
            mail_from=env.get("FORBEAR_MAIL_FROM") or "Forbear <billing@forbear.example>",
            customer_hooks=_one_of(env, "FORBEAR_CUSTOMER_HOOKS", ("public", "off", "any")),
            metrics_token_file=_path(env, "FORBEAR_METRICS_TOKEN_FILE"),
            discord_urls=_channels(env),
            tick_seconds=_number(env, "FORBEAR_TICK_MILLISECONDS", 1000) / 1000,
            provisioning_concurrency=_at_least_one(env, "FORBEAR_PROVISIONING_CONCURRENCY"),
            deletion=_switch(env, "FORBEAR_DELETION"),
            test_pause_at=env.get("FORBEAR_TEST_PAUSE_AT", "") if test_clock else "",
        )


def _needed(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise SettingWrong(
            name, "is not set; `forbear up` starts a database by itself, other commands need its address"
        )
    return value


def _path(env: Mapping[str, str], name: str) -> Path | None:
    text = env.get(name, "").strip()
    return Path(text).absolute() if text else None


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit():
        raise SettingWrong(name, f"is `{text}`, expected a whole number such as {default}")
    return int(text)


def _switch(env: Mapping[str, str], name: str) -> bool:
    text = env.get(name, "").strip()
    if text not in {"", "on", "off"}:
        raise SettingWrong(name, f"is `{text}`, expected `on` or `off`")
    return text == "on"


def _at_least_one(env: Mapping[str, str], name: str) -> int:
    found = _number(env, name, 1)
    if found < 1:
        raise SettingWrong(name, "is `0`, expected at least 1; with none at all no server would ever be made")
    return found


def _prefix(env: Mapping[str, str], name: str) -> str:
    text = env.get(name, "").strip() or "ZLH"
    if not (text.isascii() and text.isalnum() and text == text.upper() and len(text) <= 10):
        raise SettingWrong(name, f"is `{text}`, expected at most ten capital letters and digits such as `ZLH`")
    return text


def _one_of(env: Mapping[str, str], name: str, words: tuple[str, ...]) -> str:
    """Read one of some words; the first where nothing is set."""
    text = env.get(name, "").strip() or words[0]
    if text not in words:
        raise SettingWrong(name, f"is `{text}`, expected {' or '.join(f'`{word}`' for word in words)}")
    return text


def _stripe_mode(env: Mapping[str, str]) -> StripeMode:
    text = env.get("FORBEAR_STRIPE_MODE", "").strip() or "webhook"
    for mode in STRIPE_MODES:
        if text == mode:
            return mode
    raise SettingWrong("FORBEAR_STRIPE_MODE", f"is `{text}`, expected `webhook`, `poll` or `both`")


def _list(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in env.get(name, "").split(",") if part.strip())


def _channels(env: Mapping[str, str]) -> dict[str, str]:
    """Read `FORBEAR_DISCORD_ALERTS_BILLING` and its like as {"alerts-billing": address}."""
    prefix = "FORBEAR_DISCORD_"
    return {
        name.removeprefix(prefix).lower().replace("_", "-"): address.strip()
        for name, address in env.items()
        if name.startswith(prefix) and address.strip()
    }
