"""`forbear doctor`: is everything there, does it work, and what to do where it does not. Changes nothing.

Exit status: 0 all is well, 1 something was found, 2 nothing could be looked at.
"""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict

import click
from sqlalchemy.exc import DBAPIError

from engine.commands import colored
from jobs.finding import Finding, span
from jobs.queues import QUEUES, connect
from jobs.stripe.doctor import examine_stripe
from storage import figures, migrate, policies, processes
from storage.beside import data_option, settings_beside
from storage.database import Database
from storage.errors import StorageError
from storage.figures import Figures
from storage.settings import Settings

LATE_SECONDS = 120.0  # work that could have been done for so long is waiting for somebody who is not there
SILENT_SECONDS = 30.0  # the controller looks every second
ROOM_BYTES = 1024**3

SHADES = {"ok": "green", "warning": "yellow", "fault": "red"}


@click.command()
@data_option
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to show it.")
def doctor(form: str) -> int:
    """Look at everything that Forbear needs and say what is wrong and what to do about it.

    \b
    Examples:
      forbear doctor                        the `forbear up` of this folder, or what FORBEAR_DATABASE_URL names
      forbear doctor --data /srv/forbear    another one
      forbear doctor --format json          for a monitor
    """
    settings = settings_beside()
    findings = list(examine(settings))
    if form == "json":
        click.echo(json.dumps([asdict(each) for each in findings], indent=2))
    else:
        _show(findings)
    return 0 if all(each.verdict == "ok" for each in findings) else 1


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield a finding on everything; where the database is away, on what can be seen without it."""
    yield _queue(settings)
    database = Database(settings, pool_size=1)
    try:
        yield from _below(settings, database)
    finally:
        database.close()
    yield from _configured(settings)


def _below(settings: Settings, database: Database) -> Iterator[Finding]:
    """Look at everything that the database knows."""
    try:
        with database.begin() as conn:
            migrate.require(conn)
            policy = policies.in_force(conn)
            seen = figures.read(conn, policy)
    except DBAPIError as error:
        words = " ".join(str(error.orig).split("\n", 1)[0].split())
        yield Finding("database", "fault", words, "is it running, and is FORBEAR_DATABASE_URL right?")
        return
    except StorageError as error:
        yield Finding("database", "fault", str(error), "what it says tells what to do")
        return
    yield Finding("database", "ok", f"answers, at migration {migrate.HEAD}")
    yield Finding("policy", "ok", f"{policy.digest[:12]} is in force")
    yield from _processes(seen, policy.digest)
    yield from _work(seen)
    yield from _trouble(seen)
    with database.begin() as conn:
        yield from examine_stripe(settings, conn)


def _queue(settings: Settings) -> Finding:
    import redis

    client = connect(settings.redis_url)
    try:
        client.ping()
    except redis.RedisError as error:
        advice = "nothing is lost, but work waits for the relay: is Redis running, and is FORBEAR_REDIS_URL right?"
        return Finding("queue", "fault", " ".join(str(error).split()), advice)
    finally:
        client.close()
    return Finding("queue", "ok", "answers")


def _processes(seen: Figures, digest: str) -> Iterator[Finding]:
    alive: dict[str, int] = {}
    for process in seen.processes:
        alive[process.role] = alive.get(process.role, 0) + process.alive
    for role, command in {
        "serve": "forbear serve",
        "controller": "forbear controller",
        **{f"worker {queue}": f"forbear worker {queue}" for queue in QUEUES},
    }.items():
        count = alive.get(role, 0)
        if count:
            yield Finding(role, "ok", f"{count} at work")
        else:
            yield Finding(role, "fault", "nobody is at work", f"start `{command}`, and look at its log")
    for words in processes.stale(seen.processes, digest):
        yield Finding("stale process", "fault", words, "restart it")
    if seen.worked_seconds is None or seen.worked_seconds > SILENT_SECONDS:
        since = "never" if seen.worked_seconds is None else f"{span(seen.worked_seconds)} ago"
        advice = "its log tells which step fails: nothing is swept, observed or repaired meanwhile"
        yield Finding("controller's last success", "fault", since, advice)


def _work(seen: Figures) -> Iterator[Finding]:
    for queue in figures.QUEUES:
        waits = seen.staleness_of(queue)
        if waits > LATE_SECONDS:
            advice = "is a worker of it at work? `forbear audit show` and its log tell what it does"
            yield Finding(f"queue {queue}", "fault", f"its oldest work has waited {span(waits)}", advice)
    due = seen.oldest_due_seconds or 0.0
    if due > LATE_SECONDS:
        yield Finding("due rows", "fault", f"the oldest has waited {span(due)}", "is the controller at work?")
    drifting = sum(each.count for each in seen.fleet if each.drifts)
    if drifting:
        advice = "`forbear controller --dry-run --once` tells what would be done about each"
        yield Finding("servers", "warning", f"{drifting} seen otherwise than they should be", advice)


def _trouble(seen: Figures) -> Iterator[Finding]:
    for brake in seen.brakes:
        if brake.latched_at is not None:
            advice = f"look why so many are pressed at once, then POST /api/admin/brakes/{brake.name}/release"
            yield Finding(f"brake {brake.name}", "fault", f"tripped at {brake.latched_at:%Y-%m-%d %H:%M} UTC", advice)
    for unsettled in seen.unsettled:
        advice = "GET /api/admin/stripe-events lists them; making the account applies what is parked"
        words = f"{unsettled.count}, the oldest {span(float(unsettled.age_seconds))} old"
        yield Finding(f"{unsettled.status} events", "warning", words, advice)
    for status in ("unknown", "failed"):
        count = sum(each.count for each in seen.intents if each.status == status)
        if count:
            advice = "GET /api/admin/intents lists them; a person says whether they are sent or done again"
            yield Finding(f"{status} intents", "warning", str(count), advice)
    if seen.alerts and (seen.alert_age_seconds or 0.0) > LATE_SECONDS:
        words = f"{seen.alerts} not told, the oldest for {span(seen.alert_age_seconds or 0.0)}"
        yield Finding("alerts", "warning", words, "does Discord answer? the controller's log tells")


def _configured(settings: Settings) -> Iterator[Finding]:
    """Look at what was set, and at the machine."""
    checks: tuple[tuple[str, Callable[[Settings], Finding | None]], ...] = (
        ("admin token", _admin_token),
        ("metrics token", _metrics_token),
        ("test clock", _test_clock),
        ("data", _room),
        ("payment part", _typeface),
    )
    for subject, check in checks:
        yield check(settings) or Finding(subject, "ok", "as it should be")


def _typeface(settings: Settings) -> Finding | None:
    if settings.invoice_file is None:
        return None
    from jobs.invoices.fonts import ALLOWED, allowed_typeface  # with the typesetter: slow to import

    if allowed_typeface(settings) is not None:
        return None
    allowed = ", ".join(ALLOWED)
    advice = f"`fonts:` in {settings.invoice_file} names a folder with one of {allowed}; SIX allows no other"
    return Finding("payment part", "warning", "set in Source Sans Pro, as none of its typefaces is there", advice)


def _admin_token(settings: Settings) -> Finding | None:
    if not settings.admin_token:
        return Finding(
            "admin token", "warning", "not set here: where it serves so, nobody is an admin", "set FORBEAR_ADMIN_TOKEN"
        )
    return None


def _metrics_token(settings: Settings) -> Finding | None:
    file = settings.metrics_token_file
    if file is None:
        advice = "FORBEAR_METRICS_TOKEN_FILE names a file that holds one"
        return Finding("metrics token", "warning", "not set: nobody may read /metrics", advice)
    try:
        mode = file.stat().st_mode
        empty = not file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return Finding("metrics token", "fault", f"`{file}` cannot be read", "give it to the user that serves")
    if empty:
        return Finding("metrics token", "fault", f"`{file}` is empty", "write a token into it")
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        return Finding("metrics token", "warning", f"everybody may read `{file}`", f"chmod 0640 '{file}'")
    return None


def _test_clock(settings: Settings) -> Finding | None:
    if settings.test_clock:
        return Finding("test clock", "warning", "switched on", "never in production: an admin can move time")
    return None


def _room(settings: Settings) -> Finding | None:
    try:
        free = shutil.disk_usage(settings.data_dir).free
    except OSError:
        return Finding("data", "warning", f"`{settings.data_dir}` is not there", "set FORBEAR_DATA")
    if free < ROOM_BYTES:
        return Finding("data", "fault", f"{free // 1024**2} MiB are free", "backups and uploads fail soon: make room")
    return None


def _show(findings: list[Finding]) -> None:
    subjects = max(len(each.subject) for each in findings)
    for each in findings:
        verdict = f"{each.verdict:<7}"
        verdict = click.style(verdict, fg=SHADES[each.verdict]) if colored() else verdict
        click.echo(f"{verdict}  {each.subject:<{subjects}}  {each.found}")
        if each.advice:
            click.echo(f"{'':<7}  {'':<{subjects}}  {each.advice}")
    wrong = [each for each in findings if each.verdict != "ok"]
    click.echo(f"\n{len(wrong)} of {len(findings)} need a look" if wrong else "\nall is well")
