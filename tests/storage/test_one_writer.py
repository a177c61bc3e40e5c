"""One place sets states: no module but the ledger's writes the columns that say where an account or a server stands."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEDGER = {f"storage/ledger_{name}.py" for name in ("write", "servers", "alone", "invoices")}
# What the ledger alone writes; an account or server that is made gets its first values from whoever makes it.
OWNED = {
    "accounts": (
        "states|episodes|notices|senders|stamps|billing_status|server_billing_state|server_billing_machine|"
        "server_billing_code|warning_sent_at|final_warning_sent_at|backup_blocked_at|suspended_at|retention_until|"
        "last_enforcement_action|policy_digest|epoch|due_at|waiting"
    ),
    "servers": ("lifecycle|lifecycle_since|stamps|round|states|own_billing_state|own_billing_machine|own_billing_code"),
    "invoice_states": "state|state_since|stamps",
}
WRITERS = [
    path
    for folder in ("engine", "storage", "jobs", "web")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if str(path.relative_to(ROOT)) not in LEDGER and "migrations" not in path.parts
]


def written(text: str) -> list[str]:
    """Return the owned columns that a statement sets."""
    found = []
    for table, columns in OWNED.items():
        for update in re.finditer(rf"(?is)\bupdate\s+{table}\b(.*?)(?:\bwhere\b|\bfrom\b|\breturning\b|$)", text):
            found += [f"{table}.{name}" for name in re.findall(rf"(?i)(?<![\w.])({columns})\s*=[^=]", update[1])]
    return found


def texts_of(source: str) -> list[str]:
    """Return the string literals of a module, joined where Python joins them."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
        elif isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "x" for part in node.values)
            found.append("".join(str(part) for part in parts))
    return found


@pytest.mark.parametrize("path", WRITERS, ids=[str(path.relative_to(ROOT)) for path in WRITERS])
def test_module_leaves_states_to_the_ledger(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    found = [name for text in texts_of(source) for name in written(text)]
    # SQLAlchemy's own way of updating is not used on these tables at all, so that this test can see every write.
    calls = re.findall(r"\b(?:accounts|servers)\.update\(|\bupdate\((?:tables\.)?(?:accounts|servers)\)", source)
    asked_for = {"storage/intents_ask.py": ["servers.round"]}  # numbers what is asked of a server, so that each is new
    assert found == asked_for.get(str(path.relative_to(ROOT)), [])
    assert calls == []


def test_this_test_sees_a_write() -> None:
    assert written("UPDATE accounts a SET states = 'x' WHERE id = 1") == ["accounts.states"]
    assert written("update servers set port = 1, lifecycle = 'y'") == ["servers.lifecycle"]
    assert written("UPDATE accounts SET plan = 'x' WHERE billing_status = 'active'") == []
