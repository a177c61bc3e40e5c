"""The life of a dev server: made, reached over HTTP as its owner's editor would, stopped, restarted, deleted."""

from __future__ import annotations

import httpx

from jobs.certificates import certificates
from web.demo.system import DemoFailed
from web.smoke.game import address_of, current, is_deleted, is_gone_from_the_edge, shows_names
from web.smoke.scene import Made, Scene

REACH_SECONDS = 5.0


def is_made(scene: Scene) -> None:
    """It is ordered, made and published."""
    shows_names(scene, scene.order("dev", "dev"))


def is_reachable(scene: Scene) -> None:
    """It runs, and its workspace answers."""
    server = current(scene)
    scene.required(scene.owner.post(f"/api/servers/{server.server_id}/host/start"), 202)
    scene.seen(server, "running")
    workspace_answers(scene, server)


def workspace_answers(scene: Scene, server: Made) -> str:
    """Wait until the workspace answers, and return where. Raises DemoFailed."""
    found: list[str] = []

    def look() -> httpx.Response | None:
        # It says anew where it listens each time it starts: what it said before may be another's port by now.
        where = workspace_of(scene, server)
        found[:] = [where]
        try:
            answer = httpx.get(f"{where}/health", timeout=REACH_SECONDS, trust_env=False, verify=certificates())
        except httpx.HTTPError:
            return None
        return answer if answer.status_code == 200 and server.name in answer.text else None

    answer = scene.until(f"the workspace of {server.name} answers", look)
    scene.show.check(True, f"GET {found[0]}/health", answer.text.strip()[:100], status=answer.status_code)
    page = httpx.get(f"{found[0]}/", timeout=REACH_SECONDS, trust_env=False, verify=certificates())
    scene.holds("html" in page.headers.get("content-type", ""), "its page", f"{len(page.content)} bytes", "a page")
    return found[0]


def workspace_of(scene: Scene, server: Made) -> str:
    """Return the address of a workspace. Raises DemoFailed."""
    address = address_of(scene, server)
    if address is None:
        raise DemoFailed("its `server.json` tells no port: this smoke test reaches workspaces that write one")
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{host}:{address[1]}"


def stops_and_restarts(scene: Scene) -> None:
    """Stopped, nobody answers; started and restarted, it is there again with its files."""
    server = current(scene)
    base = f"/api/servers/{server.server_id}"
    scene.required(scene.owner.put(f"{base}/files", json={"path": "main.py", "content": "print(1)\n"}), 200)
    where = workspace_of(scene, server)
    scene.required(scene.owner.post(f"{base}/host/stop"), 202)
    scene.seen(server, "stopped")
    scene.holds(not answers(where, server), "its workspace", "answers nobody", "nobody")
    scene.required(scene.owner.post(f"{base}/host/start"), 202)
    scene.seen(server, "running")
    workspace_answers(scene, server)
    scene.required(scene.owner.post(f"{base}/host/restart"), 202)
    scene.until("the restart has begun", lambda: None if answers(where, server) and is_settled(scene, server) else True)
    scene.until("it has settled", lambda: True if is_settled(scene, server) else None)
    where = workspace_answers(scene, server)
    files = httpx.get(f"{where}/files", timeout=REACH_SECONDS, trust_env=False, verify=certificates()).text
    scene.holds("main.py" in files, "its files", "as its owner left them", "main.py")


def is_settled(scene: Scene, server: Made) -> bool:
    """Tell whether it runs and nothing is being done to it."""
    line = scene.line_of(server) or {}
    return line.get("lifecycle") == "running" and line.get("observed") == "running"


def answers(where: str, server: Made) -> bool:
    """Tell whether this server's workspace answers there."""
    try:
        return (
            server.name
            in httpx.get(f"{where}/health", timeout=REACH_SECONDS, trust_env=False, verify=certificates()).text
        )
    except httpx.HTTPError:
        return False


STEPS = (
    ("it is made, and published", is_made),
    ("its workspace answers over HTTP", is_reachable),
    ("it is stopped, started and restarted", stops_and_restarts),
    ("it is deleted", is_deleted),
    ("nothing leads to it any more", is_gone_from_the_edge),
)
