"""Draws machines as Mermaid, which renders in pull requests: states, events, timers, guards and what is asked for."""

from __future__ import annotations

from collections.abc import Iterable

from engine.compare.guards import write_guard
from engine.durations import write_duration
from engine.model import SERVER_BILLING_STATES, Machine, Rule, RuleKind

# Dark words on light boxes: they are read the same on a light and a dark page.
CLASSES = {
    "allowed": "fill:#d8eee3,stroke:#2c7a57,color:#12241b",
    "backup_blocked": "fill:#fbe9bf,stroke:#a87713,color:#2b2006",
    "suspended_shutdown": "fill:#f6cfc5,stroke:#b0452f,color:#2f120b",
    "retained": "fill:#e6d0e0,stroke:#85477a,color:#27111f",
    "plain": "fill:#e3ebf3,stroke:#4a6b8a,color:#142231",
    "mark": "fill:#fdfbf6,stroke:#b0452f,stroke-dasharray:4 3,color:#2f120b",
}


def mermaid(machine: Machine) -> str:
    """Return the machine as a Mermaid flowchart: pressure as thick arrows, relief as dashed ones."""
    lines = ["flowchart TD"]
    used = []
    for state in machine.ladder:
        grade = grade_of(machine, state)
        used.append(grade)
        below = server_words(machine, state)
        label = f"<b>{state}</b>" + "".join(f"<br/>{_safe(line)}" for line in below)
        lines.append(f'  {_id(state)}(["{label}"]):::{grade}')
    for rule in machine.rules:
        words = "<br/>".join([f"<b>{rule.id}</b>", *map(_safe, details(rule))])
        if rule.to is None:  # a box beside its states: labels of arrows back to the same box lie over others
            lines.append(f'  m_{rule.id}["{words}"]:::mark')
            lines += [f"  {_id(source)} -.- m_{rule.id}" for source in rule.sources]
            used.append("mark")
            continue
        for source in rule.sources:
            arrow = {RuleKind.RELIEF: "-.->", RuleKind.PRESSURE: "==>"}.get(rule.kind, "-->")
            lines.append(f'  {_id(source)} {arrow}|"{words}"| {_id(rule.to)}')
            words = f"<b>{rule.id}</b>"  # what it takes is said once
    lines += [f"  classDef {name} {CLASSES[name]}" for name in dict.fromkeys(used)]
    return "\n".join(lines) + "\n"


def details(rule: Rule) -> list[str]:
    """Return what a rule takes and does, one thing a line."""
    lines = []
    if rule.event:
        lines.append(f"on {rule.event}" + (f" by {rule.by}" if rule.by else ""))
    if rule.when is not None:
        lines.append(f"when {write_guard(rule.when)}")
    lines += [
        f"{write_duration(t.duration)} after {t.anchor}" if t.duration else f"from {t.anchor} on" for t in rule.after
    ]
    lines += [f"{write_duration(t.duration)} before {t.anchor}" for t in rule.before]
    if rule.mark:
        lines.append(f"marks {rule.mark}, once")
    if rule.needs:
        lines += _wrapped(f"if {', '.join(rule.needs)}")
    if rule.do:
        lines += _wrapped(f"does {', '.join(a.intent + (' (each server)' if a.each_server else '') for a in rule.do)}")
    return lines


def grade_of(machine: Machine, state: str) -> str:
    """Return the strictest that the state alone does to servers, `plain` for a machine that does nothing to them."""
    if not machine.servers:
        return "plain"
    line = next((line for line in machine.servers if line.when is None and (not line.in_ or state in line.in_)), None)
    return line.is_ if line is not None else SERVER_BILLING_STATES[0]


def server_words(machine: Machine, state: str) -> list[str]:
    """Return what the state does to servers, in words."""
    lines = []
    for line in machine.servers:
        if not line.in_ or state in line.in_:
            lines.append(f"servers {line.is_}" + (f" when {write_guard(line.when)}" if line.when is not None else ""))
            if line.when is None:
                break
    return lines[-2:]


def _wrapped(words: str, width: int = 58) -> list[str]:
    lines = [""]
    for word in words.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append(" " * 4)
        lines[-1] += f" {word}" if lines[-1].strip() else word
    return lines


def _id(state: str) -> str:
    return f"s_{state}"  # `end` and other words mean something to Mermaid


def _safe(words: str) -> str:
    for char, code in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        words = words.replace(char, code)
    return words.strip()


def page(machines: Iterable[Machine]) -> str:
    """Return Markdown that shows each machine."""
    return "\n".join(f"## {machine.name}\n\n```mermaid\n{mermaid(machine)}```\n" for machine in machines)
