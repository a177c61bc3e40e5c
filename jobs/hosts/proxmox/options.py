"""What the hosts file tells a Proxmox host, checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from jobs.hosts.errors import HostMisconfigured, quoted
from jobs.hosts.options import shaped

SCHEMA = Path(__file__).resolve().with_name("options.schema.json")
DEFAULT_PORT = 8006
LONGEST_SECRET = 4_096
FIRST_VMID, LAST_VMID = 10_000, 99_999

GuestType = Literal["lxc", "qemu"]


@dataclass(frozen=True, slots=True)
class KindOptions:
    """What a guest of one kind of server is made of."""

    type: GuestType
    template: str | None = None
    """The volume that a container is unpacked from; else `clone` is set."""
    clone: int | None = None
    """The guest that new ones are copies of."""
    cores: int = 1
    memory_mb: int = 1_024
    disk_gb: int = 8


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long something may take, in seconds."""

    request: float = 4.0
    start: float = 60.0
    force: float = 10.0
    create: float = 300.0
    backup: float = 180.0
    """A restore is three of these at most, which has to fit into a worker's claim of ten minutes."""
    settle: float = 3.0
    """How long a guest may go on being seen as it was after its task has ended well."""
    margin: float = 3.0
    """A task that its node bounds by itself ends a little after its bound."""
    poll: float = 0.5
    """Longest pause between two looks at a task."""


@dataclass(frozen=True, slots=True)
class ProxmoxOptions:
    """Where a cluster is, and how servers are run on it."""

    address: str
    port: int
    user: str
    token_name: str
    secret: str = field(repr=False)
    storage: str
    kinds: Mapping[str, KindOptions]
    verify: bool | str = True
    """Whether to check certificates, or the file of the authority to check them by."""
    namespace: str = "forbear"
    nodes: tuple[str, ...] = ()
    backup_storage: str | None = None
    bridge: str = "vmbr0"
    first_vmid: int = FIRST_VMID
    last_vmid: int = LAST_VMID
    timeouts: Timeouts = Timeouts()

    @classmethod
    def checked(cls, host: str, options: Mapping[str, Any]) -> Self:
        """Take the options of a hosts file. Raises HostMisconfigured."""
        options = shaped(host, SCHEMA, options)
        parts = urlsplit(options["url"])
        if (port := _port(options["url"])) is None:
            raise HostMisconfigured(host, f"`url` is {quoted(options['url'])}, and its port is none; often it is 8006")
        user, _, token_name = options["token"].partition("!")
        vmids = options.get("vmids", {})
        first, last = vmids.get("first", FIRST_VMID), vmids.get("last", LAST_VMID)
        if first > last:
            raise HostMisconfigured(host, f"`vmids`: `first` is {first}, which is after `last`, {last}; swap them")
        kinds = {name: KindOptions(**kind) for name, kind in options["kinds"].items()}
        for name, kind in kinds.items():
            if kind.type == "qemu" and kind.clone is None:
                raise HostMisconfigured(host, f"`kinds.{name}`: virtual machines are copies; name the guest in `clone`")
        plain = {name: options[name] for name in ("namespace", "backup_storage", "bridge") if name in options}
        return cls(
            address=parts.hostname or "",
            port=port,
            user=user,
            token_name=token_name,
            secret=_secret(host, options),
            storage=options["storage"],
            kinds=kinds,
            verify=_verify(host, options),
            nodes=tuple(options.get("nodes", ())),
            first_vmid=first,
            last_vmid=last,
            timeouts=Timeouts(**options.get("timeouts", {})),
            **plain,
        )


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port or DEFAULT_PORT
    except ValueError:
        return None


def _secret(host: str, options: Mapping[str, Any]) -> str:
    variable, file = options.get("secret_variable"), options.get("secret_file")
    if (variable is None) == (file is None):
        raise HostMisconfigured(host, "the token's secret is named by one of `secret_variable` and `secret_file`")
    if variable is not None:
        secret = os.environ.get(variable, "").strip()
        where = f"the variable {quoted(variable)}"
    else:
        where = f"the file {quoted(str(file))}"
        try:
            with Path(str(file)).open(encoding="utf-8") as stream:
                secret = stream.read(LONGEST_SECRET).strip()
        except (OSError, UnicodeDecodeError):
            raise HostMisconfigured(host, f"{where} cannot be read; put the token's secret there") from None
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise HostMisconfigured(host, f"{where} holds no secret of a token; put there what Proxmox showed once")
    return secret


def _verify(host: str, options: Mapping[str, Any]) -> bool | str:
    file = options.get("ca_file")
    if file is None:
        return bool(options.get("verify_tls", True))
    if not options.get("verify_tls", True):
        raise HostMisconfigured(host, "`ca_file` checks certificates and `verify_tls` turns that off; remove one")
    if not Path(file).is_file():
        raise HostMisconfigured(host, f"`ca_file` names {quoted(file)}, and there is no such file")
    return str(file)
