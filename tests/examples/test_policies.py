"""Every policy under examples/policies is one that a host could deploy today: checked, proved, tested and explained."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.commands import check
from engine.compiled import compiled
from engine.load import load_policy
from engine.model import Policy
from engine.prove.judge import Verdict, judge
from engine.scenario import read_scenarios
from engine.scenario_run import run_scenario
from tests.engine.test_differential import disagreements, rules_of

EXAMPLES = Path(__file__).parents[2] / "examples" / "policies"
FOLDERS = sorted(folder for folder in EXAMPLES.iterdir() if folder.is_dir())
NAMES = [folder.name for folder in FOLDERS]
SECONDS = {"h": 3600, "d": 86_400}
every_policy = pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)


@cache
def loaded(folder: Path) -> Policy:
    """Return the policy of a folder, as its files say it."""
    return load_policy(folder)


def test_there_are_policies() -> None:
    assert {"gentle", "business_days", "prepaid"} <= set(NAMES)


@every_policy
def test_the_command_finds_no_fault(folder: Path) -> None:
    result = CliRunner().invoke(check, [str(folder)])
    assert result.exit_code == 0, result.output
    assert "no fault" in result.output


@every_policy
def test_every_guarantee_holds(folder: Path) -> None:
    policy = loaded(folder)
    judged = {each.name: judge(policy, each, 200_000).verdict for each in policy.guarantees}
    assert judged
    assert set(judged.values()) == {Verdict.HOLDS}, judged


@every_policy
def test_every_scenario_comes_true(folder: Path) -> None:
    policy = loaded(folder)
    results = [run_scenario(policy, scenario) for scenario in read_scenarios(policy, folder)]
    assert len(results) >= 4
    assert [result.scenario.file for result in results if not result.ok] == []


@every_policy
def test_model_and_executor_agree_on_every_rule(folder: Path) -> None:
    policy = loaded(folder)
    total = 0
    for machine, rule in rules_of(policy):
        found, points = disagreements(policy, compiled(policy).rules[rule], policy.machines[machine])
        assert found == []
        total += points
    assert total > 20_000, "every state, every rule, every region"


@every_policy
def test_the_readme_names_the_commands_and_the_numbers_that_the_policy_has(folder: Path) -> None:
    readme = (folder / "README.md").read_text()
    for command in ("check", "prove", "test"):
        assert f"forbear policy {command} examples/policies/{folder.name}\n" in readme
    rows = re.findall(r"(?m)^\| .* \| `(?:([a-z]+)\.)?([a-z_]+)` \| (\d+) ([hd]) \|$", readme)
    assert len(rows) >= 8
    for machine, setting, number, unit in rows:
        value = loaded(folder).machines[machine or "billing"].settings[setting].default
        assert value.total_seconds() == int(number) * SECONDS[unit], setting


@every_policy
def test_an_editor_finds_the_schema_of_every_file(folder: Path) -> None:
    for file in folder.rglob("*.yaml"):
        named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", file.read_text())
        assert named is not None, file
        assert (file.parent / named[1]).is_file(), file


@every_policy
def test_it_differs_from_the_policy_that_ships(folder: Path) -> None:
    assert loaded(folder).digest != load_policy(EXAMPLES.parents[1] / "policy").digest
