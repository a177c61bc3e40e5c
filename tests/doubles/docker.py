"""A Docker Engine that speaks its HTTP API on a real socket, and can be told to fail in the ways in which Engines do.

Written from the API's reference. Volumes are real directories; a container's program is one that greets, answers `list`
on its console and ends when it is told to.
"""

from __future__ import annotations

import itertools
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.doubles.docker_archives import Archives, path_stat, remove
from tests.doubles.docker_http import Answer, Handler
from tests.doubles.listener import Listener

FIRST_LINE, QUESTION, ANSWER = "ready", "list", "0 players online"
LIVING = ("running", "paused", "restarting")


@dataclass
class Container:
    """One container of the double."""

    id: str
    name: str
    config: dict[str, Any]
    state: str = "created"
    exit_code: int = 0
    stopped_by_hand: bool = False
    log: list[tuple[int, str]] = field(default_factory=list)

    @property
    def restart(self) -> str:
        """Name of its restart policy."""
        return str(self.config["HostConfig"].get("RestartPolicy", {}).get("Name", "no"))

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return dict(self.config.get("Labels") or {})

    @property
    def mounts(self) -> dict[str, str]:
        """Directory in the container -> volume."""
        return {mount["Target"]: mount["Source"] for mount in self.config["HostConfig"].get("Mounts", [])}


@dataclass
class DockerDouble:
    """Use as a context manager. `root` holds the volumes. Verbs are the names in `docker_http.VERBS`."""

    root: Path
    images: set[str] = field(default_factory=lambda: {"game:1"})
    image_files: dict[str, str] = field(default_factory=dict)
    """What every image has where volumes are mounted: an Engine copies it into a volume that is empty."""
    fetchable: set[str] = field(default_factory=set)
    """Images that a registry has."""
    hang_seconds: dict[str, float] = field(default_factory=dict)
    """Verb -> how long it takes to answer."""
    fails: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Verb -> status and message of every answer."""
    cut: set[str] = field(default_factory=set)
    """Verbs whose answers break off in the middle."""
    hidden: set[str] = field(default_factory=set)
    """Names of containers that the list leaves out."""
    deaf: bool = False
    """Takes every stop, and everything goes on running."""
    immortal: bool = False
    """Takes every kill too."""
    forgetful: bool = False
    """Takes every restart policy, and keeps the old one."""
    rewrite_list: Callable[[Any], Any] = lambda rows: rows
    calls: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """(verb, container or volume, query) of everything that was asked, in order."""
    containers: dict[str, Container] = field(default_factory=dict)
    volumes: dict[str, dict[str, str]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    port: int = 0
    open_connections: set[socket.socket] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._instants = itertools.count(1_772_000_000 * 10**9, 1_000)
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_seconds.clear()
        self.close()

    def listen(self) -> None:
        """Take connections, on the same port as before."""
        here = self

        class OfThisOne(Handler):
            engine = here

        self._listener = Listener(OfThisOne, port=self.port)
        self.port = self._listener.port

    def close(self) -> None:
        """Take no connections, and break off those that there are."""
        self._listener.close()
        for connection in list(self.open_connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"tcp://127.0.0.1:{self.port}"

    def named(self, name: str) -> Container:
        """Return a container by its name."""
        return next(each for each in self.containers.values() if each.name == name)

    def asked(self, verb: str) -> list[dict[str, str]]:
        """Return the queries of everything that was asked of this verb."""
        return [query for name, _, query in self.calls if name == verb]

    def restart_daemon(self) -> None:
        """Let the Engine go down with all containers, and come up with those whose restart policy says so."""
        with self.lock:
            for each in self.containers.values():
                if each.state in LIVING:
                    each.state, each.exit_code = "exited", 137
                kept = each.restart == "unless-stopped" and not each.stopped_by_hand
                if each.restart == "always" or kept:
                    self.run(each)

    def run(self, found: Container) -> None:
        """Start a container's program."""
        found.state, found.stopped_by_hand = "running", False
        entry = found.config.get("Entrypoint")
        if entry == ["rm"]:
            where = self.archives(found)
            for path in found.config["Cmd"]:
                if path.startswith("/") and (target := where.at(path)) is not None:
                    remove(target)
            found.state, found.exit_code = "exited", 0
        else:
            self.say(found, FIRST_LINE)

    def say(self, found: Container, line: str) -> None:
        """Print a line, as the container's program."""
        found.log.append((next(self._instants), line))

    def typed(self, found: Container, line: str) -> None:
        """Let the container's program read a line."""
        with self.lock:
            self.say(found, ANSWER if line == QUESTION else f"unknown: {line}")

    def end(self, found: Container, code: int) -> None:
        """End a container's program."""
        if found.state in LIVING:
            found.state, found.exit_code = "exited", code

    def archives(self, found: Container) -> Archives:
        """Return the files of a container."""
        return Archives({target: self.root / volume for target, volume in found.mounts.items()})

    def answer(self, verb: str, target: str, query: dict[str, str], body: bytes) -> Answer:
        """Answer one request."""
        with self.lock:
            self.calls.append((verb, target, query))
        if seconds := self.hang_seconds.get(verb):
            time.sleep(seconds)
        if verb in self.fails:
            return Answer.no(*self.fails[verb])
        with self.lock:
            if verb in _FREE:
                return _FREE[verb](self, target, query, body)
            found = self.find(target)
            if found is None:
                return Answer.no(404, f"No such container: {target}")
            return _OF_A_CONTAINER[verb](self, found, query, body)

    def find(self, target: str) -> Container | None:
        """Return a container by its id or name."""
        by_name = (each for each in self.containers.values() if each.name == target)
        return self.containers.get(target) or next(by_name, None)

    def published(self, found: Container) -> dict[int, int]:
        """Return the ports of a container that runs, inside and outside."""
        bindings = found.config["HostConfig"].get("PortBindings", {}) if found.state in LIVING else {}
        wished = {int(inside.removesuffix("/tcp")): each[0]["HostPort"] for inside, each in bindings.items()}
        return {inside: int(port or 32_768 + inside % 1_000) for inside, port in wished.items()}

    # ---- the Engine as a whole ---------------------------------------------------------------------------------------

    def _version(self, _: str, _query: dict[str, str], _body: bytes) -> Answer:
        return Answer.json({"ApiVersion": "1.47", "MinAPIVersion": "1.24", "Version": "27.3.1"})

    def _list(self, _: str, query: dict[str, str], _body: bytes) -> Answer:
        wanted = json.loads(query.get("filters", "{}")).get("label", [])
        rows = []
        for each in self.containers.values():
            if each.name not in self.hidden and _labelled(each.labels, wanted) and query.get("all") == "1":
                shown = {"Id": each.id, "Names": [f"/{each.name}"], "State": each.state, "Labels": each.labels}
                ports = [
                    {"IP": "127.0.0.1", "PrivatePort": inside, "PublicPort": outside, "Type": "tcp"}
                    for inside, outside in self.published(each).items()
                ]
                rows.append(shown | {"Status": "Up 2 hours", "HostConfig": {"NetworkMode": "default"}, "Ports": ports})
        return Answer.json(self.rewrite_list(rows))

    def _create(self, _: str, query: dict[str, str], body: bytes) -> Answer:
        config = json.loads(body)
        if config["Image"] not in self.images:
            return Answer.no(404, f"No such image: {config['Image']}")
        name = query["name"]
        if self.find(name) is not None:
            return Answer.no(409, f'Conflict. The container name "/{name}" is already in use')
        made = Container(secrets.token_hex(32), name, config)
        self.containers[made.id] = made
        for mount in config["HostConfig"].get("Mounts", []):
            root = self.root / mount["Source"]
            if not mount.get("VolumeOptions", {}).get("NoCopy") and not any(root.iterdir()):
                for file, text in self.image_files.items():
                    (root / file).write_text(text)
        return Answer.json({"Id": made.id, "Warnings": []}, 201)

    def _fetch(self, _: str, query: dict[str, str], _body: bytes) -> Answer:
        image = f"{query['fromImage']}:{query['tag']}" if "tag" in query else query["fromImage"]
        if image not in self.fetchable:
            return Answer(200, json.dumps({"error": f"manifest for {image} not found"}).encode() + b"\r\n")
        self.images.add(image)
        return Answer(200, json.dumps({"status": "Download complete"}).encode() + b"\r\n")

    def _volume_create(self, _: str, _query: dict[str, str], body: bytes) -> Answer:
        wish = json.loads(body)
        name = wish["Name"]
        self.volumes.setdefault(name, dict(wish.get("Labels") or {}))
        (self.root / name).mkdir(exist_ok=True)
        return Answer.json({"Name": name, "Labels": self.volumes[name]}, 201)

    def _volume_list(self, _: str, query: dict[str, str], _body: bytes) -> Answer:
        wanted = json.loads(query.get("filters", "{}")).get("label", [])
        found = [{"Name": name, "Labels": own} for name, own in self.volumes.items() if _labelled(own, wanted)]
        return Answer.json({"Volumes": found or None, "Warnings": None})

    def _volume_remove(self, name: str, _query: dict[str, str], _body: bytes) -> Answer:
        if name not in self.volumes:
            return Answer.no(404, f"get {name}: no such volume")
        if any(name in each.mounts.values() for each in self.containers.values()):
            return Answer.no(409, f"remove {name}: volume is in use")
        del self.volumes[name]
        remove(self.root / name)
        return Answer(204)

    # ---- one container -----------------------------------------------------------------------------------------------

    def _inspect(self, found: Container, _query: dict[str, str], _body: bytes) -> Answer:
        mounts = [{"Type": "volume", "Name": name, "Destination": at} for at, name in found.mounts.items()]
        state = {"Status": found.state, "Running": found.state in LIVING, "ExitCode": found.exit_code}
        shown = {"Id": found.id, "Name": f"/{found.name}", "State": state, "Mounts": mounts}
        bound = {
            f"{inside}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(outside)}]
            for inside, outside in self.published(found).items()
        }
        shown |= {"Config": found.config, "HostConfig": found.config["HostConfig"]}
        return Answer.json(shown | {"NetworkSettings": {"Ports": bound}})

    def _start(self, found: Container, _query: dict[str, str], _body: bytes) -> Answer:
        if found.state in LIVING:
            return Answer(304)
        if found.state in ("removing", "dead"):
            return Answer.no(409, "container is marked for removal and cannot be started")
        self.run(found)
        return Answer(204)

    def _stop(self, found: Container, _query: dict[str, str], _body: bytes) -> Answer:
        if found.state not in LIVING:
            return Answer(304)
        found.stopped_by_hand = True
        if not self.deaf:
            self.end(found, 0)
        return Answer(204)

    def _kill(self, found: Container, _query: dict[str, str], _body: bytes) -> Answer:
        if found.state not in LIVING:
            return Answer.no(409, f"cannot kill container: {found.name}: container {found.id} is not running")
        found.stopped_by_hand = True
        if not self.immortal:
            self.end(found, 137)
        return Answer(204)

    def _unpause(self, found: Container, _query: dict[str, str], _body: bytes) -> Answer:
        found.state = "running"
        return Answer(204)

    def _update(self, found: Container, _query: dict[str, str], body: bytes) -> Answer:
        if found.state in ("removing", "dead"):
            return Answer.no(409, "container is marked for removal and cannot be updated")
        if not self.forgetful:
            found.config["HostConfig"]["RestartPolicy"] = json.loads(body)["RestartPolicy"]
        return Answer.json({"Warnings": None})

    def _rename(self, found: Container, query: dict[str, str], _body: bytes) -> Answer:
        if self.find(query["name"]) is not None:
            return Answer.no(409, "Conflict. The container name is already in use")
        found.name = query["name"]
        return Answer(204)

    def _remove(self, found: Container, query: dict[str, str], _body: bytes) -> Answer:
        if found.state in LIVING and query.get("force", "").lower() not in ("1", "true"):
            return Answer.no(409, "cannot remove container: container is running: stop the container before removing")
        del self.containers[found.id]
        return Answer(204)

    def _wait(self, found: Container, _query: dict[str, str], _body: bytes) -> Answer:
        return Answer.json({"StatusCode": found.exit_code})

    def _logs(self, found: Container, query: dict[str, str], _body: bytes) -> Answer:
        since, _, fraction = query.get("since", "0").partition(".")
        after = int(since) * 10**9 + int(fraction.ljust(9, "0") or 0)
        lines = [(at, line) for at, line in found.log if at >= after]
        lines = lines[-int(query["tail"]) :] if query.get("tail", "all") != "all" else lines
        frames = b""
        for at, line in lines:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // 10**9))
            text = f"{stamp}.{at % 10**9:09d}Z {line}\n".encode()
            frames += b"\1\0\0\0" + len(text).to_bytes(4, "big") + text
        return Answer(200, frames, "application/vnd.docker.multiplexed-stream", chunked=True)

    def _archive_stat(self, found: Container, query: dict[str, str], _body: bytes) -> Answer:
        target = self.archives(found).at(query["path"])
        if target is None:
            return Answer(404)
        return Answer(200, headers={"X-Docker-Container-Path-Stat": path_stat(target)})

    def _archive_get(self, found: Container, query: dict[str, str], _body: bytes) -> Answer:
        target = self.archives(found).at(query["path"])
        if target is None:
            return Answer.no(404, f"Could not find the file {query['path']} in container {found.name}")
        content = self.archives(found).packed(query["path"])
        stat = {"X-Docker-Container-Path-Stat": path_stat(target)}
        return Answer(200, content, "application/x-tar", stat, chunked=True)

    def _archive_put(self, found: Container, query: dict[str, str], body: bytes) -> Answer:
        if not self.archives(found).unpack(query["path"], body):
            return Answer.no(404, f"Could not find the file {query['path']} in container {found.name}")
        return Answer(200)


_Free = Callable[[DockerDouble, str, dict[str, str], bytes], Answer]
_Of = Callable[[DockerDouble, Container, dict[str, str], bytes], Answer]
_FREE: dict[str, _Free] = {
    "version": DockerDouble._version,
    "list": DockerDouble._list,
    "create": DockerDouble._create,
    "fetch": DockerDouble._fetch,
    "volume_create": DockerDouble._volume_create,
    "volume_list": DockerDouble._volume_list,
    "volume_remove": DockerDouble._volume_remove,
}
_OF_A_CONTAINER: dict[str, _Of] = {
    "inspect": DockerDouble._inspect,
    "start": DockerDouble._start,
    "stop": DockerDouble._stop,
    "kill": DockerDouble._kill,
    "unpause": DockerDouble._unpause,
    "update": DockerDouble._update,
    "rename": DockerDouble._rename,
    "remove": DockerDouble._remove,
    "wait": DockerDouble._wait,
    "logs": DockerDouble._logs,
    "archive_stat": DockerDouble._archive_stat,
    "archive_get": DockerDouble._archive_get,
    "archive_put": DockerDouble._archive_put,
}


def _labelled(labels: dict[str, str], wanted: list[str]) -> bool:
    return all(
        labels.get(name) == value if equals else name in labels
        for name, equals, value in (label.partition("=") for label in wanted)
    )
