"""`forbear policy check`: what it prints and how it ends, whatever the folder holds. Run as people run it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.commands import SHIPPED
from engine.load import load_policy

ROOT = Path(__file__).resolve().parents[2]
POLICIES = ROOT / "tests" / "policies"
MISTAKES = POLICIES / "many_mistakes"


def check(*arguments: str, env: dict[str, str] | None = None, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the command and return how it ended."""
    command = [sys.executable, "-m", "forbear", "policy", "check", *arguments]
    everything = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    return subprocess.run(command, cwd=cwd, env=everything, capture_output=True, text=True, check=False, timeout=60)


def test_without_a_folder_the_shipped_policy_is_checked() -> None:
    done = check()
    assert (done.returncode, done.stderr) == (0, "")
    machines = load_policy(SHIPPED).machines
    said = f"policy: no fault; {len(machines)} machines ({', '.join(machines)}), "
    assert done.stdout.startswith(said)
    assert done.stdout.count("\n") == 1
    assert "digest " in done.stdout


def test_the_policy_in_force_elsewhere_is_not_consulted(tmp_path: Path) -> None:
    assert check(env={"FORBEAR_POLICY_DIR": str(MISTAKES)}).returncode == 0
    done = check(cwd=tmp_path)
    assert done.returncode == 0
    assert str(ROOT / "policy") in done.stdout


def test_faults_are_shown_as_the_golden_text_says() -> None:
    done = check("many_mistakes", cwd=POLICIES)
    assert done.returncode == 1
    assert done.stdout == (MISTAKES / "expected.txt").read_text()
    assert done.stderr == ""


def test_json_is_for_programs() -> None:
    done = check(str(MISTAKES), "--format", "json")
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert told["ok"] is False
    assert {"P101", "S202", "M301"} <= {fault["code"] for fault in told["faults"]}
    fine = json.loads(check("--format", "json").stdout)
    assert fine["ok"] is True
    assert len(fine["digest"]) == 64


def test_github_gets_annotations() -> None:
    done = check(str(MISTAKES), "--format", "github")
    assert done.returncode == 1
    assert all(line.startswith("::error file=") for line in done.stdout.splitlines())


def test_overrides_of_the_environment_are_checked_and_count_in_the_digest() -> None:
    done = check(env={"BILLING_SUSPEND_AFTER_HOURS": "1"})
    assert done.returncode == 1
    assert "`BILLING_SUSPEND_AFTER_HOURS` says 1 hours, less than `min: 24h`" in done.stdout
    longer = check(env={"BILLING_SUSPEND_AFTER_HOURS": "200"})
    assert longer.returncode == 0
    assert longer.stdout.split()[-1] != check().stdout.split()[-1]


@pytest.mark.parametrize("form", ["text", "json", "github"])
def test_where_there_is_nothing_to_check_it_ends_with_2(tmp_path: Path, form: str) -> None:
    done = check(str(tmp_path / "nowhere"), "--format", form)
    assert done.returncode == 2
    assert "does not exist" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_unknown_options_end_with_2() -> None:
    assert check("--format", "xml").returncode == 2


def test_a_folder_of_horrors_gives_faults_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "billing.yaml").symlink_to("billing.yaml")
    (tmp_path / "gates.yaml").write_bytes(bytes(range(256)))
    (tmp_path / "intents.yaml").write_bytes(b"x" * 10_000_000)
    (tmp_path / "notices.yaml").mkdir()
    (tmp_path / "permits.yaml").write_text("a: &a [*a, *a]")
    (tmp_path / "standing.yaml").write_text("[" * 100_000)
    (tmp_path / "server.yaml").write_text("\tmachine: server")
    os.mkfifo(tmp_path / "alerts.yaml")
    done = check(str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == ""
    codes = set(re.findall(r"^.*[.]yaml:\d+:\d+: ([PSM]\d{3}) ", done.stdout, flags=re.MULTILINE))
    assert {"P101", "P102", "P103", "P104", "P106", "P116", "S211"} <= codes


def on_a_terminal(env: dict[str, str]) -> str:
    """Run the command with a terminal for its output and return what it printed."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "forbear", "policy", "check", str(MISTAKES)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "TERM": "xterm", **env}, stdout=follower)
    os.close(follower)
    printed = b""
    while True:
        try:
            part = os.read(leader, 65_536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not part:
            break
        printed += part
    os.close(leader)
    assert process.wait(timeout=60) == 1
    return printed.decode()


def test_colours_are_for_terminals_that_want_them() -> None:
    assert "\x1b[31m" in on_a_terminal({"NO_COLOR": ""})
    assert "\x1b" not in on_a_terminal({"NO_COLOR": "1"})
    assert "\x1b" not in on_a_terminal({"TERM": "dumb"})
    assert "\x1b" not in check(str(MISTAKES)).stdout


def test_checking_imports_nothing_heavy() -> None:
    script = (
        "import sys; from forbear import main\n"
        "try: main(['policy', 'check'])\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'sqlalchemy', 'litestar', 'stripe', 'httpx', 'redis', 'rq', 'rich', 'transitions', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
