"""What an embedded server can fail with: one error, whose facts make its sentence."""

from __future__ import annotations

from pathlib import Path

from storage.errors import StorageError


class EmbeddedError(StorageError):
    """An embedded server cannot be started or kept; says which, where, why and what to do."""

    def __init__(self, server: str, folder: Path, reason: str, *, log_lines: list[str] | None = None) -> None:
        self.server = server
        self.folder = folder
        self.reason = reason
        self.log_lines = log_lines or []
        quoted = "".join(f"\n    {line}" for line in self.log_lines)
        its_log = f"; the last lines of its log:{quoted}" if quoted else ""
        super().__init__(f"{server} in `{folder}`: {reason}{its_log}")
