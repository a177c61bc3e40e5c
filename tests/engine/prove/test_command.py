"""`forbear policy prove`, as it is typed."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.commands.prove import prove
from engine.commands.simulate import simulate

SHIPPED = Path(__file__).resolve().parents[3] / "policy"
NAME = "no_suspension_without_warning"
PROGRESS = "debts_get_to_an_end"
FINAL = "send_final_warning"


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A policy that promises more than it keeps, in a folder with a space."""
    folder = tmp_path / "a policy"
    shutil.copytree(SHIPPED, folder, ignore=shutil.ignore_patterns("schema", "scenarios"))
    text = (folder / "guarantees.yaml").read_text("utf-8")
    old = "send_final_warning,   at_least: notice_before_suspension"
    assert old in text
    (folder / "guarantees.yaml").write_text(text.replace(old, "send_final_warning, at_least: 72h"), "utf-8")
    return folder


def run(*words: str) -> Result:
    return CliRunner().invoke(prove, list(words))


def test_the_shipped_policy_is_proved() -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert "25 of 25 guarantees hold" in result.output


def test_a_broken_one_shows_its_timeline_and_how_to_replay_it(broken: Path, tmp_path: Path) -> None:
    saved = tmp_path / "time lines"
    result = run(str(broken), "--only", NAME, "--save", str(saved))
    assert result.exit_code == 1, result.output
    for part in ("broken", "billing.suspend", "billing.yaml:", "day 3, 00:00", f"--timeline '{saved}/{NAME}.yaml'"):
        assert part in result.output
    replayed = CliRunner().invoke(simulate, [str(broken), "--timeline", str(saved / f"{NAME}.yaml")])
    assert replayed.exit_code == 0, replayed.output
    assert "billing: final_warning → suspended" in replayed.output


def test_a_timeline_fits_a_narrow_terminal_and_says_what_happens_to_what_is_known(broken: Path) -> None:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(prove, [str(broken), "--only", NAME])
    told = result.output.partition("replay it:")[0].splitlines()
    assert [line for line in told if len(line) > 80 and str(broken) not in line] == []
    said = " ".join(result.output.split())
    assert f"`billing.suspended` is entered less than 3d after `{FINAL}` was delivered" in said
    assert "knowing overdue_invoices 0, subscription past_due, exempt false, past_due_since 2d before day 0" in said
    assert f"{FINAL} is delivered" in said
    assert "and at once billing.block_backups" in said
    assert "24 of 25 guarantees hold; 1 broken" in run(str(broken)).output


def test_the_commands_that_are_shown_replay_it(broken: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run(str(broken), "--only", NAME).output.partition("replay it:\n")[2].splitlines()[:2]
    first, second = (shlex.split(line)[3:] for line in shown)
    assert run(*first).exit_code == 1
    replayed = CliRunner().invoke(simulate, second)
    assert replayed.exit_code == 0, replayed.output
    assert "billing: final_warning → suspended" in replayed.output


def test_programs_are_told_the_same(broken: Path) -> None:
    told = json.loads(run(str(broken), "--format", "json").output)
    assert not told["ok"]
    (found,) = [each for each in told["guarantees"] if each["verdict"] != "holds"]
    assert (found["guarantee"], found["promisedAt"], found["place"]) == (NAME, "guarantees.yaml:5", "billing.yaml:76")
    last = found["timeline"][-1]
    assert (last["names"], last["states"], last["atSeconds"]) == (
        ["billing.suspend"],
        {"billing": "suspended"},
        259_200,
    )
    assert last["facts"]["past_due_since"] == "2d before day 0"


def test_a_pull_request_is_told_in_one_annotation_each(broken: Path) -> None:
    lines = run(str(broken), "--format", "github").output.splitlines()
    assert len(lines) == 25
    (error,) = [line for line in lines if line.startswith("::error")]
    assert error.startswith(f"::error file={broken}/guarantees.yaml,line=5::{NAME} broken: ")
    assert "%0A  day 3, 00:00  billing.suspend → billing.suspended" in error


def test_what_is_taken_for_granted_is_said() -> None:
    assert "every permit is given in the end and every hold ends" in run("--only", PROGRESS).output
    (found,) = json.loads(run("--only", PROGRESS, "--format", "json").output)["guarantees"]
    assert "people send no command" in found["assumes"]
    assert "in the end" not in run("--only", NAME).output


@pytest.mark.parametrize("name", [NAME, PROGRESS, "payment_wins", "one_notice_per_round"])
def test_a_bound_that_was_hit_is_no_success(name: str) -> None:
    result = run("--only", name, "--max-states", "20")
    assert result.exit_code == 1
    assert result.output.startswith("not proven")
    assert "stopped at 20 states" in result.output
    assert "0 of 1 guarantees hold; 1 not proven" in result.output
    (annotation,) = run("--only", name, "--max-states", "20", "--format", "github").output.splitlines()
    assert annotation.startswith("::warning")
    (found,) = json.loads(run("--only", name, "--max-states", "20", "--format", "json").output)["guarantees"]
    assert found["verdict"] == "not proven"


@pytest.mark.parametrize("words", [["--only", "no_such_thing"], ["/no/such/folder"]])
def test_what_cannot_be_run_ends_with_2_and_a_sentence(words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
