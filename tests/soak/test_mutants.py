"""Every mutant of the shipped policy is caught by its scenarios or guarantees, or its harmlessness is argued."""

from __future__ import annotations

import pytest

from engine.commands import SHIPPED
from tests.engine.mutation.score import argued, share, table, tried

LEAST_SHARE = 0.95


@pytest.mark.timeout(3600)
def test_a_wrong_policy_is_noticed() -> None:
    results = list(tried(SHIPPED))
    print(table(results))
    assert share(results) >= LEAST_SHARE, table(results)
    survivors = {each.mutant.name: each.mutant.place for each in results if each.fate == "survived"}
    known = argued()
    assert {name: place for name, place in survivors.items() if name not in known} == {}
    assert known.keys() - survivors.keys() == set(), "these are caught by now: take them off the list"
