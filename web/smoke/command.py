"""`forbear smoke`: does a running system do its work? One customer's life on it over HTTP, with evidence; cleans up."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click
import httpx

from web.demo.show import Show
from web.demo.system import DemoFailed
from web.smoke import dev, game, security
from web.smoke.scene import NoSystem, Scene, Site, is_here

Step = tuple[str, Callable[[Scene], None]]
TROUBLE = (DemoFailed, httpx.HTTPError, LookupError, ValueError, OSError)

# Each begins with a server of its own, so one that fails does not keep the others from being looked at.
LIVES: tuple[tuple[str, Sequence[Step]], ...] = (
    ("a game server", game.STEPS),
    ("a dev server", dev.STEPS),
    ("security", security.STEPS),
)


@dataclass(slots=True)
class Played:
    """One step, and what it showed."""

    life: str
    step: str
    ok: bool = True
    checks: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Evidence(Show):
    """Shows the steps as the demo does, and keeps them for who reads JSON."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(io.StringIO() if quiet else None)
        self.life = ""
        self.steps: list[Played] = []

    def step(self, number: int | None, words: str, when: str = "") -> None:
        """Begin a step."""
        super().step(number, f"{self.life}: {words}" if number else words, when)
        self.steps.append(Played(self.life, words))

    def check(self, ok: bool, what: str, got: str, *, status: int | None = None, expected: str = "") -> bool:
        """Show one check, and keep it."""
        if self.steps:
            kept = {"ok": ok, "what": what, "got": got, "status": status, "expected": expected or None}
            self.steps[-1].checks.append(kept)
            self.steps[-1].ok &= ok
        return super().check(ok, what, got, status=status, expected=expected)

    def note(self, words: str) -> None:
        """Show an aside, and keep it."""
        if self.steps:
            self.steps[-1].notes.append(words)
        super().note(words)


@click.command(
    epilog="Exit status: 0 when every step held, 1 when one failed or something was left, 2 when there is no system "
    "to look at, 130 when interrupted."
)
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="Where the system serves.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".forbear"),
    show_default=True,
    help="The data of a `forbear up` on this machine, for its admin token, its zone file and its databases' doors.",
)
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(1, 3_600),
    default=60.0,
    show_default=True,
    help="How many seconds each thing may take that a worker has to do.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to show it.")
def smoke(url: str, data: Path, wait_seconds: float, form: str) -> int:
    """Show that a running system works: servers, console, files, backups, the edge, and what must be refused.

    Makes a customer, an account and three servers of its own, and takes servers and backups away again whatever
    fails; the account is kept in --data for the next run. It touches nobody else's. The admin token is that of
    FORBEAR_ADMIN_TOKEN, else the one that `forbear up` made in --data, which is told to this machine alone.

    \b
    Examples:
      forbear smoke                                  the `forbear up` of this folder
      forbear smoke --url https://host.example       another machine's, with FORBEAR_ADMIN_TOKEN
      forbear smoke --format json                    for a monitor
    """
    show = Evidence(quiet=form == "json")
    site = Site(url.rstrip("/"), data.absolute(), admin_token(url, data), wait_seconds)
    try:
        ok = run(show, site)
    except NoSystem as error:
        click.echo(f"forbear smoke: {error}", err=True)
        return 2
    finally:
        site.close()
    if form == "json":
        steps = [
            {"of": each.life, "step": each.step, "ok": each.ok, "checks": each.checks, "notes": each.notes}
            for each in show.steps
        ]
        click.echo(json.dumps({"ok": ok, "url": url, "steps": steps}, indent=2))
    return 0 if ok else 1


def admin_token(url: str, data: Path) -> str:
    """Return the admin token of the environment, else, for this machine alone, the one that a `forbear up` made."""
    if given := os.environ.get("FORBEAR_ADMIN_TOKEN", "").strip():
        return given
    if not is_here(url):
        raise click.UsageError(f"there is no admin token for `{url}`; set FORBEAR_ADMIN_TOKEN to that system's own")
    file = data / "secrets" / "forbear_admin_token"
    try:
        return file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise click.UsageError(
            f"there is no admin token: FORBEAR_ADMIN_TOKEN is not set, and `{file}` is not there; "
            "set it, or name the data of a `forbear up` with --data"
        ) from None
    except OSError as error:
        reason = (error.strerror or "input failed").lower()
        raise click.UsageError(f"`{file}` cannot be read: {reason}; run this as who runs `forbear up`") from None


def run(show: Evidence, site: Site, lives: Sequence[tuple[str, Sequence[Step]]] = LIVES) -> bool:
    """Play every life and take away what it made; tell whether everything held. Raises NoSystem."""
    began = time.monotonic()
    show.title(f"forbear smoke: {site.url}", [])
    scene = Scene(show, site)
    scene.look_first()
    try:
        show.life = "the stage"
        show.step(None, "The stage: an owner with an account, and a stranger")
        whole = _guarded(scene, scene.set_up) and _play_all(show, scene, lives)
    finally:
        show.life = "cleaning up"
        show.step(None, "What was made is taken away")
        _guarded(scene, scene.clean_up)
    failed = [each for each in show.steps if not each.ok]
    ok = whole and not failed
    seconds = time.monotonic() - began
    verdict = f"{len(show.steps) - len(failed)} of {len(show.steps)} steps hold, {show.held} checks, {seconds:.0f} s"
    show.end(verdict, ok, [f"failed: {each.life}: {each.step}" for each in failed])
    return ok


def _play_all(show: Evidence, scene: Scene, lives: Sequence[tuple[str, Sequence[Step]]]) -> bool:
    """Play the lives one after the other. One ends at a step that cannot be played: those after it stand on it."""
    whole, first = True, 1
    for life, steps in lives:
        show.life = life
        for index, (title, step) in enumerate(steps):
            show.step(first + index, title)
            if _guarded(scene, partial(step, scene)):
                continue
            whole = False
            if skipped := [f"`{title}`" for title, _ in steps[index + 1 :]]:
                show.note(f"not played without it: {', '.join(skipped)}")
            break
        first += len(steps)
    return whole


def _guarded(scene: Scene, work: Callable[[], None]) -> bool:
    """Do it; what cannot be done to its end is a check that failed, and never a traceback."""
    try:
        work()
    except TROUBLE as error:
        words = str(error).strip() or type(error).__name__
        scene.show.check(False, "the step could not be played to its end", words)
        return False
    return True
