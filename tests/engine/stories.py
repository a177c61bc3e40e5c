"""The scenarios that ship, read once in a process of tests, and only where one of them is played."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from engine.commands import SHIPPED
from engine.scenario.read import FOLDER, Scenario, read_scenarios
from tests.factories import shipped_policy

STORIES = sorted(file.stem for file in (SHIPPED / FOLDER).glob("*.yaml"))


@cache
def shipped_stories() -> dict[str, Scenario]:
    """Return them by the names of their files."""
    return {Path(each.file).stem: each for each in read_scenarios(shipped_policy(), SHIPPED)}
