"""A simulated account as an SVG picture: rungs as steps over days, notices, promised dates and holds.

Readable on light and dark pages: the colours follow the reader's preference. No script, no font, nothing from outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape

from engine.model import SERVER_BILLING_STATES, Machine, Policy
from engine.simulate.account import Row, Story
from engine.timeline.text import write_offset

LEFT, RIGHT, TOP = 190, 30, 96  # room for the names of rungs, and for the title
PLOT = 900  # the width of the time axis
RUNG, GAP = 30, 34  # the height of a rung, and between machines
LABEL = 118  # the least room for the words of a notice
CHARACTER = 6.8  # the width of one at 11 pixels, about
STRIP = 16

STYLE = """
  .page { fill: #ffffff } .ink { fill: #1f2933 } .soft { fill: #5b6873 }
  .grid { stroke: #e3e8ed; stroke-width: 1 }
  .day { stroke: #eef1f4; stroke-width: 1 } .rung { stroke: #d5dce3; stroke-width: 1; stroke-dasharray: 1 3 }
  .line { fill: none; stroke: #2f6fb3; stroke-width: 2.5; stroke-linejoin: round }
  .area { fill: #2f6fb3; opacity: .10 }
  .hold { fill: #2c9a74; opacity: .14 } .held { fill: #1d7a5a }
  .promise { stroke: #b7791f; stroke-width: 2; stroke-dasharray: 5 3 }
  .told { fill: #9a6212 } .void { opacity: .45 } .notice { fill: #ffffff; stroke: #b7791f; stroke-width: 1.5 }
  .stem { stroke: #b9c2cb; stroke-width: 1 } .event { fill: #1f2933 }
  .allowed { fill: #cfe8dc } .backup_blocked { fill: #f5dfae } .suspended_shutdown { fill: #eeb3a6 }
  .retained { fill: #d9b3c9 }
  .on { fill: #2b333b }
  text { font: 11px ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
  .title { font-size: 16px; font-weight: 600 }
  .name { font-weight: 600 }
  .halo { paint-order: stroke; stroke: #ffffff; stroke-width: 4; stroke-linejoin: round }
  @media (prefers-color-scheme: dark) {
    .page { fill: #14191e } .ink { fill: #e6ebf0 } .soft { fill: #9aa7b3 } .grid { stroke: #2a323a }
    .day { stroke: #20272e }
    .rung { stroke: #3a444e } .line { stroke: #6cb0f2 } .area { fill: #6cb0f2; opacity: .14 }
    .hold { fill: #45c497; opacity: .18 }
    .held { fill: #6fd6b0 } .promise { stroke: #e0b056 } .told { fill: #e8c27a }
    .notice { fill: #14191e; stroke: #e0b056 }
    .stem { stroke: #4a5560 } .event { fill: #e6ebf0 } .on { fill: #f0f3f6 }
    .allowed { fill: #234a3b } .backup_blocked { fill: #5c4a1e } .suspended_shutdown { fill: #6b3227 }
    .retained { fill: #57324a }
    .halo { stroke: #14191e }
  }
"""


def picture(policy: Policy, story: Story, title: str = "") -> str:
    """Return the picture of a story as a whole SVG document."""
    return _Picture(policy, story).draw(title)


@dataclass(frozen=True, slots=True)
class _Mark:
    """Words on the time axis, in a lane of their own so that none covers another."""

    at: datetime
    words: str
    hint: str
    kind: str  # event or notice


class _Picture:
    def __init__(self, policy: Policy, story: Story) -> None:
        self.policy = policy
        self.story = story
        self.start = story.timeline.start
        last = max([story.ends_at, *(at for row in story.rows for at in row.promised.values())])
        last = max([last, *(e for _, _, e in self._holds() if e is not None)])
        self.span = max(last - self.start, timedelta(hours=1)) * 1.04
        self.parts: list[str] = []

    def x(self, at: datetime) -> float:
        """Return where an instant stands."""
        return round(LEFT + PLOT * ((at - self.start) / self.span), 1)

    def draw(self, title: str) -> str:
        """Draw everything from top to bottom, then the frame around it."""
        marks, lanes = self._lanes()
        y: float = TOP
        self._words(lanes, y)
        plot_top = y + len(marks) * 18 + 14
        y = plot_top
        for machine in self._machines():
            y = self._machine(machine, y) + GAP
        plot_bottom = self._strip(y)
        behind = [*self._grid(plot_top, plot_bottom), *self._bands(plot_top, plot_bottom)]
        stems = [
            f'<line class="stem" x1="{self.x(m.at)}" x2="{self.x(m.at)}" y1="{TOP + lane * 18}" y2="{plot_bottom}"/>'
            for lane, listed in enumerate(marks)
            for m in listed
        ]
        width, height = LEFT + PLOT + RIGHT, plot_bottom + 58
        name = title or "One account over time"
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        )
        head = [
            f'{svg} role="img" aria-label="{_safe(name)}">',
            f"<title>{_safe(name)}</title><style>{STYLE}</style>",
            f'<rect class="page" width="{width}" height="{height}"/>',
            f'<text class="ink title" x="24" y="34">{_safe(name)}</text>',
            f'<text class="soft" x="24" y="54">{_safe(self._subtitle())}</text>',
        ]
        foot = list(self._axis(plot_bottom))
        return "\n".join([*head, *behind, *stems, *self.parts, *foot, "</svg>"])

    def _subtitle(self) -> str:
        zone = self.story.timeline.zone
        begin = self.story.rows[0].local if self.story.rows else self.start
        return f"from {begin:%a %d %b %Y, %H:%M} in {zone}; policy {self.policy.digest[:12]}"

    # ---- words above the plot ----------------------------------------------------------------------------------------

    def _marks(self) -> Iterator[_Mark]:
        for row in self.story.rows:
            for what in row.happened:
                refused = f" (refused: {row.refused})" if row.refused and what == row.happened[-1] else ""
                yield _Mark(row.at, what + (" (refused)" if refused else ""), what + refused, "event")
            for letter in row.letters:
                name = letter.intent.removeprefix("send_").removesuffix("_notice").replace("_", " ")
                state = "" if letter.outcome == "delivered" else f" ({letter.outcome})"
                yield _Mark(row.at, name + state, letter.subject or letter.intent, "notice")

    def _lanes(self) -> tuple[list[list[_Mark]], list[tuple[int, _Mark, bool]]]:
        """Put each mark into the first lane in which its words have room; at the end they stand on its left."""
        ends: list[float] = []
        lanes: list[list[_Mark]] = []
        placed: list[tuple[int, _Mark, bool]] = []
        for mark in self._marks():
            width = max(len(mark.words) * CHARACTER + 22, 30)
            left = self.x(mark.at) + width > LEFT + PLOT + RIGHT
            begin = self.x(mark.at) - width if left else self.x(mark.at) - 8
            lane = next((n for n, end in enumerate(ends) if end < begin), len(ends))
            if lane == len(ends):
                ends.append(0)
                lanes.append([])
            ends[lane] = self.x(mark.at) + 10 if left else begin + width
            lanes[lane].append(mark)
            placed.append((lane, mark, left))
        return lanes, placed

    def _words(self, placed: Iterable[tuple[int, _Mark, bool]], top: float) -> None:
        for lane, mark, left in placed:
            x, y = self.x(mark.at), top + lane * 18
            if mark.kind == "event":
                self.parts.append(f'<circle class="event" cx="{x}" cy="{y}" r="4"/>')
            else:
                self.parts.append(
                    f'<g><rect class="notice" x="{x - 6}" y="{y - 4.5}" width="12" height="9" rx="1"/>'
                    f'<path class="notice" d="M{x - 6} {y - 4} L{x} {y + 1} L{x + 6} {y - 4}"/></g>'
                )
            anchor = f'text-anchor="end" x="{x - 11}"' if left else f'x="{x + 11}"'
            weight = "ink name halo" if mark.kind == "event" else "told halo"
            hint = f"<title>{_safe(mark.hint)}</title>"
            self.parts.append(f'<text class="{weight}" {anchor} y="{y + 4}">{_safe(mark.words)}{hint}</text>')

    # ---- the plot ----------------------------------------------------------------------------------------------------

    def _machines(self) -> list[Machine]:
        """Return the machines that moved; the first when none did."""
        moved = {change.machine for row in self.story.rows for change in row.changes}
        machines = self.policy.account_machines
        return [machine for machine in machines if machine.name in moved] or [machines[0]]

    def _machine(self, machine: Machine, top: float) -> float:
        """Draw one machine's rungs and its way over them; return the lower edge."""
        visited = [row.states[machine.name] for row in self.story.rows]
        highest = max((machine.ladder.index(state) for state in visited), default=0)
        shown = machine.ladder[: max(highest + 1, 2)]
        height = {state: top + 18 + (len(shown) - 1 - number) * RUNG for number, state in enumerate(shown)}
        self.parts.append(f'<text class="ink name" x="24" y="{top + 4}">{_safe(machine.name)}</text>')
        for state, y in height.items():
            self.parts.append(f'<line class="rung" x1="{LEFT}" x2="{LEFT + PLOT}" y1="{y}" y2="{y}"/>')
            words = _safe(state.replace("_", " "))
            self.parts.append(f'<text class="soft" text-anchor="end" x="{LEFT - 12}" y="{y + 4}">{words}</text>')
        bottom = height[shown[0]]
        path = self._path(machine, height)
        end = LEFT + PLOT
        self.parts.append(f'<path class="area" d="{path} H{end} V{bottom} H{LEFT} Z"/>')
        self.parts.append(f'<path class="line" d="{path} H{end}"/>')
        self._promises(machine, height)
        return bottom

    def _path(self, machine: Machine, height: dict[str, float]) -> str:
        path = f"M{LEFT} {height[machine.initial]}"
        before = machine.initial
        if self.story.moments:
            before = next(
                (c.from_ for row in self.story.rows for c in row.changes if c.machine == machine.name), before
            )
            path = f"M{LEFT} {height[before]}"
        for row in self.story.rows:
            state = row.states[machine.name]
            if state != before:
                path += f" H{self.x(row.at)} V{height[state]}"
                before = state
        return path

    def _promises(self, machine: Machine, height: dict[str, float]) -> None:
        """Draw for each date that was told a dashed line from its notice to the date, ended where it became void."""
        rows = self.story.rows
        for number, row in enumerate(rows):
            for rule, at in row.promised.items():
                if not rule.startswith(f"{machine.name}.") or (number and rows[number - 1].promised.get(rule) == at):
                    continue
                ended = next((later.at for later in rows[number + 1 :] if later.promised.get(rule) != at), at)
                kept = ended >= at
                y = height.get(row.states[machine.name], height[machine.initial]) - 8
                end, void = self.x(min(at, ended)), "" if kept else " void"
                self.parts.append(f'<line class="promise{void}" x1="{self.x(row.at)}" x2="{end}" y1="{y}" y2="{y}"/>')
                if kept:
                    hint = f"{rule} not before {at:%Y-%m-%d %H:%M} UTC"
                    flag = f"M{end} {y + 8} V{y - 8} l9 4 l-9 4"
                    self.parts.append(f'<path class="told" d="{flag}"><title>{_safe(hint)}</title></path>')

    def _strip(self, top: float) -> float:
        """Draw what servers are allowed, as a strip below; return its lower edge."""
        self.parts.append(f'<text class="ink name" x="24" y="{top + 12}">servers</text>')
        rows = self.story.rows
        spans: list[tuple[float, str]] = [(LEFT, SERVER_BILLING_STATES[0])]
        for row in rows:
            if row.server != spans[-1][1]:
                spans.append((self.x(row.at), row.server))
        for number, (begin, state) in enumerate(spans):
            end = spans[number + 1][0] if number + 1 < len(spans) else LEFT + PLOT
            if end - begin < 0.5:
                continue
            words = state.replace("_", " ")
            self.parts.append(
                f'<rect class="{state}" x="{begin}" y="{top}" width="{round(end - begin, 1)}" height="{STRIP}">'
                f"<title>{words}</title></rect>"
            )
            if end - begin > len(words) * CHARACTER + 10:
                self.parts.append(f'<text class="on" x="{begin + 6}" y="{top + 12}">{words}</text>')
        return top + STRIP

    def _holds(self) -> Iterator[tuple[str, datetime, datetime | None]]:
        """Yield each hold with its begin and its end; None: to the end of the picture."""
        running: dict[str, tuple[datetime, datetime | None]] = {}
        for item in self.story.timeline.items:
            now = self.start + item.at
            for kind, hold in item.holds.items():
                if kind in running:
                    begin, end = running.pop(kind)
                    yield kind, begin, min(now, end) if end is not None else now
                if hold is not None:
                    running[kind] = (now, hold.until)
        yield from ((kind, begin, end) for kind, (begin, end) in running.items())

    def _bands(self, top: float, bottom: float) -> Iterator[str]:
        for kind, begin, end in self._holds():
            left = self.x(begin)
            right = min(self.x(end) if end is not None else LEFT + PLOT, LEFT + PLOT)
            yield f'<rect class="hold" x="{left}" y="{top}" width="{round(right - left, 1)}" height="{bottom - top}"/>'
            yield f'<text class="held" x="{left + 6}" y="{bottom - STRIP - 8}">{_safe(kind.replace("_", " "))}</text>'

    def _ticks(self) -> Iterator[timedelta]:
        """Yield offsets at a distance that leaves room for their words."""
        steps = [timedelta(hours=h) for h in (1, 2, 6, 12, 24, 48, 96, 168, 336, 720, 1440, 4320, 8760)]
        step = next((s for s in steps if PLOT * (s / self.span) >= 70), steps[-1])
        at = timedelta(0)
        while at <= self.span:
            yield at
            at += step

    def _grid(self, top: float, bottom: float) -> Iterator[str]:
        for offset in self._ticks():
            x = self.x(self.start + offset)
            yield f'<line class="grid" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>'

    def _axis(self, bottom: float) -> Iterator[str]:
        rows: tuple[Row, ...] = self.story.rows
        zone = rows[0].local.tzinfo if rows else None
        for offset in self._ticks():
            at = self.start + offset
            local = at.astimezone(zone)
            x = self.x(at)
            yield f'<text class="ink" text-anchor="middle" x="{x}" y="{bottom + 18}">+{write_offset(offset)}</text>'
            yield f'<text class="soft" text-anchor="middle" x="{x}" y="{bottom + 33}">{local:%d %b}</text>'


def _safe(text: str) -> str:
    """Return text as XML may hold it."""
    return escape("".join(c if c.isprintable() else " " for c in text))
