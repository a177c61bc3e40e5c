"""Shows what became of scenarios: a tree for people, JSON for programs, annotations for a pull request."""

from __future__ import annotations

import json
from collections.abc import Sequence

from engine.render import escaped
from engine.scenario.coverage import SORTS, Coverage
from engine.scenario.run import Checked, Mismatch, Result
from engine.timeline.text import write_offset, written_instant

_RED, _GREEN, _YELLOW, _BOLD, _DIM, _PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[1m", "\x1b[2m", "\x1b[0m"
_PLURAL = {
    "transition": "transitions", "promise": "promises", "permit": "permits", "gate cell": "gate cells",
    "predicate": "comparisons",
}  # fmt: skip


class Tree:
    """Writes results as a tree: a line for each scenario, and below it what did not come true."""

    def __init__(self, folder: str, *, color: bool, every_item: bool = False) -> None:
        self.folder = folder
        self.every_item = every_item
        names = ("red", "green", "yellow", "bold", "dim", "plain")
        codes = (_RED, _GREEN, _YELLOW, _BOLD, _DIM, _PLAIN)
        self.paint = dict(zip(names, codes if color else ("",) * len(codes), strict=True))

    def write(self, results: Sequence[Result], covered: Coverage | None) -> str:
        """Return the whole tree, with coverage when it was asked for, and one line that sums up."""
        lines = [f"{self._p('bold')}{self.folder}{self._p('plain')}"]
        for number, result in enumerate(results, 1):
            lines += self._result(result, last=number == len(results))
        if covered is not None:
            lines += ["", *self._coverage(covered)]
        return "\n".join([*lines, "", self._sum(results)])

    def _p(self, color: str) -> str:
        return self.paint[color]

    def _result(self, result: Result, *, last: bool) -> list[str]:
        mark, color = ("✓", "green") if result.ok else ("✗", "red")
        file = result.scenario.file
        branch, below = ("└─", "   ") if last else ("├─", "│  ")
        lines = [f"{branch} {self._p(color)}{mark}{self._p('plain')} {result.scenario.title}"]
        if not result.ok:
            lines[0] += f"  {self._p('dim')}{self.folder}/{file}{self._p('plain')}"
        shown = [item for item in result.items if item.mismatches or self.every_item]
        for number, item in enumerate(shown, 1):
            ends = number == len(shown) and result.error is None
            lines += [below + line for line in self._item(result, item, last=ends)]
        if result.error is not None:
            lines.append(f"{below}└─ {self._p('red')}could not go on:{self._p('plain')} {result.error}")
        return lines

    def _item(self, result: Result, item: Checked, *, last: bool) -> list[str]:
        branch, below = ("└─", "   ") if last else ("├─", "│  ")
        mark, color = ("✗", "red") if item.mismatches else ("✓", "green")
        at = write_offset(item.at - result.scenario.timeline.start)
        note = f"  {item.note}" if item.note else ""
        when = f"{self._p('dim')}{written_instant(item.at)}{self._p('plain')}"
        lines = [f"{branch} {self._p(color)}{mark}{self._p('plain')} at {at}  {when}{note}"]
        for mismatch in item.mismatches:
            lines += [below + line for line in self._mismatch(mismatch)]
        return lines

    def _mismatch(self, mismatch: Mismatch) -> list[str]:
        place = f"{self._p('dim')}{self.folder}/{mismatch.place}:{mismatch.place.column}{self._p('plain')}"
        indent = " " * (len(mismatch.key) + 2)
        lines = [
            f"{mismatch.key}: expected {self._p('green')}{mismatch.expected}{self._p('plain')}  {place}",
            f"{indent}found    {self._p('red')}{mismatch.found}{self._p('plain')}",
        ]
        if mismatch.why:
            lines.append(f"{indent}{self._p('dim')}{mismatch.why}{self._p('plain')}")
        return lines

    def _coverage(self, covered: Coverage) -> list[str]:
        lines = [f"{self._p('bold')}coverage{self._p('plain')}"]
        widest = max(len(word) for word in _PLURAL.values())
        for sort in SORTS:
            reached, all_ = covered.share(sort)
            if not all_:
                continue
            color = "green" if reached == all_ else "yellow"
            share = f"{_percent(reached, all_):>4}"
            counts = f"{reached:>5} of {all_}"
            lines.append(f"  {_PLURAL[sort]:<{widest}}  {self._p(color)}{share}{self._p('plain')}  {counts}")
        if covered.missed:
            lines += ["", "not reached by any scenario:"]
            names = max(len(f"{self.folder}/{goal.place}") for goal in covered.missed)
            lines += [f"  {f'{self.folder}/{goal.place}':<{names}}  {goal.sort} {goal.name}" for goal in covered.missed]
        return lines

    def _sum(self, results: Sequence[Result]) -> str:
        failed = sum(1 for result in results if not result.ok)
        items = sum(len(result.items) for result in results)
        word = "scenario" if len(results) == 1 else "scenarios"
        if failed:
            return f"{self._p('red')}{failed} of {len(results)} {word} did not come true{self._p('plain')}"
        return f"{self._p('green')}{len(results)} {word} came true{self._p('plain')}, {items} moments"


def _percent(reached: int, all_: int) -> str:
    """Return the share in whole percent; 100 only when nothing is missing."""
    return f"{100 * reached // all_}%" if all_ else "100%"


def as_json(results: Sequence[Result], covered: Coverage | None) -> str:
    """Return the results as one JSON document."""
    told: dict[str, object] = {
        "ok": all(result.ok for result in results) and not (covered is not None and covered.missed),
        "scenarios": [
            {
                "scenario": result.scenario.title,
                "file": result.scenario.file,
                "ok": result.ok,
                "error": result.error,
                "mismatches": [
                    {
                        "at": written_instant(item.at), "key": each.key, "file": each.place.file,
                        "line": each.place.line, "column": each.place.column, "expected": each.expected,
                        "found": each.found, "why": each.why or None,
                    }
                    for item in result.items
                    for each in item.mismatches
                ],
            }
            for result in results
        ],
    }  # fmt: skip
    if covered is not None:
        told["coverage"] = {
            "sorts": {
                sort: {"reached": covered.share(sort)[0], "of": covered.share(sort)[1]}
                for sort in SORTS
            },
            "missed": [
                {"sort": goal.sort, "name": goal.name, "file": goal.file, "line": goal.line, "column": goal.column}
                for goal in covered.missed
            ],
        }  # fmt: skip
    return json.dumps(told, indent=2, ensure_ascii=False)


def as_github(results: Sequence[Result], covered: Coverage | None, folder: str) -> str:
    """Return workflow commands that annotate a pull request, one a line."""
    lines = []
    for result in results:
        title = escaped(result.scenario.title, ",:")
        if result.error is not None:
            lines.append(f"::error file={folder}/{result.scenario.file},line=1,title={title}::{escaped(result.error)}")
        for item in result.items:
            for each in item.mismatches:
                words = f"{each.key}: expected {each.expected}, found {each.found}" + (
                    f"; {each.why}" if each.why else ""
                )
                at = f"file={folder}/{each.place.file},line={each.place.line},col={each.place.column}"
                lines.append(f"::error {at},title={title}::{escaped(words)}")
    for goal in covered.missed if covered is not None else ():
        at = f"file={folder}/{goal.file},line={goal.line},col={goal.column}"
        lines.append(f"::warning {at},title=not covered::{escaped(f'no scenario reaches {goal.sort} {goal.name}')}")
    if not lines:
        lines.append(f"::notice::{escaped(f'{folder}: {len(results)} scenarios came true')}")
    return "\n".join(lines)
