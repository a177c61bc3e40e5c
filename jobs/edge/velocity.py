"""Registration at a Velocity proxy: `velocity.toml` is written, reloaded over the console, and read back.

Each entry of ours ends with the comment `forbear SERVER`; the rest of the file is its operator's and stays as it is.
What Velocity does (3.x, `reloadConfiguration`): a reload registers what is new, moves what has changed, keeps what was
removed until its next start, and drops forced hosts at once. A file that it refuses changes nothing; it is put back.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jobs.edge.base import EdgeTaken, EdgeUnavailable, Entry, Look
from jobs.edge.files import locked, replace_file, trouble_of
from jobs.edge.rcon import Rcon

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

MOST_BYTES: Final = 8 * 1024 * 1024
TIMEOUT_SECONDS: Final = 10.0
KNOWN_WITHIN_SECONDS: Final = 3.0
SECTIONS: Final = ("servers", "forced-hosts")
OURS: Final = re.compile(r"# forbear ([0-9a-f-]{36})")
RELOADED: Final = "successfully reloaded"
REFUSED: Final = "unable to reload"


class Velocity:
    """One proxy, whose file lies on this machine."""

    name = "velocity"

    def __init__(
        self,
        file: Path,
        console: tuple[str, int],
        password: str,
        *,
        domain: str = "",
        timeout_seconds: float = TIMEOUT_SECONDS,
        known_within_seconds: float = KNOWN_WITHIN_SECONDS,
    ) -> None:
        self.file = file
        self.console = console
        self.domain = domain
        """Names under it lead to servers of that label; empty: no forced hosts."""
        self.timeout_seconds = timeout_seconds
        self.known_within_seconds = known_within_seconds
        """How long after a reload the proxy may take to know what it has read."""
        self._password = password

    def expected(self, entry: Entry) -> frozenset[str]:
        """Return what is shown of an entry in order; nothing while its port is not known."""
        if not entry.port:
            return frozenset()
        lines = {f"{entry.label} = {place_of(entry)}", f"{entry.label} is registered"}
        return frozenset(lines | {f"{host} leads there" for host in self._hosts(entry.label)})

    def publish(self, entry: Entry) -> None:
        """Register the server, and see that the proxy knows it."""
        if not entry.port:
            return
        with trouble_of(self.name, self.file), locked(self.file), self._session() as console:
            before, document = self._read()
            if self._put(document, entry):
                self._replace(console, before, document)
            elif is_known(console, entry.label):
                return
            else:
                self._reload(console)
            give_up_at = time.monotonic() + self.known_within_seconds
            while not is_known(console, entry.label):
                if time.monotonic() > give_up_at:
                    raise EdgeUnavailable(self.name, f"it was reloaded and does not know `{entry.label}`")
                time.sleep(0.1)

    def withdraw(self, entry: Entry) -> None:
        """Remove what is ours of the server, and see the reload through."""
        with trouble_of(self.name, self.file), locked(self.file):
            before, document = self._read()
            if self._remove(document, entry.server_id):
                with self._session() as console:
                    self._replace(console, before, document)

    def observe_all(self) -> Look:
        """Return what the file says, and of each of ours whether the proxy knows it."""
        ours: dict[str, set[str]] = {}
        taken: set[str] = set()
        with trouble_of(self.name, self.file), self._session() as console:
            _, document = self._read()
            servers, hosts = (document.get(section, {}) for section in SECTIONS)
            for label in servers:
                if (owner := owner_of(servers, label)) is None:
                    taken.add(label.lower())
                    continue
                lines = ours.setdefault(owner, set())
                lines.add(f"{label} = {servers[label]}")
                if is_known(console, label):
                    lines.add(f"{label} is registered")
            for host in hosts:
                if (owner := owner_of(hosts, host)) is None:
                    taken.add(host.lower().removesuffix(f".{self.domain}"))
                else:
                    leads = [self._hosts(str(label)) for label in hosts[host]] == [[host]]
                    ours.setdefault(owner, set()).add(f"{host} leads {'there' if leads else 'elsewhere'}")
        return Look({owner: frozenset(lines) for owner, lines in ours.items()}, frozenset(taken))

    # ---- the file ----------------------------------------------------------------------------------------------------

    def _read(self) -> tuple[bytes, TOMLDocument]:
        import tomlkit
        from tomlkit.exceptions import TOMLKitError

        with self.file.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise EdgeUnavailable(self.name, f"`{self.file.name}` is larger than {MOST_BYTES // 1024 // 1024} MiB")
        try:
            document = tomlkit.parse(content)
        except (TOMLKitError, ValueError) as error:
            raise EdgeUnavailable(self.name, f"`{self.file.name}` cannot be read: {error}") from error
        if not all(isinstance(document.get(section, {}), dict) for section in SECTIONS) or "servers" not in document:
            raise EdgeUnavailable(self.name, f"`{self.file.name}` has no section `[servers]`")
        return content, document

    def _put(self, document: TOMLDocument, entry: Entry) -> bool:
        """Let the document say where the server is; tell whether that is news. Raises EdgeTaken."""
        import tomlkit

        wanted: dict[str, dict[str, Any]] = {
            "servers": {entry.label: place_of(entry)},
            "forced-hosts": {host: [entry.label] for host in self._hosts(entry.label)},
        }
        for section, entries in wanted.items():
            table = document.get(section, {})
            for name in table:
                owner = owner_of(table, name)
                if name.lower() in entries and owner != entry.server_id:
                    raise EdgeTaken(self.name, name, f"an entry of `[{section}]`")
        ours = {
            section: {name: table[name] for name in table if owner_of(table, name) == entry.server_id}
            for section in SECTIONS
            for table in (document.get(section, {}),)
        }
        if ours == wanted:
            return False
        self._remove(document, entry.server_id)
        for section, entries in wanted.items():
            if entries and section not in document:
                document.add(section, tomlkit.table())
            for name, value in entries.items():
                item = tomlkit.item(value)
                item.comment(f"forbear {entry.server_id}")
                document[section].add(name, item)
        return True

    def _remove(self, document: TOMLDocument, server_id: str) -> bool:
        found = False
        for section in SECTIONS:
            table: Any = document.get(section, {})
            for name in [each for each in table if owner_of(table, each) == server_id]:
                table.remove(name)
                found = True
        return found

    def _replace(self, console: Rcon, before: bytes, document: TOMLDocument) -> None:
        """Write the file and have it reloaded. One that the proxy refuses would keep it from its next start."""
        replace_file(self.file, document.as_string().encode())
        try:
            self._reload(console)
        except _Refused:
            replace_file(self.file, before)
            raise

    # ---- the proxy ---------------------------------------------------------------------------------------------------

    def _session(self) -> Rcon:
        return Rcon(self.name, *self.console, self._password, self.timeout_seconds)

    def _reload(self, console: Rcon) -> None:
        answer = console.run("velocity reload")
        if REFUSED in answer.lower():
            raise _Refused(self.name, "it refuses to reload its file, and its log says why; the file was put back")
        if RELOADED not in answer.lower():
            raise EdgeUnavailable(self.name, f"it answered a reload with `{answer[:100]}`")

    def _hosts(self, label: str) -> list[str]:
        return [f"{label}.{self.domain}"] if self.domain else []


class _Refused(EdgeUnavailable):
    """The proxy has looked at the file and does not want it."""


def owner_of(table: Any, name: str) -> str | None:
    """Return the server whose mark an entry carries; `None`: it is somebody else's."""
    trivia = getattr(table[name], "trivia", None)
    found = OURS.fullmatch(trivia.comment.strip()) if trivia is not None else None
    return None if found is None else found[1]


def is_known(console: Rcon, label: str) -> bool:
    """Ask the proxy for the players of a server: it tells so whether it knows the server."""
    return console.run(f"glist {label}").startswith(f"[{label}] (")


def place_of(entry: Entry) -> str:
    """Return address and port as the file has them."""
    address = f"[{entry.address}]" if ":" in entry.address else entry.address
    return f"{address}:{entry.port}"
