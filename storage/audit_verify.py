"""Reads every chain from its first row to its head; names each row that was edited, removed, moved, inserted or cut.

Streams: a table of millions of rows passes through in constant memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from storage.audit import GENESIS, NOBODY, instant_text
from storage.database import raw

ROWS_AT_ONCE: Final = 5_000

# Heads and rows in one ordered stream, each head before its rows: one statement, so both are of the same moment.
STREAM: Final = """
SELECT id, 0::bigint AS seq, NULL::timestamptz AS at, NULL AS kind, NULL AS canonical, audit_hash AS hash,
       audit_seq AS head
FROM accounts WHERE %(account)s::uuid IS NULL OR id = %(account)s
UNION ALL
SELECT chain, 0, NULL, NULL, NULL, hash, seq FROM audit_heads WHERE %(account)s::uuid IS NULL OR chain = %(account)s
UNION ALL
SELECT account_id, seq, at, kind, canonical, hash, NULL FROM audit
WHERE %(account)s::uuid IS NULL OR account_id = %(account)s
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Break:
    """One place at which a chain does not hold."""

    account_id: UUID
    seq: int
    what: str

    def __str__(self) -> str:
        chain = "what concerns no account" if self.account_id == NOBODY else f"account {self.account_id}"
        return f"{chain}, row {self.seq}: {self.what}"


@dataclass(slots=True)
class Verified:
    """How much was read; grows while `breaks` runs."""

    chains: int = 0
    rows: int = 0


def verify(conn: Connection, account_id: UUID | None = None) -> list[Break]:
    """Return every break, or those of one account."""
    return list(breaks(conn, account_id))


def breaks(conn: Connection, account_id: UUID | None = None, so_far: Verified | None = None) -> Iterator[Break]:
    """Go through all chains, or one account's, and yield each break as it is found."""
    so_far = so_far or Verified()
    raw(conn).execute("SET LOCAL statement_timeout = 0")  # ordering many millions of rows may take its time
    chain: _Chain | None = None
    # A server-side cursor: the client holds a few thousand rows at a time.
    with raw(conn).cursor(name="audit_verify") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        for row in cursor.execute(STREAM, {"account": account_id}):
            if chain is None or chain.account_id != row[0]:
                if chain is not None:
                    yield from chain.end()
                chain = _Chain(row[0])
                so_far.chains += 1
            if row[6] is not None:
                chain.head = (row[6], bytes(row[5]))
            else:
                so_far.rows += 1
                yield from chain.row(*row[1:6])
    if chain is not None:
        yield from chain.end()


class _Chain:
    """One chain on its way: what its next row has to follow."""

    def __init__(self, account_id: UUID) -> None:
        self.account_id = account_id
        self.head: tuple[int, bytes] | None = None
        self.seq = 0
        self.hash = GENESIS
        self.broken_end = False

    def row(self, seq: int, at: datetime, kind: str, canonical: str, stored: bytes) -> Iterator[Break]:
        stored, follows = bytes(stored), seq == self.seq + 1
        if not follows:
            missing = f"row {seq - 1} is" if seq == self.seq + 2 else f"rows {self.seq + 1} to {seq - 1} are"
            yield self._break(self.seq + 1, f"{missing} missing")
        told = self._mismatch(seq, at, kind, canonical)
        # After a gap nothing can be said about the link to what is missing; the chain goes on from this row.
        if told is None and follows and hashlib.sha256(self.hash + canonical.encode()).digest() != stored:
            told = "it was edited, or does not follow the row before it"
        if told is not None:
            yield self._break(seq, told)
        if self.head is not None and seq > self.head[0]:
            yield self._break(seq, f"it lies beyond the head, which is at row {self.head[0]}: it was inserted")
            self.broken_end = True
        self.seq, self.hash = seq, stored

    def end(self) -> Iterator[Break]:
        """Compare with the head, which is kept outside the table."""
        if self.head is None:
            yield self._break(self.seq, "no account has this id: its rows were inserted, or the account was removed")
            return
        seq, stored = self.head
        if self.seq < seq:
            cut = f"row {seq} is" if seq == self.seq + 1 else f"rows {self.seq + 1} to {seq} are"
            yield self._break(self.seq + 1, f"{cut} cut off: the head is at row {seq}")
        elif self.hash != stored and not self.broken_end:
            yield self._break(self.seq, "it is not the row that the head was written with")

    def _mismatch(self, seq: int, at: datetime, kind: str, canonical: str) -> str | None:
        """Say what a row's columns and its text do not agree on."""
        try:
            told: Any = json.loads(canonical)
        except ValueError:
            return "its text is no JSON: it was edited"
        if not isinstance(told, dict):
            return "its text is no audit row: it was edited"
        if (told.get("account"), told.get("seq")) != (str(self.account_id), seq):
            return f"it was row {told.get('seq')} of account {told.get('account')}: it was moved here"
        if (told.get("kind"), told.get("at")) != (kind, instant_text(at)):
            return "its columns do not say what its text says: it was edited"
        return None

    def _break(self, seq: int, what: str) -> Break:
        return Break(self.account_id, seq, what)
