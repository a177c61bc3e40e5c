"""The demo: it names what fails, prints plainly where there is no terminal, leaves nothing when interrupted."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.acceptance.system import left_behind
from tests.web.site import polling
from web.demo.back import is_clear
from web.demo.command import STEPS, run
from web.demo.scene import Scene, Told
from web.demo.show import Show
from web.demo.stripe import Stripe
from web.demo.system import hashes, is_alive, seal

ROOT = Path(__file__).resolve().parents[2]
TOLD = Told("suspended", "Stopped.", {"what": "Pay", "at": None}, "https://pay", ["Stopped."], ["Your servers"])


@pytest.mark.parametrize(
    ("number", "after"),
    [(signal.SIGINT, "forbear controller"), (signal.SIGTERM, "customer")],
    ids=["the whole system is there", "the first line is there"],
)
def test_an_interrupted_demo_leaves_no_process_and_no_folder(
    tmp_path: Path, number: signal.Signals, after: str
) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "forbear", "demo"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(process.stdout or ()))
    reader.start()
    for _ in polling(60):
        if any(after in line for line in [*said, *left_behind(tmp_path)]):
            break
    process.send_signal(number)
    assert process.wait(60) == 130
    reader.join(10)
    assert not list(tmp_path.glob("forbear-demo-*"))
    for _ in polling(30):
        if not left_behind(tmp_path):
            break
    assert left_behind(tmp_path) == []


def test_a_step_that_fails_or_breaks_is_named_and_ends_the_demo_with_1(tmp_path: Path) -> None:
    def breaks(scene: Scene) -> None:
        scene.must(scene.system.admin.get("/api/admin/accounts/none"), 200)

    def holds(scene: Scene) -> None:
        scene.holds(scene.is_running(), "the server", "runs")

    def fails(scene: Scene) -> None:
        scene.denied("GET", "/api/account", "BILLING_SUSPENDED")

    stream = io.StringIO()
    steps = (("One that breaks", breaks), ("One that holds", holds), ("One that fails", fails))
    assert run(Show(stream), tmp_path / "data", steps) == 1
    printed = stream.getvalue()
    assert "1 of 3 steps hold" in printed
    assert "step 1 failed: One that breaks" in printed
    assert "step 3 failed: One that fails" in printed
    assert "expected 402 BILLING_SUSPENDED" in " ".join(printed.split())
    assert "no process is left behind" in printed
    assert left_behind(tmp_path) == []


def test_the_demo_has_the_twelve_steps_of_the_launch_plan() -> None:
    assert len(STEPS) == 12
    assert all(step.__doc__ and step.__doc__.startswith(f"{number}:") for number, (_, step) in enumerate(STEPS, 1))


def test_a_folder_that_holds_something_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    run = subprocess.run(
        [sys.executable, "-m", "forbear", "demo", "--keep", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 2
    assert "is not empty" in run.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_without_a_terminal_there_are_no_colours_and_no_spinner() -> None:
    stream = io.StringIO()
    show = Show(stream)
    show.title("a demo", ["below"])
    show.step(1, "A step", "now")
    with show.waiting("waiting"):
        show.check(True, "GET /x", "fine", status=200)
    show.check(False, "GET /y", "wrong " * 40, status=500, expected="right")
    show.quote("says", "words " * 60)
    show.end("done", False, ["below"])
    printed = stream.getvalue()
    assert "\x1b" not in printed
    assert "waiting" not in printed
    assert max(len(line) for line in printed.splitlines()) <= 112
    assert re.search(r"GET /x +200 fine", printed)
    assert "expected right" in " ".join(printed.split())
    assert (show.held, show.failed) == (1, 1)


def test_where_the_terminal_has_no_unicode_the_marks_are_plain() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    show = Show(stream)
    show.check(True, "what", "got")
    show.check(False, "what", "got")
    stream.flush()
    assert b"+ what" in stream.buffer.getvalue()
    assert b"x what" in stream.buffer.getvalue()


@pytest.mark.parametrize(
    ("changed", "clear"),
    [
        ({}, True),
        ({"message": ""}, False),
        ({"message": "Kept until {retention_until}."}, False),
        ({"message": "Kept until None."}, False),
        ({"next_step": None}, False),
        ({"pay_url": None}, False),
        ({"announcements": []}, False),
        ({"rung": "active"}, False),
        ({"rung": "active", "next_step": None, "announcements": []}, True),
    ],
)
def test_what_is_told_is_clear_only_when_it_is_complete(changed: dict[str, object], clear: bool) -> None:
    from dataclasses import replace

    assert is_clear(replace(TOLD, **changed)) is clear  # type: ignore[arg-type]


def test_a_signature_of_the_demos_stripe_is_one_that_the_webhook_takes() -> None:
    import time

    from web.webhook import verify

    stripe = Stripe("whsec_x")
    body = stripe.payment_failed(int(time.time()))
    verify(body, stripe.signature(body), ("whsec_x",), time.time())


def test_a_changed_a_new_and_a_missing_file_each_change_the_seal(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = seal(hashes(tmp_path))
    (tmp_path / "a").write_text("2")
    second = seal(hashes(tmp_path))
    (tmp_path / "b").write_text("2")
    third = seal(hashes(tmp_path))
    assert len({first, second, third}) == 3
    assert first.startswith("1 file,")
    assert third.startswith("2 files,")


def test_a_process_that_ended_is_not_alive_even_while_nobody_has_collected_it() -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(process.pid)
    process.wait()
    assert not is_alive(process.pid)
    assert is_alive(os.getpid())
