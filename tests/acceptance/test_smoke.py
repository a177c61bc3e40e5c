"""`forbear smoke` on a running system: it holds when all is well, fails loudly when not, and leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.system import ADMIN, ROOT, System, free_port
from web.smoke.command import Evidence, run
from web.smoke.scene import Scene, Site
from web.smoke.security import nothing_secret_is_shown, stage


def smoke(system: System, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command against the system."""
    command = [sys.executable, "-m", "forbear", "smoke", "--url", system.url, "--data", str(system.data), *options]
    return subprocess.run(
        command, cwd=ROOT, env=system.env | environment, capture_output=True, text=True, timeout=110, check=False
    )


def servers(system: System) -> list[dict[str, Any]]:
    """Return every server that the smoke test made."""
    return [each for account in accounts(system) for each in account["servers"]]


def accounts(system: System) -> list[dict[str, Any]]:
    """Return the accounts that the smoke test made."""
    return [each for each in system.admin.get("/api/admin/accounts").json() if "smoke" in str(each)]


def worker(system: System, queue: str) -> int:
    """Return the process id of the worker of a queue."""
    for entry in Path("/proc").glob("[0-9]*"):
        if f"forbear worker {queue} of {system.data}" in (entry / "cmdline").read_text():
            return int(entry.name)
    raise AssertionError(f"no worker of {queue} runs")


def test_it_holds_on_a_system_that_works_and_leaves_no_server(system: System) -> None:
    backups = set((system.data / "backups").rglob("*.tar.gz"))  # of others
    outcome = smoke(system, "--format", "json")
    told = json.loads(outcome.stdout)
    assert [each for each in told["steps"] if not each["ok"]] == []
    assert (outcome.returncode, told["ok"], outcome.stderr) == (0, True, "")
    assert {"a game server", "a dev server", "security"} <= {each["of"] for each in told["steps"]}
    assert all(each["checks"] for each in told["steps"]), "each step shows evidence"
    assert not any("cannot be seen" in note for each in told["steps"] for note in each["notes"])
    assert ADMIN not in outcome.stdout
    assert servers(system) == []
    assert set((system.data / "backups").rglob("*.tar.gz")) == backups


def test_a_secret_that_is_shown_is_found_and_the_server_is_still_taken_away(system: System) -> None:
    def planted(scene: Scene) -> None:
        stage(scene)
        scene.site.secrets["a planted secret"] = scene.made[0].name  # which the account's page shows

    show, site = Evidence(quiet=True), Site(system.url, system.data, ADMIN, 30)
    assert not run(show, site, (("security", (("a server", planted), ("a look", nothing_secret_is_shown))),))
    site.close()
    (failed,) = [each for each in show.steps if not each.ok]
    assert failed.step == "a look"
    assert len(accounts(system)) == 1, "the account of the run before is used again"
    assert "a planted secret" in str([each for each in failed.checks if not each["ok"]])
    assert servers(system) == []


def test_a_worker_that_stands_still_fails_every_life_and_names_what_to_do(system: System) -> None:
    stopped = worker(system, "provisioning")
    os.kill(stopped, signal.SIGSTOP)
    try:
        outcome = smoke(system, "--wait", "2")
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert outcome.returncode == 1
    printed = " ".join(outcome.stdout.split())
    for life in ("a game server: it is made", "a dev server: it is made", "security: a server is made"):
        assert f"failed: {life}" in printed
    assert "is a worker at work? `forbear doctor` tells" in printed
    assert "not played without it: `it runs, and takes players`" in printed
    assert "left as" in printed, "what could not be taken away is named"
    assert "Traceback" not in outcome.stdout + outcome.stderr
    assert len(servers(system)) == 3
    show, site = Evidence(quiet=True), Site(system.url, system.data, ADMIN, 30)
    assert run(show, site, ()), "the next run takes away what this one could not"
    site.close()
    assert servers(system) == []


@pytest.mark.parametrize(
    ("options", "environment", "words"),
    [
        (["--url", f"http://127.0.0.1:{free_port()}"], {}, "nobody answers"),
        ([], {"FORBEAR_ADMIN_TOKEN": "wrong"}, "does not know this admin token"),
        (["--data", "/no/such/folder"], {"FORBEAR_ADMIN_TOKEN": ""}, "there is no admin token"),
        (["--url", "https://forbear.invalid"], {"FORBEAR_ADMIN_TOKEN": ""}, "set FORBEAR_ADMIN_TOKEN to that system's"),
    ],
)
def test_without_a_system_or_the_right_to_look_it_ends_with_2(
    system: System, options: list[str], environment: dict[str, str], words: str
) -> None:
    outcome = smoke(system, *options, **environment)
    assert outcome.returncode == 2
    assert words in outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) <= 4
