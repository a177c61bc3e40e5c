"""Starting, stopping and seeing containers. A command is done when its effect was seen, not when it was accepted."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from jobs.hosts.base import Observation
from jobs.hosts.docker.client import CONFLICT, APIError, NotFound
from jobs.hosts.docker.containers import BY_HAND, BY_ITSELF, MISSING, STATES, Container, Containers
from jobs.hosts.errors import HostError, HostUnavailable, LaunchFailed

if TYPE_CHECKING:
    from jobs.hosts.base import ServerSpec
    from jobs.hosts.docker.client import Engine

_LOOKS = 64
"""Containers whose restart policy one look at all reads: the Engine's list does not tell it. The others take turns."""
_LOOK_SECONDS = 1.5
_POLL_SECONDS = 0.05


class Lifecycles:
    """What is done to containers as a whole."""

    def __init__(self, engine: Engine, containers: Containers) -> None:
        self._engine = engine
        self._containers = containers
        self._autostart: dict[str, bool] = {}
        """Container -> what was last read, the one read longest ago first."""
        self._reading = threading.Lock()

    def observe_all(self) -> Mapping[str, Observation]:
        """See every server with one call, and the restart policies of some of them with more."""
        rows = self._containers.rows()
        autostart = self._read_policies({row[0]: row[2] for row in rows})
        seen: dict[str, Observation] = {}
        for container, name, server_id, state, port in rows:
            one = Observation(STATES.get(state, "unknown"), autostart.get(container), state, port)
            # a restore that died left two: what runs counts before what is known by the right name
            if server_id not in seen or one.observed == "running" or self._is_main(name, server_id, seen):
                seen[server_id] = one
        return seen

    def observe(self, server_id: str) -> Observation:
        found = self._containers.find(server_id)
        return MISSING if found is None else found.observation

    def start(self, spec: ServerSpec) -> Observation:
        found = self._containers.required(spec.server_id)
        client = self._engine.client
        try:
            if found.state == "paused":
                client.unpause(found.id)
            elif found.observed != "running":
                client.start(found.id)
        except NotFound:
            raise
        except APIError as error:
            if error.status_code == CONFLICT:
                raise
            reason = "its container could not be started"
            raise LaunchFailed(spec.server_id, reason, str(error.explanation or "")) from error
        return self.observe(spec.server_id)

    def stop(self, server_id: str, timeout_seconds: float) -> Observation:
        """Ask the container to end; the Engine ends it by force after the timeout, and we do when it has not."""
        found = self._containers.find(server_id)
        if found is not None and found.observed == "running":
            with suppress(NotFound):
                self._engine.client.stop(found.id, timeout=max(0, math.ceil(timeout_seconds)))
        seen = self._await_end(server_id)
        return self.kill(server_id) if seen.observed == "running" else seen

    def kill(self, server_id: str) -> Observation:
        self.send_kill(server_id)
        return self._await_end(server_id)

    def send_kill(self, server_id: str) -> None:
        """End the container at once, if it runs, without waiting to see it."""
        found = self._containers.find(server_id)
        if found is None or found.observed != "running":
            return
        try:
            self._engine.client.kill(found.id, "SIGKILL")
        except NotFound:
            return
        except APIError as error:
            if error.status_code != CONFLICT:  # it has ended by itself; or it is being removed, which looking tells
                raise

    def set_autostart(self, server_id: str, on: bool) -> None:
        """Set the restart policy, and read it back."""
        found = self._containers.required(server_id)
        wanted = BY_ITSELF if on else BY_HAND
        if found.restart != wanted:
            policy: Any = {"Name": wanted}  # the SDK's types know two of the four policies
            self._engine.client.update_container(found.id, restart_policy=policy)
            if self._containers.required(server_id).restart != wanted:
                raise HostUnavailable(self._engine.host, "the Engine took a restart policy and did not keep it")
        with self._reading:
            self._autostart.pop(found.id, None)

    def remove(self, found: Container) -> None:
        """Remove a container that does not run. Its volume stays."""
        with suppress(NotFound):
            self._engine.client.remove_container(found.id, v=False, force=False)

    def _await_end(self, server_id: str) -> Observation:
        deadline = time.monotonic() + self._engine.options.settle_seconds
        while (seen := self.observe(server_id)).observed == "running" and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return seen

    def _is_main(self, name: str, server_id: str, seen: Mapping[str, Observation]) -> bool:
        return name == self._containers.name_of(server_id) and seen[server_id].observed != "running"

    def _read_policies(self, living: Mapping[str, str]) -> dict[str, bool]:
        """Return what is known of whether each container starts by itself, refreshed within a bound."""
        with self._reading:
            known = {container: on for container, on in self._autostart.items() if container in living}
            waiting = [container for container in living if container not in known] + list(known)
            deadline = time.monotonic() + _LOOK_SECONDS
            for container in waiting[:_LOOKS]:
                if time.monotonic() > deadline:
                    break
                known.pop(container, None)  # what cannot be read is not known, and goes to the end of the row
                try:
                    on = self._engine.client.inspect_container(container)["HostConfig"]["RestartPolicy"]["Name"]
                except NotFound:
                    continue
                except (APIError, HostError, OSError, KeyError, TypeError, ValueError):
                    break  # the list was whole: that something runs is known, whatever it will do later
                known[container] = on not in ("", BY_HAND)
            self._autostart = known
            return dict(known)
