"""Draws a machine as an SVG picture of its own layout: rungs from free to severe, and every rule as an arrow.

Steps to the next rung stand between the boxes, with all they take. Every other rule is a lane beside the boxes, with a
dot at each state that it leaves; what it takes is told below. Readable on light and dark pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from engine.draw import details, grade_of, server_words
from engine.model import Machine, Rule, RuleKind

BOX, LINE, LANE = 390, 16, 30
MARGIN, TOP = 28, 84
CHARACTER = 6.6  # of the 12 pixel text, about
LEAST_GAP = 34
LEGEND_WORDS = 150

STYLE = """
  .page { fill: #ffffff } text { font: 12px ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
  .title { font-size: 17px; font-weight: 600 } .ink { fill: #1f2933 } .soft { fill: #55626e } .name { font-weight: 600 }
  .lane { stroke: #ffffff; stroke-width: 4; paint-order: stroke }
  .state { font-size: 14px; font-weight: 600 }
  .pressure { stroke: #b0452f; fill: none; stroke-width: 2 } .relief { stroke: #1f7a55; fill: none; stroke-width: 2 }
  .move { stroke: #3a6ea5; fill: none; stroke-width: 1.6 }
  .mark { stroke: #b0452f; fill: none; stroke-width: 1.4; stroke-dasharray: 4 3 }
  .pressure-head { fill: #b0452f } .relief-head { fill: #1f7a55 } .move-head { fill: #3a6ea5 }
  .allowed { fill: #d8eee3; stroke: #2c7a57 } .backup_blocked { fill: #fbe9bf; stroke: #a87713 }
  .suspended_shutdown { fill: #f6cfc5; stroke: #b0452f } .retained { fill: #e6d0e0; stroke: #85477a }
  .plain { fill: #e3ebf3; stroke: #4a6b8a }
  @media (prefers-color-scheme: dark) {
    .page { fill: #14191e } .ink { fill: #e6ebf0 } .soft { fill: #a3b0bc } .lane { stroke: #14191e }
    .pressure, .mark { stroke: #f0917b } .relief { stroke: #5fcf9f } .move { stroke: #82b5ea }
    .pressure-head { fill: #f0917b } .relief-head { fill: #5fcf9f } .move-head { fill: #82b5ea }
    .allowed { fill: #1d4434; stroke: #5fcf9f } .backup_blocked { fill: #54431a; stroke: #e0b056 }
    .suspended_shutdown { fill: #5e2b20; stroke: #f0917b } .retained { fill: #4b2a42; stroke: #d390c4 }
    .plain { fill: #263848; stroke: #82b5ea }
  }
"""


def svg(machine: Machine) -> str:
    """Return the picture of a machine as a whole SVG document."""
    return _Drawing(machine).draw()


@dataclass(frozen=True, slots=True)
class _Lane:
    rule: Rule
    rows: tuple[int, ...]  # of the states that it leaves
    to: int

    @property
    def top(self) -> int:
        return min(*self.rows, self.to)

    @property
    def bottom(self) -> int:
        return max(*self.rows, self.to)


class _Drawing:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.row = {state: at for at, state in enumerate(machine.ladder)}
        self.steps: dict[int, list[Rule]] = {}  # between a row and the next
        self.marks: dict[int, list[Rule]] = {}
        up: list[_Lane] = []
        down: list[_Lane] = []
        for rule in machine.rules:
            rows = tuple(sorted(self.row[state] for state in rule.sources))
            if rule.mark is not None or rule.to is None:
                self.marks.setdefault(rows[0], []).append(rule)
            elif len(rows) == 1 and self.row[rule.to] == rows[0] + 1:
                self.steps.setdefault(rows[0], []).append(rule)
            else:
                lane = _Lane(rule, rows, self.row[rule.to])
                (up if lane.to < rows[0] or machine.of == "account" else down).append(lane)
        self.y: list[float] = []
        self.height: list[float] = []
        self._place()
        self.left, self.right = self._packed(up), self._packed(down)
        self.x = MARGIN + LANE * len(self.left) + 14
        self.words_x = self.x + BOX + LANE * len(self.right) + 26
        self.parts: list[str] = []

    def _place(self) -> None:
        """Give each state its row: below it there is room for what its steps and marks take."""
        y = float(TOP)
        for at, state in enumerate(self.machine.ladder):
            height = 34 + LINE * len(server_words(self.machine, state))
            self.y.append(y)
            self.height.append(height)
            beside = sum(LINE * (1 + len(details(rule))) + 8 for rule in self.marks.get(at, ()))
            below = sum(LINE * (1 + len(details(rule))) + 8 for rule in self.steps.get(at, ()))
            y += max(height, beside) + max(LEAST_GAP, below + 14)
        self.bottom = y

    def _packed(self, lanes: Sequence[_Lane]) -> list[list[_Lane]]:
        """Return lanes in as few columns as there can be, the shortest nearest to the boxes."""
        columns: list[list[_Lane]] = []
        for lane in sorted(lanes, key=lambda each: (each.bottom - each.top, each.top)):
            free = next((c for c in columns if all(not self._meet(lane, other) for other in c)), None)
            if free is None:
                columns.append([lane])
            else:
                free.append(lane)
        return columns

    def _meet(self, one: _Lane, two: _Lane) -> bool:
        (top, bottom), (other_top, other_bottom) = self._extent(one), self._extent(two)
        return top < other_bottom and other_top < bottom

    def _extent(self, lane: _Lane) -> tuple[float, float]:
        top, bottom = self._middle(lane.top) - 10, self._middle(lane.bottom) + 10
        short = (len(lane.rule.id) * CHARACTER + 12 - (bottom - top)) / 2
        return (top - short, bottom + short) if short > 0 else (top, bottom)

    def _middle(self, row: int) -> float:
        return self.y[row] + self.height[row] / 2

    # ---- drawing -----------------------------------------------------------------------------------------------------

    def draw(self) -> str:
        """Draw boxes, steps, marks and lanes, then what the lanes take, then the frame."""
        for number, lanes in enumerate(self.left):
            for lane in lanes:
                self._lane(lane, self.x - 18 - LANE * number, self.x, -1)
        for number, lanes in enumerate(self.right):
            for lane in lanes:
                self._lane(lane, self.x + BOX + 18 + LANE * number, self.x + BOX, 1)
        for at, state in enumerate(self.machine.ladder):
            self._state(at, state)
            self._steps(at)
            self._marks(at)
        y = self._legend(self.bottom + 6)
        longest = max((len(line) for rule in self.machine.rules for line in (rule.id, *details(rule))), default=0)
        widest = max((len(_line(lane.rule)) for lane in self._lanes()), default=0)
        width = max(self.words_x + 40 + longest * CHARACTER, MARGIN * 2 + min(widest, LEGEND_WORDS) * CHARACTER, 520)
        name = f"The machine {self.machine.name}"
        size = f'viewBox="0 0 {width:.0f} {y:.0f}" width="{width:.0f}" height="{y:.0f}"'
        head = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{_safe(name)}">',
            f"<title>{_safe(name)}</title><style>{STYLE}</style>",
            f'<rect class="page" width="{width:.0f}" height="{y:.0f}"/>',
            self._text(MARGIN, 36, self.machine.name, "ink title"),
            self._text(MARGIN, 58, self._subtitle(), "soft"),
        ]
        return "\n".join([*head, *self.parts, "</svg>"]) + "\n"

    def _subtitle(self) -> str:
        if self.machine.of != "account":
            return f"the life of one {self.machine.of}; begins in {self.machine.initial}"
        return f"begins in {self.machine.initial}; red climbs by time or event, green relieves, dashed sets a mark"

    def _state(self, at: int, state: str) -> None:
        x, y, height = self.x, self.y[at], self.height[at]
        grade = grade_of(self.machine, state)
        self.parts.append(f'<rect class="{grade}" x="{x}" y="{y}" width="{BOX}" height="{height}" rx="9"/>')
        self.parts.append(self._text(x + 14, y + 22, state, "ink state"))
        for number, line in enumerate(server_words(self.machine, state), 1):
            shown = _cut(line, int((BOX - 28) / CHARACTER))
            self.parts.append(self._text(x + 14, y + 22 + LINE * number, shown, "soft"))

    def _steps(self, at: int) -> None:
        rules = self.steps.get(at, [])
        if not rules:
            return
        x, top, bottom = self.x + BOX / 2, self.y[at] + self.height[at], self.y[at + 1]
        kind = _kind(rules[0])
        self.parts.append(f'<path class="{kind}" d="M{x} {top} V{bottom - 8}"/>')
        self.parts.append(_head(x, bottom, 0, 1, kind))
        room = sum(LINE * (1 + len(details(rule))) + 8 for rule in rules)
        y = bottom - room - 2
        for rule in rules:
            y = self._told(rule, x + 14, y)

    def _marks(self, at: int) -> None:
        y = self.y[at]
        for rule in self.marks.get(at, []):
            also = [state for state in rule.sources if self.row[state] != at]
            middle = min(y + 12, self.y[at] + self.height[at] - 6)
            self.parts.append(f'<path class="mark" d="M{self.x + BOX} {middle} H{self.words_x - 8}"/>')
            y = self._told(rule, self.words_x, y, f" (also in {', '.join(also)})" if also else "")

    def _told(self, rule: Rule, x: float, y: float, more: str = "") -> float:
        self.parts.append(self._text(x, y + LINE - 3, rule.id + more, "ink name"))
        for number, line in enumerate(details(rule), 2):
            self.parts.append(self._text(x, y + LINE * number - 3, line.strip(), "soft"))
        return y + LINE * (1 + len(details(rule))) + 8

    def _lane(self, lane: _Lane, x: float, edge: float, side: int) -> None:
        kind = _kind(lane.rule)
        shift = 7 if lane.to == lane.top else -7  # the arrow in and a dot out do not meet
        end = self._middle(lane.to) + shift
        leaves = [self._middle(row) for row in lane.rows]
        low, high = min(end, *leaves), max(end, *leaves)
        self.parts.append(f'<path class="{kind}" d="M{x} {low} V{high}"/>')
        self.parts.append(f'<path class="{kind}" d="M{x} {end} H{edge + side * 8}"/>')
        self.parts.append(_head(edge, end, -side, 0, kind))
        for row in lane.rows:
            y = self._middle(row)
            self.parts.append(f'<path class="{kind}" d="M{x} {y} H{edge}"/>')
            self.parts.append(f'<circle class="{kind}-head" cx="{x}" cy="{y}" r="3.5"/>')
        middle = (low + high) / 2
        at = x - 5 if side < 0 else x + 12
        name = _safe(lane.rule.id)
        turned = f'transform="rotate(-90 {at} {middle})"'
        self.parts.append(
            f'<text class="ink name lane" x="{at}" y="{middle}" text-anchor="middle" {turned}>{name}</text>'
        )

    def _lanes(self) -> list[_Lane]:
        ranked = {rule.id: at for at, rule in enumerate(self.machine.rules)}
        lanes = [lane for column in self.left + self.right for lane in column]
        return sorted(lanes, key=lambda lane: ranked[lane.rule.id])

    def _legend(self, y: float) -> float:
        for lane in self._lanes():
            words = _line(lane.rule)
            kind = _kind(lane.rule)
            y += LINE + 4
            self.parts.append(f'<circle class="{kind}-head" cx="{MARGIN + 4}" cy="{y - 4}" r="3.5"/>')
            self.parts.append(self._text(MARGIN + 16, y, _cut(words, LEGEND_WORDS), "soft"))
        return y + MARGIN

    @staticmethod
    def _text(x: float, y: float, words: str, classes: str) -> str:
        return f'<text class="{classes}" x="{x}" y="{y}">{_safe(words)}</text>'


def _line(rule: Rule) -> str:
    return f"{rule.id}: {', '.join(line.strip() for line in details(rule)) or 'at once'}"


def _kind(rule: Rule) -> str:
    return {RuleKind.RELIEF: "relief", RuleKind.PRESSURE: "pressure"}.get(rule.kind, "move")


def _head(x: float, y: float, dx: int, dy: int, kind: str) -> str:
    """Return an arrow's head with its point at (x, y), pointing along (dx, dy)."""
    back_x, back_y = x - 10 * dx, y - 10 * dy
    points = f"{x},{y} {back_x + 5 * dy},{back_y + 5 * dx} {back_x - 5 * dy},{back_y - 5 * dx}"
    return f'<polygon class="{kind}-head" points="{points}"/>'


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _safe(words: str) -> str:
    return escape(words, quote=True)
