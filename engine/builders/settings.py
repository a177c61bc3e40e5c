"""Settings: the numbers of a machine, with the overrides of the environment resolved into them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Literal, cast

from engine.builders.draft import Draft, entries, text_of
from engine.durations import LONGEST, write_duration
from engine.faults import closest, meant, shown
from engine.model import Setting
from engine.source import Node

OVERRIDE = "BILLING_"
_WHOLE = re.compile(r"[0-9]{1,7}")


def build_settings(draft: Draft) -> None:
    """Read every `settings:` section and resolve its overrides."""
    for machine in draft.machines.values():
        settings = draft.settings.setdefault(machine.name, {})
        for name, key, node in entries(machine.root.get("settings")):
            settings[name] = None if node.hurt or key.hurt else _setting(draft, name, key, node)
        for name, key, node in entries(machine.root.get("settings")):
            _check_at_least(draft, machine.name, name, key, node)


def _setting(draft: Draft, name: str, key: Node, node: Node) -> Setting | None:
    default = draft.duration(node.get("default"))
    minimum = draft.duration(node.get("min"))
    if default is None or (minimum is None and "min" in node.entries):
        return None
    if minimum is not None and default < minimum:
        at = node.entries["default"][1]
        draft.fault(
            "M380",
            at,
            f"the default {write_duration(default)} is less than `min: {write_duration(minimum)}`",
            "raise it",
        )
        return None
    variable, unit = None, None
    value = default
    for variable, variable_key, unit_node in entries(node.get("env")):
        unit = cast("Literal['hours', 'days', 'minutes', 'seconds']", unit_node.text)
        if (first := draft.variables.setdefault(variable, variable_key)) is not variable_key:
            draft.fault(
                "M320", variable_key, f"`{variable}` overrides two settings, first in {first.place}", "rename one"
            )
        override = _override(draft, variable, variable_key, unit, minimum)
        value = override if override is not None else default
    at_least = text_of(node, "at_least")
    return Setting(name, value, default, key.place, variable, unit, minimum, at_least)


def _override(draft: Draft, variable: str, key: Node, unit: str, minimum: timedelta | None) -> timedelta | None:
    """Return what the environment says; None when it says nothing, or with a fault nothing that could be used."""
    given = draft.env.get(variable, "").strip()
    if not given:
        return None
    if _WHOLE.fullmatch(given) is None:
        message = f"the environment variable `{variable}` is `{shown(given)}`, expected a whole number of {unit}"
        draft.fault("M381", key, message, "write digits only, without the unit")
        return None
    value = timedelta(**{unit: int(given)})
    if value > LONGEST:
        draft.fault(
            "M382",
            key,
            f"the environment variable `{variable}` says {given} {unit}, more than ten years",
            "is the unit right?",
        )
        return None
    if minimum is not None and value < minimum:
        message = (
            f"the environment variable `{variable}` says {given} {unit}, less than `min: {write_duration(minimum)}`"
        )
        draft.fault("M382", key, message, "raise it, or lower `min:` where the policy is reviewed")
        return None
    return value


def _check_at_least(draft: Draft, machine: str, name: str, key: Node, node: Node) -> None:
    settings = draft.settings[machine]
    setting = settings.get(name)
    if setting is None or setting.at_least is None:
        return
    at = node.entries["at_least"][1]
    if setting.at_least not in settings or setting.at_least == name:
        draft.fault(
            "M303",
            at,
            f"no other setting of `{machine}` is called `{shown(setting.at_least)}`",
            meant(setting.at_least, settings),
        )
        return
    draft.used_settings.add((machine, setting.at_least))
    other = settings[setting.at_least]
    if other is None or setting.value >= other.value:
        return
    told = [f"`{each.env}`" for each in (setting, other) if each.env is not None and each.value != each.default]
    why = f", by the environment variable {' and '.join(told)}" if told else ""
    values = f"{write_duration(setting.value)}, less than `{other.name}`, which is {write_duration(other.value)}"
    message = f"`{name}` is {values}{why}"
    draft.fault("M382" if told else "M380", key, message, f"`at_least: {other.name}` says it may not be")


def check_spelling(draft: Draft) -> None:
    """Note an override that misses its setting by a letter: nobody would learn that it does nothing."""
    variables = draft.variables
    for name in draft.env:
        if name.startswith(OVERRIDE) and name not in variables and (near := closest(name, variables)) is not None:
            message = f"the environment variable `{shown(name)}` overrides nothing; it looks like `{near}`"
            draft.fault("M384", variables[near], message, "correct or remove it")


def check_settings_used(draft: Draft) -> None:
    """Refuse a setting that nothing uses: whoever turns it believes that something changed."""
    for machine in draft.machines.values():
        if machine.root.hurt:
            continue
        for name, key, _ in entries(machine.root.get("settings")):
            if (machine.name, name) not in draft.used_settings:
                draft.fault("M385", key, f"the setting `{name}` is used by no rule", "use it, or remove it")
