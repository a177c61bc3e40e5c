"""The life of a game server: made, played, written to, backed up, restored, deleted, and gone from the edge."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from urllib.parse import urlsplit

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from web.demo.system import DemoFailed
from web.smoke.scene import Made, Scene

CONNECT_SECONDS = 10.0
SENT_BYTES = 1024 * 1024
NOTES = "smoke.txt"


def current(scene: Scene) -> Made:
    """Return the server that this life is about: the last that was ordered. Raises DemoFailed."""
    if not scene.made:
        raise DemoFailed("no server was ordered")
    return scene.made[-1]


def is_made(scene: Scene) -> None:
    """It is ordered, and a worker makes it; the same order twice is one server."""
    server = scene.order("game", "game")
    line = scene.line_of(server) or {}
    found = f"wanted {line.get('desired')}, observed {line.get('observed')}"
    scene.holds(found == "wanted running, observed running", "it is ready", found, "wanted running, observed running")
    shows_names(scene, server)


def shows_names(scene: Scene, server: Made) -> None:
    """Check that the edge leads to a server, where the edge can be seen from here."""
    if not server.label:
        scene.show.note("no edge: the system publishes no names")
    elif not scene.site.zone_files():
        scene.show.note(f"published as `{server.label}`; its zone cannot be seen from here")
    else:
        found = scene.published(server)
        scene.holds(found, "the edge leads to it", f"{len(found)} records of `{server.label}`", "records in the zone")


def is_ready(scene: Scene) -> None:
    """Starting what runs is taken too; it answers its players."""
    server = current(scene)
    scene.required(scene.owner.post(f"/api/servers/{server.server_id}/host/start"), 202)
    scene.seen(server, "running")
    address = address_of(scene, server)
    if address is None:
        scene.show.note("it tells no port in `server.json`: whether players reach it is not seen from here")
        return

    def reach() -> float | None:
        began = time.monotonic()
        try:
            socket.create_connection(address, CONNECT_SECONDS).close()
        except OSError:
            return None
        return time.monotonic() - began

    seconds = scene.until(f"port {address[1]} takes players", reach)
    scene.holds(True, "it takes players", f"port {address[1]} of {address[0]}, in {seconds * 1000:.0f} ms")


def address_of(scene: Scene, server: Made) -> tuple[str, int] | None:
    """Return where a server says that it listens, on the machine that serves; `None` when it says nothing."""
    host = urlsplit(scene.site.url).hostname or ""

    def look() -> int | None:
        read = scene.owner.get(f"/api/servers/{server.server_id}/files/read", params={"path": "server.json"})
        if read.status_code != 200:
            return None
        try:
            return int(json.loads(read.json()["content"])["port"])
        except (ValueError, KeyError, TypeError):
            return None

    try:
        return host, scene.until("it says where it listens", look)
    except DemoFailed:
        return None


def answers_on_its_console(scene: Scene) -> None:
    """What is typed shows on the stream."""
    base = f"/api/servers/{current(scene).server_id}/console"
    words = f"smoke {scene.run}"
    address = scene.site.url.replace("http", "ws", 1) + f"{base}/stream"
    headers = {"Authorization": f"Bearer {scene.owner_token}"}
    try:
        with connect(address, additional_headers=headers, open_timeout=CONNECT_SECONDS, proxy=None) as stream:
            scene.holds(True, f"WS {scene.named(base)}/stream", "open")
            scene.required(scene.owner.post(f"{base}/command", json={"command": f"say {words}"}), 202)
            ends_at = time.monotonic() + scene.site.wait_seconds
            line = ""
            while words not in line:
                line = str(stream.recv(timeout=max(0.0, ends_at - time.monotonic())))
            scene.holds(True, "it answers", f"“{line.strip()}”")
    except (WebSocketException, TimeoutError) as error:
        raise DemoFailed(f"the stream of the console ended without an answer: {error}") from None


def keeps_files(scene: Scene) -> None:
    """Written, read, listed, overwritten, reverted, uploaded, downloaded, deleted; and no way out of its folder."""
    files = f"/api/servers/{current(scene).server_id}/files"
    owner = scene.owner
    for text in ("first\n", "second\n"):
        scene.required(owner.put(files, json={"path": NOTES, "content": text}), 200)
    scene.required(owner.post(f"{files}/revert", json={"path": NOTES}), 200)
    scene.holds(content(scene) == "first\n", "reverted", repr(content(scene)), repr("first\n"))
    body = os.urandom(SENT_BYTES)
    wanted = hashlib.sha256(body).hexdigest()
    scene.required(owner.post(f"{files}/upload", params={"path": "smoke.bin"}, content=body), 201)
    found = hashlib.sha256(owner.get(f"{files}/download", params={"path": "smoke.bin"}).content).hexdigest()
    scene.holds(found == wanted, "1 MiB sent and fetched", f"sha256 {found[:12]}…", f"{wanted[:12]}…")
    names = {each["name"] for each in scene.must(owner.get(f"{files}/list"), 200)}
    scene.holds({NOTES, "smoke.bin"} <= names, "listed", ", ".join(sorted(names)), f"{NOTES}, smoke.bin")
    scene.ask(owner, "DELETE", f"{files}?path=smoke.bin", 204, "deleted")
    scene.ask(owner, "GET", f"{files}/read?path=smoke.bin", 404, code="FILE_NOT_FOUND")
    scene.ask(owner, "GET", f"{files}/read?path=../../lock", 400, code="PATH_REFUSED")


def content(scene: Scene) -> str:
    """Read the notes."""
    read = scene.owner.get(f"/api/servers/{current(scene).server_id}/files/read", params={"path": NOTES})
    return str(scene.must(read, 200)["content"])


def is_backed_up(scene: Scene) -> None:
    """A backup is made whole, and can be had."""
    backups = f"/api/servers/{current(scene).server_id}/backups"
    asked = scene.required(scene.owner.post(backups), 202)
    scene.finished(asked["operationId"], "the backup")
    (made,) = scene.must(scene.owner.get(backups), 200)
    shown = f"{made['state']}, {made['sizeBytes']} bytes, sha256 {str(made['sha256'])[:12]}…"
    scene.holds(made["state"] == "complete", "listed", shown, "complete")
    fetched = scene.owner.get(f"{backups}/{made['backupId']}/download")
    if fetched.status_code == 501:
        scene.show.note("its host keeps backups to itself: none is downloaded")
        return
    found = hashlib.sha256(fetched.content).hexdigest()
    scene.holds(found == made["sha256"], "downloaded", f"sha256 {found[:12]}…", f"{str(made['sha256'])[:12]}…")


def is_restored(scene: Scene) -> None:
    """What was there comes back, and what it replaced is kept as a safety copy."""
    server = current(scene)
    base = f"/api/servers/{server.server_id}"
    scene.required(scene.owner.put(f"{base}/files", json={"path": NOTES, "content": "spoilt\n"}), 200)
    (backup,) = scene.must(scene.owner.get(f"{base}/backups"), 200)
    asked = scene.required(scene.owner.post(f"{base}/backups/{backup['backupId']}/restore"), 202)
    scene.finished(asked["operationId"], "the restore")
    scene.holds(content(scene) == "first\n", "restored", repr(content(scene)), repr("first\n"))
    kept = [each for each in scene.must(scene.owner.get(f"{base}/backups"), 200) if each["safety"]]
    scene.holds(len(kept) == 1, "safety copy of what was replaced", f"{len(kept)}", "one")
    scene.seen(server, "running")


def is_deleted(scene: Scene) -> None:
    """Its owner types its name; its backups are deleted before."""
    server = current(scene)
    base = f"/api/servers/{server.server_id}"
    scene.ask(scene.owner, "DELETE", base, 409, code="NAME_DIFFERS", json={"name": "another"})
    scene.delete(server)
    scene.ask(scene.owner, "GET", f"{base}/files/list", 404, code="NOT_FOUND")
    scene.holds(scene.line_of(server) is None, "servers of the account", "it is not among them", "not among them")


def is_gone_from_the_edge(scene: Scene) -> None:
    """Nothing leads to it any more."""
    server = current(scene)
    if not (server.label and scene.site.zone_files()):
        scene.show.note("the edge cannot be seen from here: nothing is claimed about it")
        return
    scene.until("nothing leads to it", lambda: None if scene.published(server) else True)
    scene.holds(True, "the zone", f"no record of `{server.label}` is left")


STEPS = (
    ("it is made once, and published", is_made),
    ("it runs, and takes players", is_ready),
    ("its console answers", answers_on_its_console),
    ("its files are kept", keeps_files),
    ("it is backed up", is_backed_up),
    ("it is restored over a safety copy", is_restored),
    ("it is deleted", is_deleted),
    ("nothing leads to it any more", is_gone_from_the_edge),
)
