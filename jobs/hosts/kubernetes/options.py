"""What the hosts file tells a Kubernetes host, checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from jobs.hosts.errors import HostMisconfigured, quoted
from jobs.hosts.options import shaped

SCHEMA = Path(__file__).resolve().with_name("options.schema.json")
LONGEST_TOKEN = 16_384


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long something may take, in seconds."""

    request: float = 4.0
    start: float = 60.0
    force: float = 10.0
    create: float = 60.0
    delete: float = 60.0
    look: float = 0.2
    """Shortest time between two looks at a resource that does not change."""


@dataclass(frozen=True, slots=True)
class KubernetesOptions:
    """Where a cluster is, and which of its resources are servers."""

    url: str
    namespace: str
    group: str
    version: str
    kind: str
    plural: str
    kinds: Mapping[str, Mapping[str, Any]]
    """Kind of server -> what is written under `spec`."""
    token_file: Path | None = None
    token: str = field(default="", repr=False)
    """Of the variable; empty where the file is named."""
    ca_file: Path | None = None
    label: str = "forbear/server"
    timeouts: Timeouts = Timeouts()

    @classmethod
    def checked(cls, host: str, options: Mapping[str, Any]) -> Self:
        """Take the options of a hosts file. Raises HostMisconfigured."""
        given = shaped(host, SCHEMA, options)
        for name, kind in given["kinds"].items():
            if ours := sorted({"suspend", "packages"} & set(kind.get("spec", {}))):
                raise HostMisconfigured(host, f"`kinds.{name}.spec.{ours[0]}` is ours to write; remove it")
        if find_spec("kubernetes") is None:
            raise HostMisconfigured(host, "its library is not there; `pip install 'forbear[kubernetes]'`")
        ca_file = given.get("ca_file")
        if ca_file is not None and not Path(ca_file).is_file():
            raise HostMisconfigured(host, f"`ca_file` names {quoted(ca_file)}, and there is no such file")
        made = cls(
            url=given["url"].rstrip("/"),
            namespace=given["namespace"],
            group=given["group"],
            version=given["version"],
            kind=given["kind"],
            plural=given.get("plural", f"{given['kind'].lower()}s"),
            kinds={name: kind.get("spec", {}) for name, kind in given["kinds"].items()},
            token_file=Path(given["token_file"]) if "token_file" in given else None,
            token=os.environ.get(given.get("token_variable", ""), "").strip(),
            ca_file=Path(ca_file) if ca_file is not None else None,
            **({"label": given["label"]} if "label" in given else {}),
            timeouts=Timeouts(**given.get("timeouts", {})),
        )
        if ("token_file" in given) == ("token_variable" in given):
            raise HostMisconfigured(host, "the token is named by one of `token_file` and `token_variable`")
        made.read_token(host)
        return made

    def read_token(self, host: str) -> str:
        """Return the token as it is now: the cluster replaces that of a file every hour. Raises HostMisconfigured."""
        if self.token_file is None:
            token, where = self.token, "the variable of `token_variable`"
        else:
            where = f"the file {quoted(str(self.token_file))}"
            try:
                with self.token_file.open(encoding="utf-8") as stream:
                    token = stream.read(LONGEST_TOKEN).strip()
            except (OSError, UnicodeDecodeError):
                raise HostMisconfigured(host, f"{where} cannot be read; put a service account's token there") from None
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise HostMisconfigured(host, f"{where} holds no token; put a service account's there")
        return token
