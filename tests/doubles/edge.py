"""A name server or proxy that is a table in memory, and that can be told to refuse, or to show less than it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jobs.edge.base import EdgeError, Entry, Look


@dataclass
class DriverDouble:
    """The contract of an edge's driver. `calls` lists what was asked, in order."""

    name: str
    entries: dict[str, Entry] = field(default_factory=dict)
    trouble: EdgeError | None = None
    """Raised by whatever is asked."""
    taken: set[str] = field(default_factory=set)
    """Labels that somebody else has."""
    before: Callable[[], object] | None = None
    """What happens just before anything is answered."""
    calls: list[tuple[str, str]] = field(default_factory=list)

    def expected(self, entry: Entry) -> frozenset[str]:
        """One line an entry."""
        return frozenset({f"{entry.label} {entry.address}:{entry.port}"})

    def publish(self, entry: Entry) -> None:
        """Remember the entry."""
        self._ask("publish", entry.server_id)
        self.entries[entry.server_id] = entry

    def withdraw(self, entry: Entry) -> None:
        """Forget it."""
        self._ask("withdraw", entry.server_id)
        self.entries.pop(entry.server_id, None)

    def observe_all(self) -> Look:
        """Show everything, or fail as a whole."""
        self._ask("observe_all", "-")
        return Look({key: self.expected(entry) for key, entry in self.entries.items()}, frozenset(self.taken))

    def _ask(self, verb: str, server_id: str) -> None:
        self.calls.append((verb, server_id))
        if self.before is not None:
            self.before()
        if self.trouble is not None:
            raise self.trouble
