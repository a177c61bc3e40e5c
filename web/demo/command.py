"""`forbear demo`: a late customer, from warning to restored, against a live system that it starts and stops itself."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import click
import httpx

from web.demo import back, late
from web.demo.scene import Scene
from web.demo.show import Show
from web.demo.stripe import Stripe
from web.demo.system import DemoFailed, System, polling

Step = tuple[str, Callable[[Scene], None]]

STEPS: tuple[Step, ...] = (
    ("A payment fails", late.payment_fails),
    ("The billing state updates", late.state_updates),
    ("Provisioning is blocked", late.provisioning_is_blocked),
    ("Backups are blocked at the right rung, and not before", late.backups_are_blocked),
    ("The running server is suspended: process gone, data untouched", late.server_is_suspended),
    ("The controller ticks, and does not start it", late.controller_leaves_it_stopped),
    ("The invoice is paid", back.invoice_is_paid),
    ("Access and backups return", back.access_returns),
    ("The server is not started by itself, and can be started by hand", back.nothing_starts_by_itself),
    ("What the customer was told on each rung", back.customer_was_told),
    ("Every event again changes nothing", back.replay_changes_nothing),
    ("`delete_suspended_server` is refused and audited", back.deletion_is_refused),
)


@click.command(epilog="Exit status: 0 when every check held, 1 when one failed, 130 when interrupted.")
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the data in DIR, to look around afterwards with `forbear up --data DIR`.",
)
def demo(keep: Path | None) -> int:
    """Show the whole loop on real parts: PostgreSQL, Redis, workers, a game server. Takes under a minute.

    A payment fails; the account is warned, restricted, suspended and kept; it pays, and everything is given back.
    Nothing is deleted. Everything runs in a folder of its own and is gone afterwards.
    """
    show = Show()
    with _interruptible(), _folder(keep) as data:
        return run(show, data, kept=keep is not None)


def run(show: Show, data: Path, steps: Sequence[Step] = STEPS, *, kept: bool = False) -> int:
    """Play the steps on a system of their own and return the exit status: 1 when any check failed."""
    began = time.monotonic()
    system = System(data)
    show.title("forbear: a late customer, from warning to restored", [])
    try:
        with show.waiting("PostgreSQL, Redis, web, three workers and the controller start"):
            system.start()
        show.note(f"`forbear up` is ready in {system.ready_seconds:.1f} s at {system.url}, on the test clock")
        show.note(f"PostgreSQL, Redis, web, three workers, controller; everything lies in {data}")
        failed = _play(Scene(show, system, Stripe(system.webhook_secret)), steps)
    except DemoFailed as error:
        raise click.ClickException(str(error)) from None
    finally:
        with show.waiting("everything stops"):
            status = system.stop()
            left = _left_behind(system)
    clean = show.check(not left and status == 0, "`forbear up` stopped", _ending(status, left), expected="nothing left")
    seconds = time.monotonic() - began
    ok = not failed and clean
    verdict = f"{len(steps) - len(failed)} of {len(steps)} steps hold, {show.held} checks, {seconds:.0f} s"
    below = [f"step {number} failed: {steps[number - 1][0]}" for number in failed]
    if kept:
        below.append(f"kept: forbear up --data '{data}' --test-clock")
    show.end(verdict, ok, below)
    return 0 if ok else 1


def _play(scene: Scene, steps: Sequence[Step]) -> list[int]:
    """Play every step and return the numbers of those that failed."""
    late.stage(scene)
    if scene.show.failed:
        raise DemoFailed("the stage could not be set")
    failed = []
    for number, (title, step) in enumerate(steps, 1):
        before = scene.show.failed
        scene.show.step(number, title, scene.when)
        try:
            step(scene)
        except (DemoFailed, httpx.HTTPError, LookupError, ValueError, OSError) as error:
            words = str(error).strip() or type(error).__name__
            scene.show.check(False, "the step could not be played to its end", words)
        if scene.show.failed > before:
            failed.append(number)
        if not scene.system.alive:
            raise DemoFailed(f"`forbear up` died in step {number}:\n{scene.system.tail()}")
    return failed


def _left_behind(system: System) -> list[str]:
    left = system.left_behind()
    for _ in polling(3):
        if not left:
            break
        left = system.left_behind()
    return left


def _ending(status: int | None, left: list[str]) -> str:
    if left:
        return f"left behind: {', '.join(left)}"
    return "no process is left behind" if status == 0 else f"with status {status}"


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Give the data directory: a fresh one that is removed afterwards, or one that stays."""
    if keep is not None:
        keep = keep.absolute()
        if keep.exists() and any(keep.iterdir()):
            raise click.UsageError(f"`{keep}` is not empty; give a folder that is, or does not exist yet")
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    home = Path(tempfile.mkdtemp(prefix="forbear-demo-"))
    try:
        yield home / "data"
    finally:
        for _ in polling(5):  # a process that is just ending may write a last file meanwhile
            shutil.rmtree(home, ignore_errors=True)
            if not home.exists():
                break


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the demo as Ctrl-C does, so that nothing is left behind."""

    def interrupt(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    numbers = [signal.SIGTERM] + ([signal.SIGHUP] if sys.platform != "win32" else [])
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
