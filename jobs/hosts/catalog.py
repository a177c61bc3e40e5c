"""The hosts that there are, and which of them a new server goes to, as the operator's hosts file says.

Without a file there is one host, `local`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from engine.faults import Faults, meant, shown
from engine.shape import check_shape_by
from engine.source import Node
from jobs.hosts.errors import HostMisconfigured
from jobs.operator_file import OperatorFile, OperatorFileWrong, read_schema

if TYPE_CHECKING:
    from jobs.hosts.base import Host
    from storage.servers import HostUse
    from storage.settings import Settings

LOCAL: Final = "local"
NOUN: Final = "hosts"
DRIVERS: Final[Mapping[str, tuple[str, str]]] = {
    LOCAL: ("jobs.hosts.local.host", "LocalHost"),
    "docker": ("jobs.hosts.docker.host", "DockerHost"),
    "proxmox": ("jobs.hosts.proxmox", "ProxmoxHost"),
    "kubernetes": ("jobs.hosts.kubernetes", "KubernetesHost"),
}
"""Driver -> module and class, imported when a host asks for it. Each but `local` is made by `from_options`."""
_HERE: Final = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class HostEntry:
    """One host of the file."""

    name: str
    driver: str
    options: Mapping[str, Any]
    capacity: int | None = None
    """How many servers fit; `None`: no bound."""
    at: str = ""
    """File and line."""

    def make(self, settings: Settings) -> Host:
        """Make the host; opens no connection yet. Raises HostMisconfigured."""
        if self.driver == LOCAL:
            from jobs.hosts.local.host import LocalHost, default_commands

            programs = self.options.get("programs", {})
            commands = programs if {"game", "dev"} <= set(programs) else default_commands() | programs
            return LocalHost(settings.data_dir, commands, name=self.name)
        module, kind = DRIVERS[self.driver]
        made: Host = getattr(import_module(module), kind).from_options(self.name, self.options)
        return made


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every host by name, in the order of the file, and where new servers go."""

    entries: Mapping[str, HostEntry]
    placement: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Kind of server -> hosts in the order in which they are tried; a kind that is missing may go to any."""

    @property
    def local_names(self) -> frozenset[str]:
        """Names of the hosts whose servers end with us, because they run on this machine."""
        return frozenset(entry.name for entry in self.entries.values() if entry.driver == LOCAL)

    @property
    def is_bounded(self) -> bool:
        """Tell whether any host can be full."""
        return any(entry.capacity is not None for entry in self.entries.values())

    def open(self, settings: Settings) -> Mapping[str, Host]:
        """Make every host. Raises OperatorFileWrong when a driver refuses its options."""
        made: dict[str, Host] = {}
        refused = []
        for entry in self.entries.values():
            try:
                made[entry.name] = entry.make(settings)
            except HostMisconfigured as error:
                if not entry.at:
                    raise
                refused.append(f"{entry.at}: {error}")
        if refused:
            assert settings.hosts_file is not None, "only entries of a file have a place"
            raise OperatorFileWrong(NOUN, settings.hosts_file, tuple(refused))
        return MappingProxyType(made)

    def choose(self, kind: str, uses: Mapping[str, HostUse]) -> str | None:
        """Return the first host for a new server that has room and answers; else one that has room, which may answer
        again by the time a worker asks it. `None` when every one is full.
        """
        roomy = [name for name in self.placement.get(kind, tuple(self.entries)) if self._has_room(name, uses)]
        answering = (name for name in roomy if name not in uses or not uses[name].silent)
        return next(answering, roomy[0] if roomy else None)

    def _has_room(self, name: str, uses: Mapping[str, HostUse]) -> bool:
        capacity = self.entries[name].capacity
        return capacity is None or name not in uses or uses[name].servers < capacity


DEFAULT: Final = Catalog({LOCAL: HostEntry(LOCAL, LOCAL, {})})


def catalog_of(settings: Settings) -> Catalog:
    """Read the hosts file, if the settings name one. Raises OperatorFileWrong with every fault."""
    return DEFAULT if settings.hosts_file is None else read_catalog(settings.hosts_file)


def read_catalog(path: Path) -> Catalog:
    """Return what a hosts file says. Raises OperatorFileWrong with every fault."""
    file = OperatorFile(NOUN, "FORBEAR_HOSTS_FILE", path)
    root = file.read(read_schema(_HERE / "hosts.schema.json"))
    entries = _entries(root, file.faults)
    placement = _placement(root, entries, file.faults)
    file.stop_at_faults()
    return Catalog(MappingProxyType(entries), MappingProxyType(placement))


def _entries(root: Node, faults: Faults) -> dict[str, HostEntry]:
    hosts = root.get("hosts")
    assert hosts is not None, "the schema asks for it"
    entries: dict[str, HostEntry] = {}
    for name, key, value in hosts.pairs():
        driver = value.get("driver")
        assert driver is not None, "the schema asks for it"
        known = [each for each, (module, _) in DRIVERS.items() if _is_here(module)]
        if driver.text not in known:
            faults.add("M401", driver.place, f"there is no driver `{shown(driver.text)}`", meant(driver.text, known))
            continue
        options, capacity = value.get("options"), value.get("capacity")
        if options is not None:
            _check_options(driver.text, options, faults)
        plain: Mapping[str, Any] = MappingProxyType(options.plain() if options is not None else {})
        most = capacity.value if capacity is not None and isinstance(capacity.value, int) else None
        place = key.place
        entries[name] = HostEntry(name, driver.text, plain, most, f"{place.file}:{place.line}:{place.column}")
        if driver.text == LOCAL and sum(entry.driver == LOCAL for entry in entries.values()) > 1:
            hint = "this machine is one host; keep the first"
            faults.add("M402", key.place, f"`{shown(name)}` is a second host on this machine", hint)
    return entries


def _placement(root: Node, entries: Mapping[str, HostEntry], faults: Faults) -> dict[str, tuple[str, ...]]:
    placement = root.get("placement")
    hosts = root.get("hosts")
    assert hosts is not None, "the schema asks for it"
    found = {}
    for kind, _, value in placement.pairs() if placement is not None else ():
        chosen = value.items if value.kind == "list" else [value]
        for each in chosen:
            if each.text not in hosts.entries:
                hint = meant(each.text, entries)
                faults.add("M403", each.place, f"there is no host `{shown(each.text)}` under `hosts`", hint)
        found[kind] = tuple(each.text for each in chosen)
    return found


def _check_options(driver: str, options: Node, faults: Faults) -> None:
    """Judge options by the driver's schema, where it has one; the driver itself judges the rest when it is made."""
    schema = _HERE / driver / "options.schema.json"
    if schema.is_file():
        check_shape_by(options, read_schema(schema), faults)


def _is_here(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
