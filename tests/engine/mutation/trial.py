"""Holds a mutant against a policy's judges: its check, its scenarios, its guarantees. The first to notice ends it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

from engine.builders.policy import build
from engine.faults import Faults, PolicyFaults
from engine.guarantees import AtMostOnce, Guarantee, Never, Reaches
from engine.load import bundle
from engine.model import Policy
from engine.prove.judge import Verdict, judge
from engine.scenario.read import FOLDER, read_scenario
from engine.scenario.run import run_scenario
from engine.shape import check_shapes
from engine.source import parse
from tests.engine.mutation.mutants import Mutant

Fate = Literal["check", "test", "prove", "survived"]
FATES: tuple[Fate, ...] = get_args(Fate)
EXPLORED = (Never, AtMostOnce, Reaches)  # the others are told by a look at the policy, and asked first
MOST_STATES = 20_000  # forty times what the largest guarantee needs; one that is not proven within it notices nothing


class Trial:
    """One policy and its judges. Scenarios that have caught a neighbour of a mutant are asked first."""

    def __init__(self, folder: Path) -> None:
        self.texts = bundle(folder)
        self.scenarios = {path.name: path.read_text("utf-8") for path in sorted((folder / FOLDER).glob("*.yaml"))}
        self.caught_by: dict[str, list[str]] = {}
        faults = Faults()
        parsed = {file: parse(file, text, faults) for file, text in self.texts.items()}
        self.trees = {file: root for file, root in parsed.items() if root is not None}
        check_shapes(self.trees, faults)
        faults.raise_if_any()

    def fate(self, mutant: Mutant) -> tuple[Fate, str]:
        """Return who noticed the mutant first, and what of it: a code, a scenario's file, a guarantee."""
        try:
            policy = self.loaded(mutant.file, mutant.text)
        except PolicyFaults as faults:
            return "check", faults.faults[0].code
        explored = [each for each in policy.guarantees if isinstance(each, EXPLORED)]
        looked = [each for each in policy.guarantees if not isinstance(each, EXPLORED)]
        if (guarantee := _broken(policy, looked)) is not None:
            return "prove", guarantee
        if (scenario := self._failing(policy, mutant)) is not None:
            return "test", scenario
        guarantee = _broken(policy, explored)
        return ("survived", "") if guarantee is None else ("prove", guarantee)

    def loaded(self, file: str, text: str) -> Policy:
        """Return the policy with another text for one file, as `load_texts` does; the others are read only once."""
        faults = Faults()
        root = parse(file, text, faults)
        trees = {name: tree for name, tree in self.trees.items() if name != file}
        if root is not None:
            check_shapes({file: root}, faults)
            trees[file] = root
        return build(trees, {}, faults, frozenset() if root is not None else frozenset({file}))

    def _failing(self, policy: Policy, mutant: Mutant) -> str | None:
        near = self.caught_by.setdefault(mutant.name.rpartition(".")[0], [])
        far = self.caught_by.setdefault(mutant.file, [])
        for name in dict.fromkeys([*near, *far, *self.scenarios]):
            if not self._comes_true(policy, name, self.scenarios):
                for known in (near, far):
                    known[:] = [name, *(other for other in known if other != name)]
                return name
        return None

    @staticmethod
    def _comes_true(policy: Policy, name: str, scenarios: Mapping[str, str]) -> bool:
        try:
            scenario = read_scenario(policy, f"{FOLDER}/{name}", scenarios[name])
        except PolicyFaults:
            return False
        return run_scenario(policy, scenario).ok


def _broken(policy: Policy, guarantees: Iterable[Guarantee]) -> str | None:
    """Return the first guarantee that the policy breaks."""
    verdicts = ((each.name, judge(policy, each, MOST_STATES).verdict) for each in guarantees)
    return next((name for name, verdict in verdicts if verdict is Verdict.BROKEN), None)
