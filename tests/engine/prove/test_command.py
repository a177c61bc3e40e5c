"""`forbear policy prove`, as it is typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.commands_prove import prove
from engine.commands_simulate import simulate

SHIPPED = Path(__file__).resolve().parents[3] / "policy"
NAME = "no_suspension_without_warning"


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
    assert "12 of 12 guarantees hold" in result.output


def test_a_broken_one_shows_its_timeline_and_how_to_replay_it(broken: Path, tmp_path: Path) -> None:
    saved = tmp_path / "time lines"
    result = run(str(broken), "--only", NAME, "--save", str(saved))
    assert result.exit_code == 1, result.output
    for part in ("broken", "billing.suspend", "billing.yaml:", "day 3, 00:00", f"--timeline '{saved}/{NAME}.yaml'"):
        assert part in result.output
    replayed = CliRunner().invoke(simulate, [str(broken), "--timeline", str(saved / f"{NAME}.yaml")])
    assert replayed.exit_code == 0, replayed.output
    assert "billing: final_warning → suspended" in replayed.output


def test_programs_and_pull_requests_are_told_too(broken: Path) -> None:
    told = json.loads(run(str(broken), "--format", "json").output)
    assert not told["ok"]
    assert [g["verdict"] for g in told["guarantees"] if g["guarantee"] == NAME] == ["broken"]
    annotations = run(str(broken), "--format", "github").output
    assert f"::error file={broken}/guarantees.yaml,line=5::{NAME} broken" in annotations


def test_a_bound_that_was_hit_is_no_success() -> None:
    result = run("--only", NAME, "--max-states", "20")
    assert result.exit_code == 1
    assert "not proven" in result.output


@pytest.mark.parametrize("words", [["--only", "no_such_thing"], ["/no/such/folder"]])
def test_what_cannot_be_run_ends_with_2_and_a_sentence(words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
