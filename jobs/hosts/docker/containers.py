"""The containers that are ours: how they are named, labelled, found again, and what is seen of them.

INVARIANT: a container is ours only when its name and its labels both say so; every command first reads both, and then
names the container by its id, so that one that takes the name meanwhile is never touched.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jobs.hosts.base import Observation, Observed
from jobs.hosts.docker.client import CONFLICT, APIError, ImageNotFound, NotFound
from jobs.hosts.errors import HostMisconfigured, HostUnavailable, ServerMissing

if TYPE_CHECKING:
    from jobs.hosts.base import ServerSpec
    from jobs.hosts.docker.client import Client, Engine
    from jobs.hosts.docker.options import KindOptions

SERVER, NAMESPACE, KIND, DATA = "forbear.server", "forbear.namespace", "forbear.kind", "forbear.data"
DRAFT_OF = "forbear.draft-of"
REPLACED = "-replaced-"
"""In the name of a container that a restore was about to replace. Its data is whole."""
BY_HAND: Final = "no"
BY_ITSELF: Final = "unless-stopped"
PULL_SECONDS = 120.0
RUN_SECONDS = 60
MISSING = Observation("missing", None, "the Engine knows no such container")

# What each state of the Engine means. One that is missing here is unknown: it never counts as stopped.
STATES: Mapping[str, Observed] = {
    "created": "stopped",
    "exited": "stopped",
    "running": "running",
    "paused": "running",  # frozen, and back at once when somebody thaws it
    "restarting": "running",  # between two tries of a restart policy
    "removing": "unknown",
    "dead": "unknown",  # a removal that failed: somebody has to look
}
_LOG = {"Type": "json-file", "Config": {"max-size": "8m", "max-file": "2"}}


@dataclass(frozen=True, slots=True)
class Container:
    """One container as the Engine shows it."""

    id: str
    name: str
    server_id: str
    kind: str
    state: str
    exit_code: int
    restart: str
    """Name of its restart policy."""
    volume: str
    """The volume that holds the customer's files."""
    data: str
    """Where in the container they are."""

    port: int | None = None
    """Where the Engine publishes its port; `None` while it does not run."""

    @property
    def observed(self) -> Observed:
        return STATES.get(self.state, "unknown")

    @property
    def autostart(self) -> bool:
        """Whether the Engine starts it when the Engine itself starts, or when it ends by itself."""
        return self.restart not in ("", BY_HAND)

    @property
    def observation(self) -> Observation:
        detail = f"exited with {self.exit_code}" if self.state == "exited" else self.state
        return Observation(self.observed, self.autostart, detail, self.port)


class Containers:
    """The containers of one namespace of an Engine. Its methods raise what the SDK raises, and HostError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._host = engine.host
        self._options = engine.options

    @property
    def _client(self) -> Client:
        return self._engine.client

    def name_of(self, server_id: str) -> str:
        """The one name of a server's container: asking twice for one makes one."""
        return f"{self._options.namespace}-{server_id}"

    def labels(self, spec: ServerSpec) -> dict[str, str]:
        """Return what says whose a container is. Its data directory stands there too: the options may change."""
        own = {SERVER: spec.server_id, KIND: spec.kind, DATA: self.kind_of(spec.kind).data}
        return {NAMESPACE: self._options.namespace, **own}

    def find(self, server_id: str) -> Container | None:
        """Return the server's container. Raises HostMisconfigured when somebody else's has its name."""
        name = self.name_of(server_id)
        try:
            shown = self._client.inspect_container(name)
        except NotFound:
            left = [row for row in self.rows(server_id) if row[1].startswith(name + REPLACED)]
            # a restore died before it could put the new container in place
            return None if not left else self._inspected(left[0][0], server_id)
        return self._ours(shown, server_id)

    def required(self, server_id: str) -> Container:
        """Return the server's container. Raises ServerMissing."""
        found = self.find(server_id)
        if found is None:
            raise ServerMissing(server_id)
        return found

    def rows(self, server_id: str | None = None) -> list[tuple[str, str, str, str, int | None]]:
        """List id, name, server, state and port of every container that has our labels and a name that we give.

        Raises HostUnavailable when any part of the answer is missing: then nothing follows from the others.
        """
        label = SERVER if server_id is None else f"{SERVER}={server_id}"
        wanted = {"label": [f"{NAMESPACE}={self._options.namespace}", label]}
        rows: Any = self._client.containers(all=True, filters=wanted)
        if not isinstance(rows, list):
            raise HostUnavailable(self._host, "the Engine's list is none")
        found = []
        for row in rows:
            try:
                container, state, owner = str(row["Id"]), str(row["State"]), str(row["Labels"][SERVER])
                names = [str(name).removeprefix("/") for name in row["Names"]]
                port = self._listed_port(row)
            except (KeyError, TypeError) as error:
                raise HostUnavailable(self._host, "the Engine's list is not whole") from error
            ours = self.name_of(owner)
            # a container made from a copy of one of ours inherits the labels, and is somebody else's all the same
            found += [
                (container, name, owner, state, port)
                for name in names
                if name == ours or name.startswith(ours + REPLACED)
            ]
        return found

    def create(self, spec: ServerSpec, volume: str, *, restart: str = BY_HAND, filled: bool = False) -> Container:
        """Make the server's container unless there is one. filled: the volume is as it should be, even when empty."""
        config = self._config(spec, self.labels(spec), _mount(volume, self.kind_of(spec.kind).data, filled), restart)
        self._make(self.name_of(spec.server_id), config)
        return self.required(spec.server_id)

    def create_draft(self, spec: ServerSpec, volume: str, name: str) -> str:
        """Make a container that never runs, to reach a volume through, and return its id."""
        labels = {NAMESPACE: self._options.namespace, DRAFT_OF: spec.server_id}
        mount = _mount(volume, self.kind_of(spec.kind).data, filled=True)
        self._make(name, self._config(spec, labels, mount, BY_HAND))
        return str(self._client.inspect_container(name)["Id"])

    def run_once(self, found: Container, words: list[str]) -> None:
        """Run a program of the server's own image on its volume, and nothing else, to its end."""
        labels = {NAMESPACE: self._options.namespace, DRAFT_OF: found.server_id}
        host = {
            "Mounts": [_mount(found.volume, found.data, filled=True)],
            "NetworkMode": "none",
            "RestartPolicy": {"Name": BY_HAND},
            "SecurityOpt": ["no-new-privileges:true"],
        }
        config = {
            "Image": self.kind_of(found.kind).image,
            "Labels": labels,
            "User": "0:0",
            "Entrypoint": words[:1],
            "Cmd": words[1:],
            "HostConfig": host,
        }
        made = self._client.make(f"{found.name}-once-{secrets.token_hex(4)}", config)
        try:
            self._client.start(made)
            self._client.wait(made, timeout=RUN_SECONDS)
        finally:
            self._client.remove_container(made, v=False, force=True)

    def kind_of(self, kind: str) -> KindOptions:
        """Return what a kind of server is made of. Raises HostMisconfigured."""
        try:
            return self._options.kinds[kind]
        except KeyError:
            raise HostMisconfigured(self._host, f"`kinds` says nothing of servers of kind `{kind}`") from None

    def _make(self, name: str, config: dict[str, Any]) -> None:
        try:
            self._client.make(name, config)
        except ImageNotFound:
            self._client.fetch_image(config["Image"], max(PULL_SECONDS, self._options.timeout_seconds))
            self._client.make(name, config)
        except APIError as error:
            if error.status_code != CONFLICT:  # somebody was faster: whether it is ours is asked next
                raise

    def _config(self, spec: ServerSpec, labels: dict[str, str], mount: dict[str, Any], restart: str) -> dict[str, Any]:
        kind = self.kind_of(spec.kind)
        own = {"SERVER_ID": spec.server_id, "SERVER_NAME": spec.name}
        host: dict[str, Any] = {
            "Mounts": [mount],
            "RestartPolicy": {"Name": restart},
            "SecurityOpt": ["no-new-privileges:true"],
            "LogConfig": _LOG,
            "Init": True,
        }
        config: dict[str, Any] = {"Image": kind.image, "Labels": labels, "OpenStdin": True, "HostConfig": host}
        if kind.port is not None:
            own["PORT"] = str(kind.port)
            inside = f"{kind.port}/tcp"
            config["ExposedPorts"] = {inside: {}}
            published = {"HostIp": self._options.publish_on, "HostPort": str(spec.port) if spec.port else ""}
            host["PortBindings"] = {inside: [published]}
        config["Env"] = [f"{name}={value}" for name, value in (dict(kind.environment) | own).items()]
        if kind.command:
            config["Cmd"] = list(kind.command)
        if kind.user:
            config["User"] = kind.user
        most = {
            "Memory": kind.memory_mb and kind.memory_mb * 1024 * 1024,
            "NanoCpus": kind.cpus and kind.cpus * 1_000_000_000,
            "PidsLimit": kind.processes,
        }
        host |= {key: bound for key, bound in most.items() if bound}
        return config

    def _listed_port(self, row: Any) -> int | None:
        """Return where the Engine's list says that the port of a kind is published."""
        kind = self._options.kinds.get(str(row["Labels"].get(KIND)))
        listed = row.get("Ports") or []
        found = [int(each["PublicPort"]) for each in listed if kind and _is_of(each, kind.port)]
        return min(found, default=None)

    def _bound_port(self, shown: Any, kind: str) -> int | None:
        """Return the same of a container that is inspected."""
        options = self._options.kinds.get(kind)
        bound = ((shown.get("NetworkSettings") or {}).get("Ports") or {}) if options is not None else {}
        there = bound.get(f"{options.port}/tcp") if options is not None else None
        return min((int(each["HostPort"]) for each in there or [] if each.get("HostPort")), default=None)

    def _inspected(self, container: str, server_id: str) -> Container | None:
        try:
            return self._ours(self._client.inspect_container(container), server_id)
        except NotFound:
            return None

    def _ours(self, shown: Any, server_id: str) -> Container:
        try:
            labels = shown["Config"]["Labels"] or {}
            name = str(shown["Name"]).removeprefix("/")
            if labels.get(SERVER) != server_id or labels.get(NAMESPACE) != self._options.namespace:
                raise HostMisconfigured(
                    self._host, f"a container `{name}` stands there that is not ours; rename it, or remove it"
                )
            data = str(labels[DATA])
            volumes = [str(mount["Name"]) for mount in shown["Mounts"] if mount["Destination"] == data]
            return Container(
                str(shown["Id"]),
                name,
                server_id,
                str(labels[KIND]),
                str(shown["State"]["Status"]),
                int(shown["State"]["ExitCode"]),
                str(shown["HostConfig"]["RestartPolicy"]["Name"]),
                volumes[0] if volumes else "",
                data,
                self._bound_port(shown, str(labels[KIND])),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise HostUnavailable(self._host, "what the Engine shows of a container is not whole") from error


def _is_of(listed: Any, port: int | None) -> bool:
    return bool(listed.get("PublicPort")) and listed.get("Type") == "tcp" and listed.get("PrivatePort") == port


def _mount(volume: str, data: str, filled: bool) -> dict[str, Any]:
    """Describe a volume's mount. Unless `filled`, the Engine copies into an empty one what the image has there."""
    return {"Type": "volume", "Source": volume, "Target": data, "VolumeOptions": {"NoCopy": filled}}
