"""What must be refused, and what nobody may see: without a token, with another's, at the doors behind the API."""

from __future__ import annotations

import json
import re
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from web.demo.system import DemoFailed
from web.smoke.game import CONNECT_SECONDS, NOTES, current
from web.smoke.scene import Scene

KEPT = "only its owner reads this\n"
SECRET_CHARACTERS = 16  # shorter ones stand in many a text by chance
# Everything that asks for a server: method, what follows its address, and a body.
TENANTS: tuple[tuple[str, str, object], ...] = (
    ("POST", "/host/start", None),
    ("POST", "/host/stop", None),
    ("POST", "/host/restart", None),
    ("POST", "/console/command", {"command": "stop"}),
    ("GET", "/files/list", None),
    ("GET", f"/files/read?path={NOTES}", None),
    ("GET", f"/files/download?path={NOTES}", None),
    ("PUT", "/files", {"path": NOTES, "content": "taken"}),
    ("DELETE", f"/files?path={NOTES}", None),
    ("POST", "/files/revert", {"path": NOTES}),
    ("GET", "/backups", None),
    ("POST", "/backups", None),
    ("POST", "/backups/prune", {"keep": 1}),
    ("POST", "/reinstall", {"name": "x"}),
    ("DELETE", "", {"name": "x"}),
)


def stage(scene: Scene) -> None:
    """A server with something in it that nobody else may see."""
    server = scene.order("game", "guarded")
    write = {"path": NOTES, "content": KEPT}
    scene.required(scene.owner.put(f"/api/servers/{server.server_id}/files", json=write), 200)


def strangers_are_refused(scene: Scene) -> None:
    """Another customer learns not even that the server exists."""
    refuse_all(scene, scene.stranger, "another customer", 404)
    stream_is_refused(scene, scene.stranger, 404)
    scene.ask(scene.stranger, "GET", f"/api/operations/{current(scene).operation_id}", 404)
    scene.ask(scene.stranger, "GET", f"/api/admin/accounts/{scene.account}", 403, code="ADMINS_ONLY")
    wish = {"name": "theirs", "kind": "game", "accountId": scene.account}
    key = {"Idempotency-Key": scene.run}
    scene.ask(scene.stranger, "POST", "/api/instances", 404, json=wish, headers=key)


def nobody_is_refused(scene: Scene) -> None:
    """Without a token, and with a wrong one, everything is closed."""
    refuse_all(scene, scene.site.nobody, "nobody", 401)
    refuse_all(scene, scene.site.client("wrong-" + scene.run), "a wrong token", 401, few=True)
    stream_is_refused(scene, scene.site.nobody, 401)
    for path in ("/api/account", "/api/admin/brakes", f"/api/admin/accounts/{scene.account}"):
        scene.ask(scene.site.nobody, "GET", path, 401)
    shown = scene.site.nobody.get("/metrics").status_code
    scene.holds(shown in (401, 503), "GET /metrics", f"{shown}", "401, or 503 when no token is set")


def refuse_all(scene: Scene, client: httpx.Client, who: str, status: int, *, few: bool = False) -> None:
    """Try every way to a server; show one line when all are refused, and each that was not."""
    base = f"/api/servers/{current(scene).server_id}"
    tries = TENANTS[:3] if few else TENANTS
    refused = 0
    for method, below, body in tries:
        answer = client.request(method, base + below, json=body) if body else client.request(method, base + below)
        if answer.status_code == status and KEPT not in answer.text:
            refused += 1
        else:
            scene.show.check(
                False, f"{method} {{server}}{below}", f"answered {who}", status=answer.status_code, expected=str(status)
            )
    scene.holds(refused == len(tries), f"{who}, on a server", f"refused in {refused} of {len(tries)} ways", "all")


def stream_is_refused(scene: Scene, client: httpx.Client, status: int) -> None:
    """Try to watch the console."""
    address = scene.site.url.replace("http", "ws", 1) + f"/api/servers/{current(scene).server_id}/console/stream"
    headers = {name: value for name, value in client.headers.items() if name == "authorization"}
    found = "open"
    try:
        connect(address, additional_headers=headers, open_timeout=CONNECT_SECONDS, proxy=None).close()
    except InvalidStatus as error:
        found = str(error.response.status_code)
    except (WebSocketException, OSError) as error:
        found = str(error)
    scene.holds(found == str(status), "WS {server}/console/stream", found, str(status))


def what_destroys_is_refused(scene: Scene) -> None:
    """Not even an admin's wish destroys; what is not known is not done; what Stripe did not sign is not heard."""
    about = {"accountId": scene.account, "serverId": current(scene).server_id}
    admin = scene.site.admin
    for action in ("delete_suspended_server", "wipe_server_data"):
        answer = admin.post("/api/admin/intents", json={"action": action, **about})
        ok = answer.status_code in (400, 409)
        scene.show.check(ok, f"intent {action}", scene.code_of(answer), status=answer.status_code, expected="409")
    scene.ask(admin, "POST", "/api/admin/intents", 400, json={"action": "no_such_thing", **about})
    event = json.dumps({"id": f"evt_smoke_{scene.run}", "type": "invoice.payment_failed"}).encode()
    for words, headers in (("unsigned", {}), ("signed wrongly", {"Stripe-Signature": "t=1,v1=00"})):
        answer = scene.site.nobody.post("/api/billing/webhook", content=event, headers=headers)
        scene.show.check(
            answer.status_code == 400, "POST /api/billing/webhook", words, status=answer.status_code, expected="400"
        )


def back_doors_are_shut(scene: Scene) -> None:
    """PostgreSQL and Redis of this machine let nobody in without their passwords."""
    from storage.embedded import addresses_of

    found = addresses_of(scene.site.data)
    if not found:
        scene.show.note("no embedded PostgreSQL or Redis on this machine: theirs are not tried")
        return
    for name, url in found.items():
        parts = urlsplit(url)
        if parts.password:
            scene.site.secrets[f"the password of {name.split('_')[1].lower()}"] = parts.password
        bare = urlunsplit(parts._replace(netloc=f"{parts.username or ''}:wrong@{parts.hostname}:{parts.port}"))
        words = let_in(name, bare)
        scene.holds(words != "let in", f"{parts.scheme} with a wrong password", words, "refused")
        loopback = not is_open_elsewhere(parts.port or 0)
        scene.holds(loopback, f"{parts.scheme} on other addresses", "nobody listens" if loopback else "open", "closed")


def let_in(name: str, url: str) -> str:
    """Try a database or a queue with a wrong password, and say what came of it."""
    import psycopg
    import redis

    try:
        if name == "FORBEAR_DATABASE_URL":
            psycopg.connect(url.replace("+psycopg", ""), connect_timeout=5).close()
        else:
            redis.Redis.from_url(url, socket_timeout=5).ping()
    except (psycopg.Error, redis.RedisError) as error:
        return " ".join(str(error).split()[-10:])  # the reason stands last
    return "let in"


def is_open_elsewhere(port: int) -> bool:
    """Tell whether a port answers on an address of this machine that others reach."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: asks which address of ours would
        outside = probe.getsockname()[0]
        if not outside.startswith("127."):
            with suppress(OSError), socket.create_connection((outside, port), 1):
                return True
    return False


def nothing_secret_is_shown(scene: Scene) -> None:
    """Nothing that a browser gets holds a token, a password or a signing secret, also when something goes wrong."""
    scene.site.secrets.update(kept_secrets(scene.site.data))
    base = f"/api/servers/{current(scene).server_id}"
    nobody, owner = scene.site.nobody, scene.owner
    answers = [
        *(
            nobody.get(path)
            for path in ("/", "/sign-in", "/register", "/api/health", "/schema/openapi.json", "/nowhere")
        ),
        nobody.post("/sign-in", data={"email": "x", "password": "y"}),
        nobody.post("/api/billing/webhook", content=b"{"),
        *(owner.get(path) for path in ("/api/account", "/api/announcements", f"{base}/files/list", f"{base}/backups")),
        owner.get(f"{base}/files/read", params={"path": "../../../secrets/forbear_admin_token"}),
        owner.put(f"{base}/files", content=b"\xff"),
        owner.get("/api/operations/none"),
        scene.site.admin.get(f"/api/admin/accounts/{scene.account}"),
        scene.site.admin.get(f"/api/admin/accounts/{scene.account}/events"),
    ]
    for answer in answers:
        whole = answer.text + "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
        shown = [what for what, secret in scene.site.secrets.items() if secret in whole]
        traces = ["a traceback"] if "Traceback (most recent" in whole else []
        if shown or traces:
            scene.holds(
                False, f"{answer.request.method} {scene.named(answer.request.url.path)}", shown + traces, "none"
            )
        if answer.status_code == 500:
            scene.holds(False, scene.named(answer.request.url.path), "500", "an answer that somebody foresaw")
    known = ", ".join(sorted(scene.site.secrets))
    scene.holds(answers, "looked through", f"{len(answers)} answers for {known}")
    page = nobody.get("/sign-in")
    policy = page.headers.get("content-security-policy", "")
    scene.holds("default-src 'none'" in policy, "pages load from here alone", policy[:60], "default-src 'none'")
    cookies = [each for answer in answers for each in answer.headers.get_list("set-cookie")]
    careless = [each for each in cookies if not {"httponly", "samesite"} <= set(re.findall(r"\w+", each.lower()))]
    names = ", ".join(each.partition("=")[0] for each in careless)
    scene.holds(not careless, "cookies", names or f"{len(cookies)}, none that a script reads", "HttpOnly and SameSite")


def kept_secrets(data: Path) -> dict[str, str]:
    """Return the secrets that lie in a data directory, by what they are."""
    found = {}
    with suppress(OSError):
        for file in sorted((data / "secrets").iterdir()):
            text = file.read_text(encoding="utf-8", errors="replace").strip()
            if len(text) >= SECRET_CHARACTERS:
                found[f"the file {file.name}"] = text
    return found


def nothing_was_done(scene: Scene) -> None:
    """After all that was tried, the server is as its owner left it."""
    server = current(scene)
    read = scene.owner.get(f"/api/servers/{server.server_id}/files/read", params={"path": NOTES})
    scene.holds(read.status_code == 200 and read.json()["content"] == KEPT, "its file", "as it was", "as it was")
    line = scene.line_of(server)
    if line is None:
        raise DemoFailed("the server is not there any more")
    scene.holds(line["lifecycle"] == "running", "the server", line["lifecycle"], "running, as before")
    backups = scene.must(scene.owner.get(f"/api/servers/{server.server_id}/backups"), 200)
    scene.holds(not backups, "its backups", f"{len(backups)}", "none, as before")


STEPS = (
    ("a server is made that only its owner may touch", stage),
    ("another customer is refused", strangers_are_refused),
    ("nobody and a wrong token are refused", nobody_is_refused),
    ("what destroys, what is unknown and what is not signed is refused", what_destroys_is_refused),
    ("the databases let nobody in", back_doors_are_shut),
    ("nothing secret reaches a browser", nothing_secret_is_shown),
    ("nothing of it was done", nothing_was_done),
)
