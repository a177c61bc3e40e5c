"""Rules of one more machine in the smallest policy, and what is found wrong with them."""

from __future__ import annotations

from pathlib import Path

from engine.faults import Fault, PolicyFaults
from engine.load import bundle, load_texts

SMALL = Path(__file__).resolve().parents[2] / "policies" / "small"
NOTED = "noted_at: {type: instant, null: not noted, from: entered noted}"
RELIEF = "{id: back, from: [noted, limited, closed], to: clear, event: forgiven, by: admin}"
PRESSURE = (
    "{id: note, from: clear, to: noted, event: noted, by: admin}",
    "{id: limit, from: noted, to: limited, event: limited, by: admin}",
    "{id: close, from: limited, to: closed, event: closed, by: admin}",
)


def found(
    *pressure: str,
    relief: tuple[str, ...] = (RELIEF,),
    facts: tuple[str, ...] = (),
    predicates: tuple[str, ...] = (),
    settings: tuple[str, ...] = (),
    servers: tuple[str, ...] = ("{is: allowed}",),
    without: tuple[str, ...] = (),
) -> list[Fault]:
    """Return the faults of a ladder with these further rules of pressure, `without` some of the usual ones."""
    texts = bundle(SMALL)
    usual = [rule for rule in PRESSURE if not any(f"id: {id_}," in rule for id_ in without)]
    lines = ["machine: terms", "of: account", "cause: tenant", "initial: clear"]
    for key, entries in (("settings", settings), ("facts", facts), ("predicates", predicates)):
        lines += [f"{key}:", *(f"  {entry}" for entry in entries)] if entries else []
    lines += ["ladder: [clear, noted, limited, closed]"]
    for key, entries in (("servers", servers), ("relief", relief), ("pressure", (*usual, *pressure))):
        lines += [f"{key}:", *(f"  - {entry}" for entry in entries)]
    texts["terms.yaml"] = "\n".join(lines) + "\n"
    texts["gates.yaml"] += "unrestricted: [terms]\n"
    words = [f'  terms.{rung}: {{title: "x", message: "x"}}\n' for rung in ("clear", "noted", "limited", "closed")]
    head, states, tail = texts["notices.yaml"].partition("states:\n")
    texts["notices.yaml"] = head + states + "".join(words) + tail
    return faults_of(texts)


def faults_of(texts: dict[str, str]) -> list[Fault]:
    """Return the faults of these texts; none when they are a policy."""
    try:
        load_texts(texts)
    except PolicyFaults as faults:
        return list(faults.faults)
    return []


def codes(faults: list[Fault]) -> list[str]:
    """Return the codes of the faults."""
    return [fault.code for fault in faults]
