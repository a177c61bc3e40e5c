"""Repairs: which line holds when, how sure to be first, how much at once, and what is done of each level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import cast

from engine.builders.draft import Draft, each, entries, text_of
from engine.builders.smaller import check_lifecycles, read_brake
from engine.durations import parse_duration
from engine.faults import listed, meant, shown
from engine.model_permits import Brake
from engine.model_repairs import Repair, RepairMode, Repairs
from engine.source import Node

ALWAYS = "always"  # of what billing stops and of what should run: no level, nothing turns it off
MODES: tuple[RepairMode, ...] = ("off", "dry_run", "live")


def build_repairs(draft: Draft) -> Repairs | None:
    """Read repairs.yaml."""
    root = draft.tree("repairs")
    if root is None:
        return None
    lines, section, damping = draft.names["repair"], root.get("repairs"), root.get("damping")
    brakes = _brakes(draft, root)
    if section is None or section.kind != "list" or section.hurt:
        lines.complete = False
    nodes = [node for node in each(section) if node.kind == "map"]
    for node in nodes:
        lines.declare(node.entries["id"][1].text, node.entries["id"][1], draft.faults)
    levels = _levels(draft, root.get("levels"))
    undamped = damping.get("except") if damping is not None else None
    sure = {item.text for item in each(undamped) if draft.known("repair", item)}
    rest = root.get("maintenance")
    calendar, untiring = (rest.get("calendar"), rest.get("except")) if rest is not None else (None, None)
    if calendar is not None:
        draft.known("calendar", calendar)
    awake = {item.text for item in each(untiring) if draft.known("repair", item)}
    repairs = [_repair(draft, node, levels, sure, awake) for node in nodes]
    if lines.complete:
        _check_used(draft, root.get("levels"), nodes)
    count = damping.get("agreeing_observations") if damping is not None else None
    agreeing = count.value if count is not None and isinstance(count.value, int) else 1
    lines_read = tuple(repair for repair in repairs if repair is not None)
    return Repairs(lines_read, agreeing, brakes, calendar.text if calendar is not None else None)


def _brakes(draft: Draft, root: Node) -> dict[str, Brake]:
    brakes = {}
    for name, key, node in entries(root.get("brakes")):
        draft.names["brake"].declare(name, key, draft.faults)
        brake = read_brake(draft, node) if not node.hurt else None
        if brake is not None:
            brakes[name] = replace(brake, population="servers")
    return brakes


def _levels(draft: Draft, section: Node | None) -> Mapping[int, RepairMode] | None:
    """Return what is done of each level, with the environment's overrides; None when that could not be read."""
    if section is not None and section.hurt:
        return None
    levels: dict[int, RepairMode] = {}
    for name, _, node in entries(section):
        mode = cast("RepairMode", text_of(node, "default") or "off")
        env = node.get("env")
        if env is not None:
            if (first := draft.variables.setdefault(env.text, env)) is not env:
                message = f"`{env.text}` overrides two settings, first in {first.place}"
                draft.fault("M320", env, message, "rename one")
            mode = _override(draft, env) or mode
        levels[int(name)] = mode
    return levels


def _override(draft: Draft, variable: Node) -> RepairMode | None:
    given = draft.env.get(variable.text, "").strip()
    if not given:
        return None
    for mode in MODES:
        if given == mode:
            return mode
    message = f"the environment variable `{variable.text}` is `{shown(given)}`, expected one of {listed(MODES)}"
    draft.fault("M386", variable, message, meant(given, MODES))
    return None


def _check_used(draft: Draft, section: Node | None, nodes: list[Node]) -> None:
    """Refuse a level that no line has: whoever turns it believes that something changed."""
    used = {level.text for node in nodes if (level := node.get("level")) is not None}
    for name, key, _ in entries(section):
        if name not in used and section is not None and not section.hurt:
            draft.fault("M385", key, f"no repair has the level `{name}`", "use it, or remove it")


def _repair(
    draft: Draft, node: Node, levels: Mapping[int, RepairMode] | None, sure: set[str], awake: set[str]
) -> Repair | None:
    id_, do, when, brake = node.entries["id"][1], node.entries["do"][1], node.entries["when"][1], node.get("brake")
    does = do.text != "nothing"
    if does and draft.intent(do) is None:
        return None
    level, mode = _level(draft, node, levels) if does else _no_level(draft, node)
    if brake is not None:
        draft.known("brake", brake)
    check_lifecycles(draft, when.get("lifecycle"))
    autostart = when.get("host_autostart")
    return Repair(
        id=id_.text,
        do=do.text if does else None,
        place=id_.place,
        observed=_words(when, "observed"),
        desired=_words(when, "desired"),
        server=_words(when, "server"),
        lifecycle=_words(when, "lifecycle"),
        autostart=autostart.value if autostart is not None and isinstance(autostart.value, bool) else None,
        edge=_words(when, "edge"),
        lifecycle_older_than=_over(when, "lifecycle_age"),
        lock_older_than=_over(when, "lock_age"),
        level=level,
        mode=mode,
        brake=brake.text if brake is not None else None,
        alert_after=draft.duration(node.get("alert_after")),
        damped=id_.text not in sure,
        in_maintenance=id_.text in awake,
    )


def _level(draft: Draft, node: Node, levels: Mapping[int, RepairMode] | None) -> tuple[int | None, RepairMode]:
    """Return a line's level, None for always, and what is done of it."""
    id_, level = node.entries["id"][1], node.get("level")
    if level is None:
        hint = f"add `level: 1`, or `level: {ALWAYS}` if nothing may turn it off"
        draft.fault("M393", id_, f"the repair `{id_.text}` has no level", hint)
        return None, "live"
    if not isinstance(level.value, int):
        return None, "live"
    if levels is not None and level.value not in levels:
        known = listed(str(each_) for each_ in levels) or "none"
        draft.fault("M394", level, f"unknown level `{level.value}`", f"under `levels:` there is {known}")
    return level.value, (levels or {}).get(level.value, "off")


def _no_level(draft: Draft, node: Node) -> tuple[None, RepairMode]:
    level = node.get("level")
    if level is not None:
        draft.fault("M394", level, "`do: nothing` has no level: nothing is what it does", "remove `level:`")
    return None, "live"


def _over(when: Node, key: str) -> timedelta | None:
    age = text_of(when, key)
    return parse_duration(age.removeprefix("over ")) if age is not None else None


def _words(node: Node, key: str) -> tuple[str, ...]:
    return tuple(item.text for item in each(node.get(key)))
