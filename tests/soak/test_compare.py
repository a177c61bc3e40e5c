"""However the shipped policy is written, it compares as the same. `make test` tries three ways."""

from __future__ import annotations

import pytest

from engine.compare.policies import compare
from engine.load import load_texts
from tests.engine.test_compare import rewritten, shipped, texts

WAYS = 60


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(WAYS))
def test_writing_the_same_policy_otherwise_changes_nothing(seed: int) -> None:
    other = load_texts({name: rewritten(name, seed) for name in texts()})
    assert compare(shipped(), other) == []
