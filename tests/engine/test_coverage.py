"""Coverage: the shipped policy is reached wholly, and what is taken away is missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.scenario.coverage import SORTS, Sort, coverage
from engine.scenario.read import read_scenario
from engine.scenario.run import Result, run_scenario
from tests.engine.stories import shipped_stories
from tests.factories import shipped_policy


@pytest.fixture(scope="module")
def results() -> list[Result]:
    """Return what becomes of every shipped scenario."""
    return [run_scenario(shipped_policy(), each) for each in shipped_stories().values()]


@pytest.mark.parametrize("sort", SORTS)
def test_shipped_scenarios_reach_everything(results: list[Result], sort: Sort) -> None:
    covered = coverage(shipped_policy(), results)
    reached, of = covered.share(sort)
    assert [goal.name for goal in covered.missed if goal.sort == sort] == []
    assert reached == of > 0


@pytest.mark.parametrize(
    ("without", "missed"),
    [
        ("abuse_is_not_freed_by_payment", "abuse.stop from restricted"),
        ("suspended_for_long", "billing.warn_retention from suspended"),
        ("gates_by_state", "files.revert on servers retained"),
        ("gates_by_state", "backups.create by admin"),
        ("plan_limits", "instance.create denied PLAN_LIMIT_REACHED"),
    ],
)
def test_what_only_one_scenario_reaches_is_missed_without_it(results: list[Result], without: str, missed: str) -> None:
    others = [result for result in results if Path(result.scenario.file).stem != without]
    assert missed in {goal.name for goal in coverage(shipped_policy(), others).missed}


def test_nothing_is_reached_by_an_account_to_which_nothing_happens() -> None:
    idle = read_scenario(shipped_policy(), "scenarios/idle.yaml", "timeline:\n  - {at: 0h}\n")
    covered = coverage(shipped_policy(), [run_scenario(shipped_policy(), idle)])
    assert {goal.sort for goal in covered.reached} == {"predicate"}
    assert covered.share("transition")[0] == 0


def test_one_truth_of_a_comparison_does_not_count_for_the_other() -> None:
    idle = read_scenario(shipped_policy(), "scenarios/idle.yaml", "timeline:\n  - {at: 0h}\n")
    covered = coverage(shipped_policy(), [run_scenario(shipped_policy(), idle)])
    names = {goal.name.partition(" ")[2] for goal in covered.missed if goal.sort == "predicate"}
    assert "overdue_invoices gt 0 is true" in names
    assert "overdue_invoices gt 0 is false" not in names
