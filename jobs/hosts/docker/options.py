"""What the hosts file tells a Docker host, checked."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from jobs.hosts.errors import HostMisconfigured, quoted
from jobs.hosts.options import shaped

SCHEMA = Path(__file__).resolve().with_name("options.schema.json")
DEFAULT_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class KindOptions:
    """What a container of one kind of server is made of."""

    image: str
    command: tuple[str, ...] = ()
    """Empty: what the image says."""
    data: str = "/data"
    """The directory that is the customer's."""
    port: int | None = None
    """The TCP port inside; `None`: nothing is published."""
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    memory_mb: int | None = None
    cpus: int | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class DockerOptions:
    """Where an Engine is, and how servers are run on it."""

    url: str
    folder: Path
    kinds: Mapping[str, KindOptions]
    namespace: str = "forbear"
    publish_on: str = "127.0.0.1"
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    settle_seconds: float = 3.0
    """How long a container that was told to end may still be seen running before it is ended by force."""
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @classmethod
    def checked(cls, host: str, options: Mapping[str, Any]) -> Self:
        """Take the options of a hosts file. Raises HostMisconfigured."""
        options = shaped(host, SCHEMA, options)
        files: dict[str, Path] = {
            name: Path(options[name]) for name in ("ca_file", "cert_file", "key_file") if name in options
        }
        for name, path in files.items():
            if not path.is_file():
                raise HostMisconfigured(host, f"`{name}` names {quoted(str(path))}, and there is no such file")
        url = str(options["url"])
        _refuse_open_door(host, url, files)
        kinds = {
            name: KindOptions(**{**kind, "command": tuple(kind.get("command", ()))})
            for name, kind in options["kinds"].items()
        }
        plain: dict[str, Any] = {
            name: options[name] for name in ("namespace", "publish_on", "timeout_seconds") if name in options
        }
        return cls(url=url, folder=Path(options["folder"]), kinds=kinds, **plain | files)


def _refuse_open_door(host: str, url: str, files: Mapping[str, Path]) -> None:
    """Refuse an Engine that is reached over a network without certificates: whoever reaches it is root there."""
    parts = urlsplit(url)
    if parts.scheme != "tcp":
        if files:
            raise HostMisconfigured(host, f"certificates are for `tcp://` addresses, and `url` is {quoted(url)}")
        return
    try:
        name, port = parts.hostname or "", parts.port
    except ValueError:
        port = None
    if not port:
        raise HostMisconfigured(host, f"`url` is {quoted(url)}, and names no port; with certificates it is often 2376")
    if files:
        if {"ca_file", "cert_file"} - files.keys():
            raise HostMisconfigured(host, "`ca_file`, `cert_file` and `key_file` go together")
        return
    try:
        near = ipaddress.ip_address(name).is_loopback
    except ValueError:
        near = name == "localhost"
    if not near:
        hint = "give `ca_file`, `cert_file` and `key_file`, or use `ssh://`"
        raise HostMisconfigured(host, f"`url` is {quoted(url)}, over which anybody could command the Engine; {hint}")
