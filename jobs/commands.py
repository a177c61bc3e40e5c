"""`forbear worker QUEUE` and `forbear controller`: the processes that carry out what was decided."""

from __future__ import annotations

import logging
import os
import signal
import time
from types import FrameType

import click

from jobs.queues import QUEUES
from storage.beside import data_option, settings_beside

FORMS = click.Choice(["text", "json"])
LOG_OPTION = click.option(
    "--log",
    "form",
    type=FORMS,
    envvar="FORBEAR_LOG",
    default="text",
    show_default=True,
    help="One line per thing done.",
)
DATABASE_PAUSE_SECONDS = 1.0

log = logging.getLogger(__name__)


@click.command()
@click.argument("queue", type=click.Choice(QUEUES))
@LOG_OPTION
def worker(queue: str, form: str) -> None:
    """Work one queue: notices and enforcement, commands on servers, or repairs.

    Any number may work the same queue. SIGTERM ends the intent in hand first. FORBEAR_DATABASE_URL and
    FORBEAR_REDIS_URL say where the work is; losing either is waited out.
    """
    from jobs import logs, tasks
    from jobs.context import context_of
    from jobs.worker import work
    from storage.settings import Settings

    logs.set_up("json" if form == "json" else "text")
    context = context_of(Settings.from_env(os.environ), f"worker {queue}")

    def between() -> None:
        while not context.presence.keep():
            time.sleep(DATABASE_PAUSE_SECONDS)

    tasks.current.set(context)
    between()
    logs.say(log, logging.INFO, "at work", queue=queue, process_id=context.presence.process_id)
    try:
        work(queue, context.redis, f"{queue}.{os.uname().nodename}.{os.getpid()}", between)
    finally:
        context.presence.leave()
        context.database.close()


@click.command()
@click.option("--once", is_flag=True, help="One tick, then leave; ends with 1 when another controller leads.")
@click.option("--dry-run", is_flag=True, help="Show what one tick would do, and why; change nothing, lead nobody.")
@click.option(
    "--format",
    "shown_as",
    type=FORMS,
    default="text",
    show_default=True,
    help="How --dry-run shows it: tables or JSON.",
)
@data_option
@LOG_OPTION
def controller(once: bool, dry_run: bool, shown_as: str, form: str) -> int:
    """Lead: decide what is due, hand work out, watch servers and mend them, tell people.

    Any number may run; one leads, and the next takes over when it is gone.
    """
    from jobs import logs
    from jobs.alerts import AlertSender
    from jobs.context import context_of
    from jobs.controller import Controller
    from jobs.discord import Discord
    from jobs.dry_run import show
    from storage.settings import Settings

    if dry_run:
        context = context_of(settings_beside(), "controller --dry-run")
        show(context, shown_as)
        context.database.close()
        return 0
    logs.set_up("json" if form == "json" else "text")
    context = context_of(settings_beside() if once else Settings.from_env(os.environ), "controller")
    discord = Discord(context.settings.discord_urls)
    leader = Controller(context, AlertSender(context.database, discord))

    def stop(signum: int, frame: FrameType | None) -> None:
        leader.stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        if not once:
            leader.run()
            return 0
        led = leader.turn() is not None
        if not led:
            click.echo("another controller leads; nothing was done", err=True)
        leader.stopping.set()
        leader.run()
        return 0 if led else 1
    finally:
        discord.close()
        context.presence.leave()
        context.database.close()
