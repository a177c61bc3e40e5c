"""Every policy under examples/policies is one that a host could deploy today: checked, proved, tested and explained."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.commands import check
from engine.compiled import compiled
from engine.load import load_policy
from engine.model import IntentKind, Policy
from engine.prove.judge import Verdict, judge
from engine.scenario.read import read_scenarios
from engine.scenario.run import run_scenario
from tests.engine.test_differential import disagreements, rules_of

ROOT = Path(__file__).parents[2]
SHIPPED, EXAMPLES = ROOT / "policy", ROOT / "examples" / "policies"
FOLDERS = sorted(folder for folder in EXAMPLES.iterdir() if folder.is_dir())
NAMES = [folder.name for folder in FOLDERS]
SECONDS = {"h": 3600, "d": 86_400}
every_policy = pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)


@cache
def loaded(folder: Path) -> Policy:
    """Return the policy of a folder, as its files say it."""
    return load_policy(folder)


def meanings(policy: Policy) -> dict[tuple[str, str], str]:
    """Return what each rule says, wherever it stands: two that say the same need only one comparison.

    Permits are left out, as neither of the two that are compared asks them.
    """
    found = {}
    for machine, name in rules_of(policy):
        said = repr((policy.machines[machine].ladder, replace(compiled(policy).rules[name].rule, needs=())))
        found[machine, name] = re.sub(r"Place\([^)]*\)", "", said)
    return found


def test_there_are_policies() -> None:
    assert {"gentle", "business_days", "prepaid", "one_ladder_for_disputes"} <= set(NAMES)


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
def test_model_and_executor_agree_on_every_rule_that_does_not_ship(folder: Path) -> None:
    """Those that ship are compared where the policy that ships is."""
    policy = loaded(folder)
    shipped = set(meanings(loaded(SHIPPED)).values())
    total = 0
    for (machine, rule), meaning in meanings(policy).items():
        if meaning not in shipped:
            found, points = disagreements(policy, compiled(policy).rules[rule], policy.machines[machine])
            assert found == []
            total += points
    assert total > 100, "every state, every rule, every region"


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
def test_repairs_and_windows_are_those_that_ship(folder: Path) -> None:
    policy, shipped = loaded(folder), loaded(SHIPPED)
    assert policy.repairs is not None
    assert shipped.repairs is not None
    assert [line.id for line in policy.repairs.lines] == [line.id for line in shipped.repairs.lines]
    assert policy.repairs.maintenance == shipped.repairs.maintenance
    repairs = {name for name, intent in shipped.intents.items() if intent.kind is IntentKind.REPAIR}
    assert repairs | {"withdraw_edge"} <= set(policy.intents)
    assert policy.announce == shipped.announce


@every_policy
def test_it_differs_from_the_policy_that_ships(folder: Path) -> None:
    assert loaded(folder).digest != loaded(SHIPPED).digest
