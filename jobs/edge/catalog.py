"""The edge of a deployment, as the operator's edge file says. Without one: a zone file of ours, and no proxy."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from engine.durations import parse_duration
from engine.faults import shown
from engine.shape import check_shape_by
from engine.source import Node
from jobs.edge.base import Driver, Edge, Site
from jobs.edge.records import Dns, Zone, ZoneStore
from jobs.operator_file import OperatorFile, read_schema
from storage.settings import EDGE_PREFIX, Settings

SCHEMA: Final = Path(__file__).resolve().with_name("edge.schema.json")
SERVICES: Final = {"game": "_minecraft._tcp"}
DEFAULT_ZONE: Final = "servers.internal"
DEFAULT_TTL: Final = timedelta(minutes=5)
TTLS: Final = (timedelta(seconds=30), timedelta(days=1))
DEFAULT_OWNER: Final = "forbear"
LOOK_EVERY: Final = timedelta(minutes=1)
LOOK_AT_FILE_EVERY: Final = timedelta(seconds=15)
DNS_PORT: Final = 53
CONSOLE_PORT: Final = 25575


def edge_of(settings: Settings) -> Edge:
    """Put together what leads to servers; opens no connection yet. Raises OperatorFileWrong with every fault."""
    if settings.edge_file is not None:
        return _Reader(settings, settings.edge_file).read()
    zone = Zone(DEFAULT_ZONE, int(DEFAULT_TTL.total_seconds()), DEFAULT_OWNER)
    names = Dns(zone, _zone_file(zone, settings, {}))
    look_every = LOOK_AT_FILE_EVERY.total_seconds()
    return Edge({"local": Site("127.0.0.1")}, SERVICES, names, None, look_every, leads_people=False)


def check_edge_file(env: Mapping[str, str]) -> None:
    """Read the edge file that the environment names, if it names one. Raises OperatorFileWrong with every fault."""
    if file := env.get("FORBEAR_EDGE_FILE", "").strip():
        secrets = {name: value for name, value in env.items() if name.startswith(EDGE_PREFIX)}
        edge_of(Settings(database_url="", edge_file=Path(file).absolute(), edge_secrets=secrets))


class _Reader:
    """Reads one edge file."""

    def __init__(self, settings: Settings, path: Path) -> None:
        self.settings = settings
        self.file = OperatorFile("edge", "FORBEAR_EDGE_FILE", path)
        self.schema = read_schema(SCHEMA)

    def read(self) -> Edge:
        root = self.file.read(self.schema)
        sites = {name: self._site(value) for name, _, value in root.entries["sites"][1].pairs()}
        services = root.get("services")
        names = self._dns(node) if (node := root.get("dns")) is not None else None
        proxy = self._proxy(node) if (node := root.get("proxy")) is not None else None
        hold = self._site(node) if (node := root.get("hold")) is not None else None
        look_every = self._duration(root.get("look_every"), LOOK_EVERY)
        self.file.stop_at_faults()
        kinds = services.plain() if services is not None else SERVICES
        return Edge(sites, kinds, names, proxy, look_every.total_seconds(), hold=hold)

    def _site(self, node: Node) -> Site:
        address, port = node.entries["address"][1], node.get("port")
        return Site(self._address(address), _whole(port, 0))

    def _dns(self, node: Node) -> Driver | None:
        ttl = self._duration(node.get("ttl"), DEFAULT_TTL)
        if not TTLS[0] <= ttl <= TTLS[1]:
            hint = "`5m` suits servers that may move"
            self._fault("M412", node.entries["ttl"][1], "a record lives between 30s and 1d", hint)
        owner = node.get("owner")
        zone = Zone(node.entries["zone"][1].text, int(ttl.total_seconds()), owner.text if owner else DEFAULT_OWNER)
        driver = node.entries["driver"][1].text
        options = self._options(node, driver)
        if options is None:
            return None
        if driver == "zone_file":
            return Dns(zone, _zone_file(zone, self.settings, options.plain()))
        if driver == "rfc2136":
            return Dns(zone, self._rfc2136(zone, options))
        return Dns(zone, self._cloudflare(zone, options))

    def _rfc2136(self, zone: Zone, options: Node) -> ZoneStore:
        from jobs.edge.rfc2136 import NameServer, Tsig

        secret, algorithm = options.entries["secret"][1], options.get("algorithm")
        text = self._secret(secret)
        try:
            base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            self._fault("M414", secret, f"`{secret.text}` holds no key", "a key is Base64, as `tsig-keygen` prints it")
        key = Tsig(options.entries["key"][1].text, algorithm.text if algorithm else "hmac-sha256", text)
        return NameServer(zone, self._address(options.entries["server"][1]), _whole(options.get("port"), DNS_PORT), key)

    def _cloudflare(self, zone: Zone, options: Node) -> ZoneStore:
        from jobs.edge.cloudflare import CloudflareZone

        base_url = options.get("base_url")
        token = self._secret(options.entries["token"][1])
        return CloudflareZone(zone, options.entries["zone_id"][1].text, token, base_url.text if base_url else "")

    def _proxy(self, node: Node) -> Driver | None:
        from jobs.edge.velocity import Velocity

        options = self._options(node, node.entries["driver"][1].text)
        if options is None:
            return None
        address, domain = options.get("address"), options.get("domain")
        console = (self._address(address) if address else "127.0.0.1", _whole(options.get("port"), CONSOLE_PORT))
        password = self._secret(options.entries["password"][1])
        file = Path(options.entries["file"][1].text)
        return Velocity(file, console, password, domain=domain.text if domain else "")

    # ---- parts -------------------------------------------------------------------------------------------------------

    def _options(self, node: Node, driver: str) -> Node | None:
        """Return the driver's options, checked; `None` when they have a fault."""
        options = node.get("options")
        if options is None:
            options = Node("map", str(self.file.path), node.start)
        before = len(self.file.faults)
        check_shape_by(options, {**self.schema["$defs"][driver], "$defs": self.schema["$defs"]}, self.file.faults)
        return options if len(self.file.faults) == before else None

    def _address(self, node: Node) -> str:
        try:
            return str(ipaddress.ip_address(node.text))
        except ValueError:
            self._fault("M411", node, f"`{shown(node.text)}` is no IP address", "write one such as `203.0.113.10`")
            return "0.0.0.0"  # noqa: S104 - never used: there is a fault

    def _secret(self, node: Node) -> str:
        found = self.settings.edge_secrets.get(node.text, "").strip()
        if not found:
            self._fault("M413", node, f"the variable `{shown(node.text)}` is not set", "set it where workers run")
        return found

    def _duration(self, node: Node | None, default: timedelta) -> timedelta:
        return (parse_duration(node.text) if node is not None else None) or default

    def _fault(self, code: str, node: Node, message: str, hint: str) -> None:
        self.file.faults.add(code, node.place, message, hint)


def _zone_file(zone: Zone, settings: Settings, options: Mapping[str, Any]) -> ZoneStore:
    from jobs.edge.zonefile import ZoneFile

    return ZoneFile(zone, Path(options.get("file") or settings.data_dir / "edge" / f"{zone.name}.zone"))


def _whole(node: Node | None, default: int) -> int:
    return node.value if node is not None and isinstance(node.value, int) else default
