"""The `forbear` command: quick to list, loaded when run, and never a traceback for whoever types."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

import forbear

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("sqlalchemy", "alembic", "psycopg", "litestar", "uvicorn", "stripe", "rq", "redis", "httpx", "rich")
ALL_COMMANDS = [*forbear.COMMANDS, *(command for grafted in forbear.GRAFTS.values() for command in grafted)]

# A front door with one more command, whose faults are the test's own.
DOOR_WITH_FAULTS = """
import sys, types, click, forbear
rooms = types.ModuleType("rooms")
@click.command()
@click.argument("what")
def faulty(what):
    if what == "unexpected": raise KeyError("missing")
    if what == "disk": open("/no/such/file")
    if what == "interrupt": raise KeyboardInterrupt
    if what == "package": import no_such_package
    if what == "own": raise Own("the folder `x` is gone; make it again")
    if what == "redis":
        import redis
        redis.Redis(port=1).ping()
    if what == "database":
        import psycopg
        psycopg.connect("postgresql://u:hunter2@127.0.0.1:1/d")
    if what == "status": click.get_current_context().exit(1)
    if what == "wait":
        import time
        print("waiting", flush=True)
        time.sleep(60)
class Own(Exception): pass
Own.__module__ = "storage.errors"
rooms.faulty = faulty
sys.modules["rooms"] = rooms
forbear.cli.add_command(forbear.Deferred("faulty", "rooms:faulty", "Fails."))
forbear.main()
"""


def run(*arguments: str, code: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(["-c", code] if code else ["-m", "forbear"]), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=os.environ | environment, timeout=60, check=False
    )


def test_help_shows_every_command_and_examples() -> None:
    outcome = run("--help")
    assert outcome.returncode == 0
    for command in forbear.COMMANDS:
        assert f"\n  {command.name} " in outcome.stdout
    assert "forbear policy check" in outcome.stdout


def test_without_arguments_it_helps() -> None:
    outcome = run()
    assert "Commands:" in outcome.stdout + outcome.stderr


def test_version_is_the_packages() -> None:
    outcome = run("--version")
    assert outcome.stdout.split()[0] == "forbear"
    assert outcome.stdout.split()[1][0].isdigit()


@pytest.mark.parametrize("arguments", [["--help"], ["policy", "--help"], ["policy", "check", "--help"]])
def test_listing_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys, forbear\n"
        "try: forbear.main()\n"
        f"finally: print('heavy:', sorted(name for name in {HEAVY!r} if name in sys.modules))"
    )
    outcome = run(*arguments, code=code)
    assert outcome.returncode == 0, outcome.stderr
    assert "heavy: []" in outcome.stdout


@pytest.mark.parametrize("command", ALL_COMMANDS, ids=lambda command: command.target)
def test_every_command_can_be_loaded(command: forbear.Deferred) -> None:
    assert isinstance(command.load(), click.Command)
    assert command.short_help


def test_a_grafted_command_appears_in_its_group() -> None:
    assert "deploy" in run("policy", "--help").stdout


@pytest.mark.parametrize(
    ("what", "status", "words"),
    [
        ("unexpected", 2, ["KeyError", "missing", "FORBEAR_DEBUG=1"]),
        ("disk", 2, ["no such file", "`/no/such/file`"]),
        ("interrupt", 130, ["interrupted"]),
        ("package", 2, ["`no_such_package` is not installed", "make setup"]),
        ("own", 2, ["forbear: the folder `x` is gone; make it again"]),
        ("redis", 2, ["FORBEAR_REDIS_URL"]),
        ("database", 2, ["FORBEAR_DATABASE_URL"]),
        ("status", 1, []),
    ],
)
def test_a_failure_is_one_sentence_and_a_status(what: str, status: int, words: list[str]) -> None:
    outcome = run("faulty", what, code=DOOR_WITH_FAULTS)
    assert outcome.returncode == status
    assert len(outcome.stderr.strip().splitlines()) <= 1
    for word in words:
        assert word in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert "hunter2" not in outcome.stderr


def test_debugging_shows_the_traceback() -> None:
    outcome = run("faulty", "unexpected", code=DOOR_WITH_FAULTS, FORBEAR_DEBUG="1")
    assert outcome.returncode == 2
    assert "Traceback" in outcome.stderr


def test_a_signal_from_the_terminal_ends_it_quietly() -> None:
    command = [sys.executable, "-c", DOOR_WITH_FAULTS, "faulty", "wait"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_reader_that_goes_away_is_no_failure_to_tell() -> None:
    command = [sys.executable, "-m", "forbear", "--help"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.wait(30)


def test_a_caller_that_has_closed_the_output_makes_no_failure() -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "forbear", "--version"]
    outcome = subprocess.run(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=60, check=False)
    assert (outcome.returncode, outcome.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-command"], "No such command"),
        (["up", "--port", "0"], "--port"),
        (["up", "--port", "many"], "--port"),
        (["--no-such-option"], "No such option"),
    ],
)
def test_a_mistyped_command_is_explained(arguments: list[str], words: str) -> None:
    outcome = run(*arguments)
    assert outcome.returncode == 2
    assert words in outcome.stderr
