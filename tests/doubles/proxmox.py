"""A cluster of Proxmox VE as its API shows it, over real HTTPS, with faults that a test switches on.

Written from Proxmox's API reference, with nothing of Forbear in it: parameters that the API does not know are refused
as there, tasks have to be asked for how they ended, and the reason of a refusal stands in the status line.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.cluster import Cluster, No
from tests.doubles.proxmox_http import TOKEN, ProxmoxHandler

Params = dict[str, str]
BACKUP_STORAGE, DISK_STORAGE = "vault", "fast"


@dataclass
class Guest:
    """One guest."""

    vmid: int
    node: str
    type: str
    config: dict[str, Any]
    status: str = "stopped"
    disk: str = ""
    """What is written on it."""
    ha: str | None = None
    """What high availability was told to do with it; None: it does not know it."""

    @property
    def sid(self) -> str:
        return f"{'ct' if self.type == 'lxc' else 'vm'}:{self.vmid}"

    @property
    def name(self) -> str:
        return str(self.config.get("hostname" if self.type == "lxc" else "name", ""))


@dataclass
class Archive:
    """One backup."""

    volid: str
    guest: Guest
    notes: str
    ctime: int
    protected: bool = False


@dataclass
class ProxmoxDouble(Cluster):
    """A cluster of two nodes."""

    handler = ProxmoxHandler

    nodes: dict[str, bool] = field(default_factory=lambda: {"pve1": True, "pve2": True})
    guests: dict[int, Guest] = field(default_factory=dict)
    archives: dict[str, Archive] = field(default_factory=dict)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    ignored: set[str] = field(default_factory=set)
    """Verbs whose tasks end well and do nothing: `start`, `shutdown`, `stop`, `vzdump`, `config`, `destroy`."""
    failing: dict[str, str] = field(default_factory=dict)
    """Verb -> how its task ends, doing nothing."""
    endless: set[str] = field(default_factory=set)
    """Verbs whose tasks never end."""
    unlisted: set[int] = field(default_factory=set)
    """Guests that the cluster's list leaves out, while their nodes show them."""
    stale: dict[int, dict[str, Any]] = field(default_factory=dict)
    """What the cluster's list says of a guest in place of the truth."""
    before: dict[str, Callable[[], object]] = field(default_factory=dict)
    """What happens just before a verb takes effect."""
    polls_running: int = 0
    """How often a task is seen running before it has ended."""
    shared_vault: bool = True
    lock: threading.RLock = field(default_factory=threading.RLock)

    # ---- for tests ---------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Let everything go well again."""
        self.faults.clear()
        self.ignored.clear()
        self.failing.clear()
        self.endless.clear()
        self.unlisted.clear()
        self.stale.clear()
        self.before.clear()
        self.nodes = dict.fromkeys(self.nodes, True)

    def add(self, vmid: int, node: str = "pve1", type: str = "lxc", **more: Any) -> Guest:  # noqa: A002 - the API's word
        """Put a guest there that somebody else has made."""
        made = Guest(vmid, node, type, dict(more.pop("config", {})), **more)
        self.guests[vmid] = made
        return made

    def reboot(self, node: str) -> None:
        """Let a node go down and come up again, with whatever starts by itself."""
        for guest in self.guests.values():
            if guest.node == node:
                guest.status = "running" if guest.config.get("onboot") == "1" or guest.ha == "started" else "stopped"

    def manage(self) -> None:
        """Let high availability do what it was told."""
        for guest in self.guests.values():
            if guest.ha in {"started", "stopped"}:
                guest.status = "running" if guest.ha == "started" else "stopped"

    def made(self, verb: str) -> list[str]:
        """Return the paths that were asked for with this verb: a method, or the end of a posted path."""
        return [path for method, path, _ in self.calls if verb in {method, path.rpartition("/")[2]} and method != "GET"]

    # ---- the API -----------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, params: Params) -> Any:
        """Return the data of an answer. Raises No."""
        for pattern, handlers in ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method in handlers:
                name, known = handlers[method]
                if unknown := sorted(set(params) - set(known)):
                    raise No(400, f"Parameter verification failed. {unknown[0]}: property is not defined in schema")
                with self.lock:
                    return getattr(self, name)(params, **found.groupdict())
        raise No(501, f"Method '{method} {path}' not implemented")

    def resources(self, _params: Params) -> Any:
        rows: list[dict[str, Any]] = [
            {
                "type": "node",
                "node": name,
                "status": "online" if online else "offline",
                "maxmem": 64 << 30,
                "mem": 1 << 30,
            }
            for name, online in self.nodes.items()
        ]
        for name in self.nodes:
            storage = {"type": "storage", "storage": BACKUP_STORAGE, "node": name, "status": "available"}
            rows.append({**storage, "shared": int(self.shared_vault)})
        listed = (guest for guest in self.guests.values() if guest.vmid not in self.unlisted)
        more = (
            {**self._row(each), "type": each.type, "node": each.node, **self.stale.get(each.vmid, {})}
            for each in listed
        )
        return [*rows, *more]

    def list_guests(self, _params: Params, node: str, type: str) -> Any:  # noqa: A002 - the API's word
        self._reach(node)
        return [self._row(guest) for guest in self.guests.values() if (guest.node, guest.type) == (node, type)]

    def cluster_tasks(self, _params: Params) -> Any:
        return list(self.tasks.values())

    def node_tasks(self, params: Params, node: str) -> Any:
        self._reach(node)
        ended = params.get("source") == "archive"
        rows = [each for each in self.tasks.values() if each["node"] == node and ("endtime" in each) is ended]
        since = float(params.get("since", 0))
        return [each for each in rows if each["id"] == params.get("vmid", each["id"]) and each["starttime"] >= since]

    def task_status(self, _params: Params, node: str, upid: str) -> Any:
        self._reach(node)
        task = self.tasks.get(upid)
        if task is None:
            raise No(500, "no such task")
        task["polls"] -= 1
        if task["polls"] >= 0 or task["verb"] in self.endless:
            return {"status": "running", "upid": upid}
        return {"status": "stopped", "exitstatus": task["exit"], "upid": upid}

    def config(self, _params: Params, **where: str) -> Any:
        guest = self._guest(**where)
        return {**guest.config, "digest": self._digest(guest)}

    def configure(self, params: Params, **where: str) -> Any:
        guest = self._guest(**where)
        self._unlocked(guest)
        if params.pop("digest", self._digest(guest)) != self._digest(guest):
            raise No(500, "detected modified configuration - file changed by other user? Try again.")
        if "config" not in self.ignored:
            guest.config.update(params)
        return None

    def current(self, _params: Params, **where: str) -> Any:
        guest = self._guest(**where)
        ha = {"managed": int(guest.ha is not None)} | ({"state": guest.ha} if guest.ha else {})
        return {"status": guest.status, "vmid": guest.vmid, "name": guest.name, "ha": ha}

    def command(self, params: Params, verb: str, **where: str) -> Any:
        guest = self._guest(**where)
        self._unlocked(guest)
        if guest.ha not in {None, "ignored"}:
            # high availability is asked instead: the task ends at once, and the guest follows when it comes to it
            guest.ha = "started" if verb == "start" else "stopped"
            return self._task(guest.node, verb, str(guest.vmid), lambda: None)
        status = "running" if verb == "start" else "stopped"
        return self._task(guest.node, verb, str(guest.vmid), lambda: setattr(guest, "status", status))

    def create_guest(self, params: Params, node: str, type: str) -> Any:  # noqa: A002 - the API's word
        self._reach(node)
        vmid = int(params["vmid"])
        there = self.guests.get(vmid)
        archive = params.get("archive") or (params.get("restore") and params["ostemplate"])
        if archive:
            return self._restore(there, vmid, node, archive, force=params.get("force") == "1")
        if there is not None:
            raise No(500, f"unable to create CT {vmid} - CT {vmid} already exists on node '{there.node}'")
        settings = {key: value for key, value in params.items() if key not in {"vmid", "ostemplate", "start"}}

        def make() -> None:
            self.guests[vmid] = Guest(vmid, node, type, settings)

        return self._task(node, "create", str(vmid), make)

    def clone(self, params: Params, **where: str) -> Any:
        source, vmid = self._guest(**where), int(params["newid"])
        if vmid in self.guests:
            raise No(500, f"unable to create VM {vmid}: config file already exists")
        name = {key: params[key] for key in ("name", "hostname", "description") if key in params}

        def make() -> None:
            settings = {key: value for key, value in source.config.items() if key != "template"}
            self.guests[vmid] = Guest(vmid, source.node, source.type, settings | name, disk=source.disk)

        return self._task(source.node, "clone", str(vmid), make)

    def destroy(self, _params: Params, **where: str) -> Any:
        guest = self._guest(**where)
        self._unlocked(guest)
        if guest.config.get("protection") == "1":
            raise No(500, f"can't remove CT {guest.vmid} - protection mode enabled")
        if guest.status == "running":
            raise No(500, f"CT {guest.vmid} is running")
        return self._task(guest.node, "destroy", str(guest.vmid), lambda: self.guests.pop(guest.vmid))

    def ha(self, _params: Params, sid: str) -> Any:
        return {"sid": sid, "state": self._managed(sid).ha}

    def set_ha(self, params: Params, sid: str) -> Any:
        self._managed(sid).ha = params["state"]

    def vzdump(self, params: Params, node: str) -> Any:
        self._reach(node)
        guest = self.guests[int(params["vmid"])]
        self._unlocked(guest)
        number = len(self.archives) + 1
        volid = f"{params['storage']}:backup/vzdump-{guest.type}-{guest.vmid}-2026_03_01-{number:06d}.tar.zst"

        def make() -> None:
            if params.get("remove", "1") == "1":  # the API's default: older ones go as the storage says
                self.archives = {key: each for key, each in self.archives.items() if each.guest.vmid != guest.vmid}
            copy = Guest(guest.vmid, guest.node, guest.type, dict(guest.config), disk=guest.disk)
            notes = params.get("notes-template", "")
            self.archives[volid] = Archive(volid, copy, notes, 1_772_000_000 + number)

        return self._task(node, "vzdump", str(guest.vmid), make)

    def content(self, params: Params, node: str, storage: str) -> Any:
        self._reach(node)
        return [
            {
                "volid": each.volid,
                "content": "backup",
                "vmid": each.guest.vmid,
                "size": 1_000 + len(each.guest.disk),
                "ctime": each.ctime,
                "notes": each.notes,
                **({"protected": 1} if each.protected else {}),
            }
            for each in self.archives.values()
            if storage == BACKUP_STORAGE and params.get("content") == "backup"
            if self.shared_vault or each.guest.node == node
        ]

    def remove_content(self, _params: Params, node: str, storage: str, volid: str) -> Any:
        self._reach(node)
        if volid not in self.archives:
            raise No(500, f"no such volume '{volid}' on {storage}")
        if self.archives[volid].protected:
            raise No(500, "cannot remove protected volume")
        return self._task(node, "imgdel", "", lambda: self.archives.pop(volid))

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _row(self, guest: Guest) -> dict[str, Any]:
        row: dict[str, Any] = {
            "vmid": guest.vmid,
            "name": guest.name,
            "status": guest.status if self.nodes[guest.node] else "unknown",
            "template": int(guest.config.get("template", 0)),
        }
        optional = {"tags": guest.config.get("tags"), "lock": guest.config.get("lock"), "hastate": guest.ha}
        return row | {key: value for key, value in optional.items() if value is not None}

    def _digest(self, guest: Guest) -> str:
        return f"{abs(hash(tuple(sorted(guest.config.items())))):x}"

    def _reach(self, node: str) -> None:
        if not self.nodes.get(node):
            raise No(595, "No route to host")

    def _guest(self, node: str, type: str, vmid: str) -> Guest:  # noqa: A002 - the API's word
        self._reach(node)
        guest = self.guests.get(int(vmid))
        if guest is None or guest.node != node or guest.type != type:
            raise No(500, f"Configuration file 'nodes/{node}/{type}/{vmid}.conf' does not exist")
        return guest

    def _managed(self, sid: str) -> Guest:
        for guest in self.guests.values():
            if guest.sid == sid and guest.ha is not None:
                return guest
        raise No(500, f"no such resource '{sid}'")

    def _unlocked(self, guest: Guest) -> None:
        if lock := guest.config.get("lock"):
            raise No(500, f"CT is locked ({lock})")

    def _restore(self, there: Guest | None, vmid: int, node: str, archive: str, *, force: bool) -> str:
        if there is not None and (not force or there.status == "running"):
            raise No(500, f"unable to restore CT {vmid} - CT {vmid} already exists on node '{there.node}'")
        saved = self.archives[archive].guest

        def put() -> None:
            self.guests[vmid] = Guest(vmid, node, saved.type, dict(saved.config), disk=saved.disk)

        return self._task(node, "qmrestore" if saved.type == "qemu" else "vzrestore", str(vmid), put)

    def _task(self, node: str, verb: str, what: str, effect: Callable[[], object]) -> str:
        self.before.get(verb, lambda: None)()
        exit_status = self.failing.get(verb, "OK")
        if verb not in self.ignored | self.endless and verb not in self.failing:
            effect()
        upid = f"UPID:{node}:{len(self.tasks):08X}:0001:65A0:{verb}:{what}:{TOKEN}:"
        now = int(time.time())
        task = {
            "upid": upid,
            "node": node,
            "id": what,
            "type": verb,
            "verb": verb,
            "exit": exit_status,
            "starttime": now,
        }
        ended = {} if verb in self.endless else {"endtime": now, "status": exit_status}
        self.tasks[upid] = {**task, **ended, "polls": self.polls_running}
        return upid


_GUEST = r"nodes/(?P<node>[\w-]+)/(?P<type>lxc|qemu)/(?P<vmid>\d+)"
_STORAGE = r"nodes/(?P<node>[\w-]+)/storage/(?P<storage>[\w-]+)/content"
_SETTINGS = ("tags", "description", "onboot", "cores", "memory", "hostname", "name", "protection", "digest")
_NEW = ("vmid", "ostemplate", "restore", "archive", "force", "storage", "rootfs", "net0", "unprivileged", "start")
ROUTES: tuple[tuple[str, dict[str, tuple[str, tuple[str, ...]]]], ...] = (
    ("cluster/resources", {"GET": ("resources", ("type",))}),
    ("cluster/tasks", {"GET": ("cluster_tasks", ())}),
    (r"cluster/ha/resources/(?P<sid>\w+:\d+)", {"GET": ("ha", ()), "PUT": ("set_ha", ("state",))}),
    (r"nodes/(?P<node>[\w-]+)/tasks", {"GET": ("node_tasks", ("vmid", "source", "since"))}),
    (r"nodes/(?P<node>[\w-]+)/tasks/(?P<upid>UPID:[^/]+)/status", {"GET": ("task_status", ())}),
    (
        r"nodes/(?P<node>[\w-]+)/(?P<type>lxc|qemu)",
        {"GET": ("list_guests", ()), "POST": ("create_guest", _NEW + _SETTINGS[:-1])},
    ),
    (_GUEST, {"DELETE": ("destroy", ("purge",))}),
    (_GUEST + "/config", {"GET": ("config", ()), "PUT": ("configure", _SETTINGS)}),
    (_GUEST + "/clone", {"POST": ("clone", ("newid", "name", "hostname", "description", "full", "storage"))}),
    (_GUEST + "/status/current", {"GET": ("current", ())}),
    (_GUEST + "/status/(?P<verb>start|stop|shutdown)", {"POST": ("command", ("timeout", "forceStop"))}),
    (
        r"nodes/(?P<node>[\w-]+)/vzdump",
        {"POST": ("vzdump", ("vmid", "storage", "mode", "compress", "remove", "notes-template"))},
    ),
    (_STORAGE, {"GET": ("content", ("content", "vmid"))}),
    (_STORAGE + "/(?P<volid>.+)", {"DELETE": ("remove_content", ())}),
)
