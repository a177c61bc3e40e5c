"""A running system as `forbear smoke` meets it: its people and servers there, the ways in which steps ask and look."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from jobs.certificates import certificates
from storage.embedded.folder import write_private
from web.demo.show import Show
from web.demo.system import DemoFailed, polling

Found = TypeVar("Found")

LOOK_EVERY_SECONDS = 0.1
ANSWER_SECONDS = 60.0
PLAN = "game"


def is_here(url: str) -> bool:
    """Tell whether an address is one of this machine alone."""
    return urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")


class NoSystem(Exception):
    """There is nothing to look at, or no right to."""

    def __init__(self, url: str, problem: str, remedy: str) -> None:
        self.url = url
        super().__init__(f"`{url}`: {problem}; {remedy}")


class Site:
    """Where the system serves, and what of it lies on this machine."""

    def __init__(self, url: str, data: Path, admin_token: str, wait_seconds: float) -> None:
        self.url = url
        self.data = data
        self.wait_seconds = wait_seconds
        self.secrets = {"the admin token": admin_token}  # what must never be shown to anybody, by what it is
        self._clients: list[httpx.Client] = []
        self.admin = self.client(admin_token)
        self.nobody = self.client(None)

    def client(self, token: str | None) -> httpx.Client:
        """Return a client with a bearer token, or without."""
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        # A proxy of the environment leads to other machines; it knows no way to this one.
        elsewhere = not is_here(self.url)
        known = certificates(trust_env=elsewhere)
        made = httpx.Client(
            base_url=self.url, headers=headers, timeout=ANSWER_SECONDS, trust_env=elsewhere, verify=known
        )
        self._clients.append(made)
        return made

    def close(self) -> None:
        """Hang up."""
        for client in self._clients:
            client.close()

    def people(self) -> dict[str, str]:
        """Return whom an earlier run made, when it could keep them in the data directory."""
        try:
            kept = json.loads(self._people.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(key): str(value) for key, value in kept.items()} if isinstance(kept, dict) else {}

    def keep_people(self, people: dict[str, str]) -> None:
        """Keep them for the next run, where there is a data directory."""
        if self._people.parent.parent.is_dir():
            with contextlib.suppress(OSError):
                self._people.parent.mkdir(mode=0o700, exist_ok=True)
                write_private(self._people, json.dumps(people))

    @property
    def _people(self) -> Path:
        return self.data / "secrets" / "smoke.json"

    def zone_files(self) -> list[Path]:
        """Return the zone files that lie in the data directory."""
        return sorted((self.data / "edge").glob("*.zone"))


@dataclass(slots=True)
class Made:
    """A server that was ordered here."""

    name: str
    kind: str
    server_id: str = ""
    operation_id: str = ""
    label: str = ""
    """What it is called at the edge; empty: it is not published, or there is no edge."""
    deleted: bool = False


@dataclass(slots=True)
class Scene:
    """An owner with an account, a stranger, and what was made for them."""

    show: Show
    site: Site
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    account: str = ""
    owner: httpx.Client = field(default_factory=httpx.Client)
    owner_token: str = ""
    stranger: httpx.Client = field(default_factory=httpx.Client)
    made: list[Made] = field(default_factory=list)

    # ---- the stage ---------------------------------------------------------------------------------------------------

    def look_first(self) -> None:
        """Find out whether there is a system, and whether we may. Raises NoSystem."""
        try:
            health = self.site.nobody.get("/api/health")
            brakes = self.site.admin.get("/api/admin/brakes")
        except httpx.HTTPError as error:
            words = str(error).strip().lower() or type(error).__name__
            raise NoSystem(self.site.url, f"nobody answers ({words})", "is it running, and is --url right?") from None
        if (
            health.headers.get("content-type", "").partition(";")[0] != "application/json"
            or "version" not in health.text
        ):
            raise NoSystem(self.site.url, "what answers is no Forbear", "is --url right?")
        if brakes.status_code in (401, 403, 429):
            remedy = "set FORBEAR_ADMIN_TOKEN to the one that it was started with"
            raise NoSystem(self.site.url, "it does not know this admin token", remedy)
        body = health.json()
        self.show.note(f"it answers: version {body.get('version')}, policy {str(body.get('policyDigest'))[:12]}")

    def set_up(self) -> None:
        """Take the people of the run before, or make them. Raises DemoFailed.

        Nobody can take an account away, and those that nobody uses would widen the brake on suspensions: one is enough.
        """
        if not self._meet(self.site.people()):
            owner_id, owner = self._customer("owner")
            _, stranger = self._customer("stranger")
            order = {"customerId": owner_id, "stripeCustomerId": f"cus_smoke_{self.run}", "plan": PLAN}
            account = self.must(self.site.admin.post("/api/admin/accounts", json=order), 201)["accountId"]
            people = {"owner": owner, "stranger": stranger, "account": str(account), "url": self.site.url}
            if not self._meet(people):
                raise DemoFailed("the account that was just made is not shown to its owner as active")
            self.site.keep_people(people)
        self.holds(True, "the account", f"{self.account}, active")
        view = self.must(self.site.admin.get(f"/api/admin/accounts/{self.account}"), 200)
        for left in view["servers"]:
            self.made.append(Made(left["name"], left["kind"], left["serverId"]))
            self.show.note(f"{left['name']} was left by an earlier run, and is taken away at the end")

    def _meet(self, people: dict[str, str]) -> bool:
        """Let these people act; False when the system does not know them, or their account is not as new."""
        if set(people) != {"owner", "stranger", "account", "url"} or people["url"] != self.site.url:
            return False  # another system is never told their tokens
        self.owner_token, self.account = people["owner"], people["account"]
        self.owner, self.stranger = (self.site.client(people[who]) for who in ("owner", "stranger"))
        self.site.secrets |= {f"the {who}'s token": people[who] for who in ("owner", "stranger")}
        mine, theirs = self.owner.get("/api/account"), self.stranger.get("/api/account")
        if (mine.status_code, theirs.status_code) != (200, 200):
            return False
        found = [each["billingStatus"] for each in mine.json() if each["accountId"] == self.account]
        return found == ["active"] and not theirs.json()

    def _customer(self, who: str) -> tuple[str, str]:
        person = {"email": f"{who}-{self.run}@smoke.invalid", "name": f"Smoke {who}"}
        made = self.must(self.site.admin.post("/api/admin/customers", json=person), 201)
        return str(made["customerId"]), str(made["token"])

    # ---- asking ------------------------------------------------------------------------------------------------------

    def ask(
        self, client: httpx.Client, method: str, path: str, status: int, words: str = "", *, code: str = "", **more: Any
    ) -> httpx.Response:
        """Send a request and check its status and, where one is expected, its code."""
        answer = client.request(method, path, **more)
        found = self.code_of(answer)
        ok = answer.status_code == status and (not code or found == code)
        shown = " ".join(part for part in (found, words) if part) if ok else found or answer.text[:200]
        expected = f"{status} {code}".strip()
        self.show.check(ok, f"{method} {self.named(path)}", shown, status=answer.status_code, expected=expected)
        return answer

    def must(self, answer: httpx.Response, status: int) -> Any:
        """Return the JSON of an answer that everything after depends on. Raises DemoFailed."""
        if answer.status_code != status:
            place = f"{answer.request.method} {self.named(answer.request.url.path)}"
            raise DemoFailed(f"{place} answered {answer.status_code} instead of {status}: {answer.text[:300]}")
        return answer.json() if answer.content else None

    def required(self, answer: httpx.Response, status: int) -> Any:
        """Check an answer that everything after depends on, and return its JSON. Raises DemoFailed."""
        found = self.must(answer, status)
        place = f"{answer.request.method} {self.named(answer.request.url.path)}"
        self.show.check(True, place, "taken", status=answer.status_code)
        return found

    def holds(self, ok: object, what: str, got: object, expected: object = "") -> bool:
        """Check a fact."""
        return self.show.check(bool(ok), what, str(got), expected=str(expected))

    @staticmethod
    def code_of(answer: httpx.Response) -> str:
        """Return a problem's code, or nothing."""
        return str(answer.json().get("code", "")) if "problem+json" in answer.headers.get("content-type", "") else ""

    def named(self, path: str) -> str:
        """Write a path with names in place of ids."""
        for each in self.made:
            path = path.replace(each.server_id or "\0", "{server}").replace(each.operation_id or "\0", "{operation}")
        return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "{id}", path)

    # ---- waiting -----------------------------------------------------------------------------------------------------

    def until(self, what: str, look: Callable[[], Found | None]) -> Found:
        """Wait until a look shows something, and return it. Raises DemoFailed when it takes too long."""
        with self.show.waiting(f"waiting until {what}"):
            for _ in polling(self.site.wait_seconds, LOOK_EVERY_SECONDS):
                if (found := look()) is not None:
                    return found
        raise DemoFailed(f"waited {self.site.wait_seconds:g} s in vain until {what}")

    def finished(self, operation_id: str, what: str) -> dict[str, Any]:
        """Wait for an operation to succeed. Raises DemoFailed when it fails, or nobody works on it."""
        last: dict[str, Any] = {}

        def look() -> dict[str, Any] | None:
            last.update(self.must(self.owner.get(f"/api/operations/{operation_id}"), 200))
            return last if last["state"] in ("succeeded", "failed") else None

        try:
            ended = self.until(f"{what} has ended", look)
        except DemoFailed as error:
            at = f"{last.get('state')}, {last.get('phase') or 'no phase yet'}"
            raise DemoFailed(f"{error}: it is {at}; is a worker at work? `forbear doctor` tells") from None
        if ended["state"] != "succeeded":
            raise DemoFailed(f"{what} failed: {ended['error']}")
        self.show.check(True, f"operation {ended['kind']}", f"succeeded, {ended['phase']}")
        return ended

    # ---- servers -----------------------------------------------------------------------------------------------------

    def line_of(self, server: Made) -> dict[str, Any] | None:
        """Return a server as the account's admin sees it; `None` when it is not among them any more."""
        view = self.must(self.site.admin.get(f"/api/admin/accounts/{self.account}"), 200)
        return next((each for each in view["servers"] if each["serverId"] == server.server_id), None)

    def seen(self, server: Made, observed: str) -> None:
        """Wait until the controller has seen it so, and check that it did."""

        def look() -> bool | None:
            line = self.line_of(server)
            return True if line is not None and line["observed"] == observed else None

        self.until(f"{server.name} is seen {observed}", look)
        self.show.check(True, "the controller sees", f"{server.name} {observed}")

    def order(self, kind: str, name: str) -> Made:
        """Order a server and wait until it is made. Raises DemoFailed."""
        server = Made(f"smoke-{name}-{self.run}", kind)
        self.made.append(server)
        wish = {"name": server.name, "kind": kind, "accountId": self.account}
        key = {"Idempotency-Key": server.name}
        asked = self.required(self.owner.post("/api/instances", json=wish, headers=key), 202)
        server.operation_id = str(asked["operationId"])
        again = self.must(self.owner.post("/api/instances", json=wish, headers=key), 202)
        self.holds(again == asked, "the same order again", "the same operation", "the same operation")
        first = self.must(self.owner.get(f"/api/operations/{server.operation_id}"), 200)
        server.server_id = str(first["serverId"] or "")
        server.server_id = str(self.finished(server.operation_id, f"the order of {server.name}")["serverId"])
        line = self.line_of(server)
        if line is not None and line.get("edge"):
            server.label = str(line["edge"]["label"])
        return server

    def published(self, server: Made) -> list[str]:
        """Return the records in the zone files of this machine that lead to a server, or say whose they are."""
        marks = [re.escape(mark) for mark in (server.label, server.server_id) if mark]
        about = re.compile(rf"(?<![\w-])({'|'.join(marks)})(?![\w-])")
        lines = [line for file in self.site.zone_files() for line in file.read_text("utf-8").splitlines()]
        return [line for line in lines if not line.startswith(";") and about.search(line)]

    def delete(self, server: Made) -> None:
        """Delete its backups, and then the server, as its owner. Raises DemoFailed."""
        base = f"/api/servers/{server.server_id}"
        for backup in self.must(self.owner.get(f"{base}/backups"), 200):
            asked = self.must(self.owner.delete(f"{base}/backups/{backup['backupId']}"), 202)
            self.finished(asked["operationId"], "the deletion of a backup")

        def ask() -> httpx.Response | None:
            answer = self.owner.request("DELETE", base, json={"name": server.name})
            return None if self.code_of(answer) == "SERVER_BUSY" else answer

        asked = self.must(self.until(f"{server.name} is not busy", ask), 202)
        self.finished(asked["operationId"], f"the deletion of {server.name}")
        server.deleted = True

    def clean_up(self) -> None:
        """Take away every server and backup that is still there; what cannot be is named, and fails."""
        for server in (each for each in self.made if not each.deleted):
            if not server.server_id:
                self.holds(not server.operation_id, server.name, "ordered, and perhaps made later", "nothing ordered")
                continue
            try:
                self.delete(server)
            except (DemoFailed, httpx.HTTPError) as error:
                self.holds(False, server.name, f"left as {server.server_id}: {error}", "taken away")
        if not self.account:
            return
        view = self.must(self.site.admin.get(f"/api/admin/accounts/{self.account}"), 200)
        left = [each["name"] for each in view["servers"]]
        self.holds(not left, "servers of the account", ", ".join(left) or "none left", "none")
        self.show.note(f"account {self.account} stays as a record, without servers or backups")
