"""The audit: sorted JSON, chained, append-only; every kind of tampering shows, with its account and row."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from storage import audit, audit_verify
from storage.audit import AuditNote, Chain, Link, instant_text
from storage.errors import UnknownAccount
from tests.storage.deployment import Deployment

AT = datetime(2026, 3, 1, 8, 0, 0, 123, tzinfo=UTC)
NOTE = AuditNote(
    "transition",
    "suspend",
    "sweep",
    "billing.suspend",
    "final_warning",
    "suspended",
    "billing.yaml:70",
    {
        "past_due_since": AT,
        "overdue_invoices": 2,
        "exempt": False,
        "name": 'a "quoted"\u202e\n\x00 name',
        "nothing": None,
    },
    ("send_suspended_notice",),
)


def link(
    note: AuditNote, *, account: UUID | None = None, seq: int = 1, before: bytes = b"", digest: str | None = None
) -> Link:
    """Make one link."""
    return Chain(str(account or uuid4()), seq - 1, before, AT, instant_text(AT), digest).add(note)


texts = st.text(max_size=20)
notes = st.builds(
    AuditNote,
    kind=st.sampled_from(sorted(audit.KINDS)),
    action=texts,
    actor=texts,
    because=texts,
    from_=st.none() | texts,
    to=st.none() | texts,
    place=st.none() | texts,
    facts=st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts | st.just(AT), max_size=5),
    asked=st.lists(texts, max_size=3).map(tuple),
)


@given(note=notes, digest=st.none() | texts)
def test_canonical_text_is_sorted_json(note: AuditNote, digest: str | None) -> None:
    account = uuid4()
    made = link(note, account=account, seq=7, before=b"before", digest=digest)
    told = json.loads(made.canonical)
    assert json.dumps(told, sort_keys=True, separators=(",", ":")) == made.canonical
    facts = {name: "2026-03-01T08:00:00.000123Z" if value == AT else value for name, value in note.facts.items()}
    assert told == {
        "account": str(account),
        "action": note.action,
        "actor": note.actor,
        "asked": list(note.asked),
        "at": "2026-03-01T08:00:00.000123Z",
        "because": note.because,
        "facts": facts,
        "from": note.from_,
        "kind": note.kind,
        "place": note.place,
        "policy": digest,
        "seq": 7,
        "to": note.to,
    }
    assert made.hash == hashlib.sha256(b"before" + made.canonical.encode()).digest()


def test_fraction_is_no_fact() -> None:
    with pytest.raises(TypeError, match="float"):
        link(AuditNote("admin", "a", "b", facts={"share": 0.5}))  # type: ignore[dict-item]


def test_kind_must_be_known() -> None:
    with pytest.raises(ValueError, match="gossip"):
        link(AuditNote("gossip", "a", "b"))


def test_notes_are_read_as_the_api_shows_them(deployment: Deployment) -> None:
    account = deployment.account()
    with deployment.begin() as conn:
        audit.append(conn, account, [NOTE], "abc")
    (shown,) = deployment.audit_of(account)
    assert {name: shown[name] for name in ("kind", "action", "actor", "from", "to", "because", "policyDigest")} == {
        "kind": "transition",
        "action": "suspend",
        "actor": "sweep",
        "from": "final_warning",
        "to": "suspended",
        "because": "billing.suspend",
        "policyDigest": "abc",
    }
    assert shown["facts"]["name"] == NOTE.facts["name"]
    assert shown["at"].endswith("Z")


def test_unknown_account_has_no_chain(deployment: Deployment) -> None:
    with pytest.raises(UnknownAccount), deployment.begin() as conn:
        audit.append(conn, uuid4(), [NOTE])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET canonical = ''",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "UPDATE audit SET kind = 'x' WHERE false",
    ],
)
def test_table_refuses_everything_but_inserts(deployment: Deployment, statement: str) -> None:
    account = deployment.account()
    with deployment.begin() as conn:
        audit.append(conn, account, [NOTE])
    with deployment.session() as session, pytest.raises(psycopg.errors.RestrictViolation, match="only grows"):
        session.execute(statement)
    assert len(deployment.audit_of(account)) == 1


# ---- tampering: what somebody with the database's superuser might do, and what must be said of it --------------------

EDITED = "it was edited, or does not follow the row before it"
COLUMNS = "its columns do not say what its text says: it was edited"
HEADLESS = "no account has this id: its rows were inserted, or the account was removed"
HEAD = "it is not the row that the head was written with"


def moved(seq: int) -> str:
    """Return what is said of a row that was this one."""
    return f"it was row {seq} of account {{id}}: it was moved here"


def hashed_anew(seq: int) -> str:
    """Return the statement that edits a row and makes its own hash fit."""
    return (
        "UPDATE audit x SET canonical = x.canonical || ' ', "
        "hash = sha256(p.hash || convert_to(x.canonical || ' ', 'UTF8')) "
        f"FROM audit p WHERE x.{{a}} AND x.seq = {seq} AND p.account_id = x.account_id AND p.seq = {seq - 1}"
    )


COPY = "INSERT INTO audit SELECT {{columns}} FROM audit WHERE {{a}} AND seq = {seq}"
AFTER_THE_END = "account_id, 7, at, kind, replace(canonical, '\"seq\":6', '\"seq\":7'), hash"
FOR_NOBODY = "gen_random_uuid(), 1, at, kind, canonical, hash"
# A statement for each row: within one, PostgreSQL chooses the order, and row 3 may come to 2 while 2 is there.
SWAP = ";".join(f"UPDATE audit SET seq = {to} WHERE {{a}} AND seq = {seq}" for seq, to in ((2, 30), (3, 2), (30, 3)))
TAMPERING: dict[str, tuple[str, list[tuple[int, str]]]] = {
    "text edited": (
        "UPDATE audit SET canonical = replace(canonical, 'who', 'nobody') WHERE {a} AND seq = 3",
        [(3, EDITED)],
    ),
    "first row edited": ("UPDATE audit SET canonical = canonical || ' ' WHERE {a} AND seq = 1", [(1, EDITED)]),
    "last row edited": ("UPDATE audit SET canonical = canonical || ' ' WHERE {a} AND seq = 6", [(6, EDITED)]),
    "edited and hashed anew": (hashed_anew(3), [(4, EDITED)]),
    "last row edited and hashed anew": (hashed_anew(6), [(6, HEAD)]),
    "hash edited": ("UPDATE audit SET hash = sha256('x') WHERE {a} AND seq = 2", [(2, EDITED), (3, EDITED)]),
    "kind edited": ("UPDATE audit SET kind = 'mark' WHERE {a} AND seq = 2", [(2, COLUMNS)]),
    "time edited": ("UPDATE audit SET at = at - interval '1 s' WHERE {a} AND seq = 2", [(2, COLUMNS)]),
    "no JSON": ("UPDATE audit SET canonical = 'x' WHERE {a} AND seq = 2", [(2, "its text is no JSON: it was edited")]),
    "no row": (
        "UPDATE audit SET canonical = '7' WHERE {a} AND seq = 2",
        [(2, "its text is no audit row: it was edited")],
    ),
    "removed": ("DELETE FROM audit WHERE {a} AND seq = 3", [(3, "row 3 is missing")]),
    "several removed": ("DELETE FROM audit WHERE {a} AND seq IN (2, 3, 4)", [(2, "rows 2 to 4 are missing")]),
    "first removed": ("DELETE FROM audit WHERE {a} AND seq = 1", [(1, "row 1 is missing")]),
    "tail cut": ("DELETE FROM audit WHERE {a} AND seq > 4", [(5, "rows 5 to 6 are cut off: the head is at row 6")]),
    "all removed": ("DELETE FROM audit WHERE {a}", [(1, "rows 1 to 6 are cut off: the head is at row 6")]),
    "removed and closed up": (
        "DELETE FROM audit WHERE {a} AND seq = 6; UPDATE audit SET seq = 6 WHERE {a} AND seq = 5",
        [(5, "row 5 is missing"), (6, moved(5)), (6, HEAD)],
    ),
    "two swapped": (SWAP, [(2, moved(3)), (3, moved(2)), (4, EDITED)]),
    "inserted after the end": (
        COPY.format(seq=6).replace("{columns}", AFTER_THE_END),
        [(7, EDITED), (7, "it lies beyond the head, which is at row 6: it was inserted")],
    ),
    "inserted for nobody": (
        COPY.format(seq=1).replace("{columns}", FOR_NOBODY),
        [(1, moved(1)), (1, HEADLESS)],
    ),
    "head moved back": (
        "UPDATE accounts SET audit_seq = 4 WHERE id = '{id}'",
        [(5, "it lies beyond"), (6, "it lies beyond")],
    ),
}


@pytest.mark.parametrize(("tampering", "expected"), TAMPERING.values(), ids=TAMPERING)
def test_tampering_shows(
    deployment: Deployment, superuser: psycopg.Connection[Any], tampering: str, expected: list[tuple[int, str]]
) -> None:
    account, other = deployment.account(), deployment.account()
    with deployment.begin() as conn:
        for number in range(1, 7):
            audit.append(conn, account, [AuditNote("admin", f"act-{number}", f"who-{number}")])
            audit.append(conn, other, [NOTE])
        assert audit_verify.verify(conn) == []
    superuser.execute("SET session_replication_role = replica")
    statements = tampering.replace("{a}", f"account_id = '{account}'").replace("{id}", str(account))
    superuser.execute(statements.encode())
    with deployment.begin() as conn:
        found = audit_verify.verify(conn)
    assert [each.seq for each in found] == [seq for seq, _ in expected]
    for each, (_, words) in zip(found, expected, strict=True):
        assert each.what.startswith(words.replace("{id}", str(account)))
    if "gen_random_uuid" not in tampering:
        assert {each.account_id for each in found} == {account}
        assert str(found[0]).startswith(f"account {account}, row {found[0].seq}: ")
        with deployment.begin() as conn:
            assert audit_verify.verify(conn, account) == found
            assert audit_verify.verify(conn, other) == []


def test_what_concerns_no_account_has_a_chain_too(deployment: Deployment, superuser: psycopg.Connection[Any]) -> None:
    with deployment.begin() as conn:
        audit.append(conn, None, [NOTE, NOTE])
        assert audit_verify.verify(conn) == []
    superuser.execute("SET session_replication_role = replica")
    superuser.execute("DELETE FROM audit WHERE seq = 2")
    with deployment.begin() as conn:
        (found,) = audit_verify.verify(conn)
    assert str(found) == "what concerns no account, row 2: row 2 is cut off: the head is at row 2"


def test_verifying_counts_what_it_read_and_streams(deployment: Deployment) -> None:
    accounts = [deployment.late() for _ in range(30)]
    deployment.record(*accounts)
    so_far = audit_verify.Verified()
    with deployment.begin() as conn:
        assert list(audit_verify.breaks(conn, None, so_far)) == []
    assert (so_far.chains, so_far.rows) == (31, 60)


def test_chains_hold_while_others_write(deployment: Deployment) -> None:
    account = deployment.account()
    with deployment.begin() as conn, deployment.begin() as other:
        found = audit_verify.breaks(conn)
        audit.append(other, account, [NOTE])
        other.commit()
        assert list(found) == []


def test_nobody_is_no_account(deployment: Deployment) -> None:
    assert UUID(int=0) == audit.NOBODY
    with deployment.begin() as conn:
        assert conn.execute(text("SELECT count(*) FROM audit_heads")).scalar_one() == 1
