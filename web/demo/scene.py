"""The people and things of the demo, and the ways in which its steps ask, look and compare."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from jobs.certificates import certificates
from web.demo.show import Show
from web.demo.stripe import Stripe
from web.demo.system import DemoFailed, System, eventually


@dataclass(frozen=True, slots=True)
class Told:
    """What the customer was told on one rung, everywhere at the same moment."""

    rung: str
    message: str
    next_step: dict[str, Any] | None
    pay_url: str | None
    announcements: list[str]
    letters: list[str]  # subjects of the letters that came with this rung


@dataclass(slots=True)
class Scene:
    """Ada, who will be late; Grace, who is not; a game server of each."""

    show: Show
    system: System
    stripe: Stripe
    ada: httpx.Client = field(default_factory=httpx.Client)
    account: str = ""
    server: str = ""
    neighbour: str = ""  # Grace's account
    neighbour_server: str = ""
    hours: float = 0.0  # on the test clock, since the payment failed
    failed_at: int = 0
    told: list[Told] = field(default_factory=list)
    letters_seen: int = 0
    kept_files: dict[str, str] = field(default_factory=dict)
    kept_backups: dict[str, str] = field(default_factory=dict)

    # ---- asking ------------------------------------------------------------------------------------------------------

    def ask(
        self,
        client: httpx.Client,
        method: str,
        path: str,
        status: int,
        words: str = "",
        *,
        code: str = "",
        quiet: bool = False,
        **request: Any,
    ) -> httpx.Response:
        """Send a request and check its status and, for a denial, its code."""
        with self.show.waiting(f"{method} {self.named(path)}"):
            answer = client.request(method, path, **request)
        found = self.code_of(answer)
        ok = answer.status_code == status and (not code or found == code)
        got = " ".join(part for part in (found, words) if part)
        if not quiet or not ok:
            expected = f"{status} {code}".strip()
            shown = got if ok else found or answer.text[:200]
            self.show.check(ok, f"{method} {self.named(path)}", shown, status=answer.status_code, expected=expected)
        return answer

    def denied(self, method: str, path: str, code: str, *, read_out: bool = False, **request: Any) -> None:
        """Check that Ada is refused with a code and a sentence, and read the sentence out."""
        answer = self.ask(self.ada, method, path, 402, code=code, **request)
        body = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        if not answer.headers.get("content-type", "").startswith("application/problem+json") or not body.get("detail"):
            self.show.check(
                False, "the denial explains itself", answer.text[:120], expected="a problem with a sentence"
            )
        elif read_out:
            self.show.quote("says", body["detail"])

    @staticmethod
    def code_of(answer: httpx.Response) -> str:
        """Return a problem's code, or nothing."""
        if "problem+json" in answer.headers.get("content-type", ""):
            return str(answer.json().get("code", ""))
        return ""

    def named(self, path: str) -> str:
        """Write a path with names in place of ids."""
        for value, name in (
            (self.server, "{server}"),
            (self.account, "{account}"),
            (self.neighbour_server, "{grace's server}"),
            (self.neighbour, "{grace}"),
        ):
            if value:
                path = path.replace(value, name)
        return path

    def holds(self, ok: object, what: str, got: object, expected: object = "") -> bool:
        """Check a fact."""
        return self.show.check(bool(ok), what, str(got), expected=str(expected))

    def must(self, answer: httpx.Response, status: int) -> Any:
        """Return the JSON of an answer that everything after depends on. Raises DemoFailed."""
        if answer.status_code != status:
            place = f"{answer.request.method} {answer.request.url.path}"
            raise DemoFailed(f"{place} answered {answer.status_code}: {answer.text[:300]}")
        return answer.json()

    def refuse_deletion(self, when: str) -> None:
        """Ask for the one thing that is never done on request."""
        wish = {"action": "delete_suspended_server", "accountId": self.account, "serverId": self.server}
        refused = "DESTRUCTIVE_ACTION_REJECTED"
        self.ask(self.system.admin, "POST", "/api/admin/intents", 409, f"({when})", code=refused, json=wish)

    # ---- looking -----------------------------------------------------------------------------------------------------

    def view(self, account: str = "") -> dict[str, Any]:
        """Return an account as its admin sees it; Ada's unless another is named."""
        return dict(self.must(self.system.admin.get(f"/api/admin/accounts/{account or self.account}"), 200))

    def audit(self) -> list[dict[str, Any]]:
        """Return Ada's audit, oldest first."""
        return list(self.must(self.system.admin.get(f"/api/admin/accounts/{self.account}/events"), 200))

    def is_running(self, account: str = "") -> bool:
        """Say whether the account's server is seen running."""
        return bool(self.view(account)["servers"][0]["observed"] == "running")

    def backups(self) -> list[dict[str, Any]]:
        """Return the backups that Ada sees."""
        return list(self.must(self.ada.get(f"/api/servers/{self.server}/backups"), 200))

    # ---- time --------------------------------------------------------------------------------------------------------

    @property
    def when(self) -> str:
        """Say where the test clock stands."""
        if not self.failed_at:
            return ""
        return f"{self.hours:g} h after the failed payment" if self.hours else "the hour in which it fails"

    def now(self) -> int:
        """Return the system's present, in seconds since the epoch."""
        return int(time.time() + self.hours * 3600)

    def settle(self) -> int:
        """Let everything that can proceed happen; return how many things wait for somebody."""
        with self.show.waiting("the workers and the controller work"):
            return int(self.must(self.system.admin.post("/api/admin/drain"), 200)["waiting"])

    def advance(self, hours: float) -> None:
        """Move the test clock, and let everything that follows happen."""
        with self.show.waiting(f"{hours:g} hour{'s' * (hours != 1)} pass"):
            self.must(self.system.admin.post("/api/admin/clock/advance", json={"hours": hours}), 200)
        self.hours += hours

    def deliver(self, body: bytes, *, record: bool = True) -> int:
        """Send one signed event as Stripe does, and return the status."""
        if record:
            self.stripe.sent.append(body)
        headers = {"Stripe-Signature": self.stripe.signature(body), "Content-Type": "application/json"}
        with httpx.Client(base_url=self.system.url, timeout=60, trust_env=False, verify=certificates()) as client:
            return client.post("/api/billing/webhook", content=body, headers=headers).status_code

    # ---- servers -----------------------------------------------------------------------------------------------------

    def make_server(self, client: httpx.Client, account: str, name: str) -> str:
        """Order a game server, wait until it is made, and return its id."""
        order = {"name": name, "kind": "game", "accountId": account}
        asked = self.must(client.post("/api/instances", json=order, headers={"Idempotency-Key": f"demo-{name}"}), 202)

        def ended() -> dict[str, Any] | None:
            operation = self.must(client.get(f"/api/operations/{asked['operationId']}"), 200)
            return dict(operation) if operation["state"] in ("succeeded", "failed") else None

        with self.show.waiting(f"a worker makes {name}"):
            operation = eventually(30, ended)
        if not operation or operation["state"] != "succeeded":
            raise DemoFailed(f"the server was not made: {operation}")
        return str(operation["serverId"])

    # ---- what the customer is told -----------------------------------------------------------------------------------

    def listen(self, rung: str) -> Told:
        """Collect what Ada is told now: API, announcements, and the letters to her since the last time."""
        mine = next(a for a in self.must(self.ada.get("/api/account"), 200) if a["accountId"] == self.account)
        announced = self.must(self.ada.get("/api/announcements"), 200)
        letters = [str(letter["Subject"]) for letter in self.system.mails() if "ada@" in str(letter["To"])]
        new, self.letters_seen = letters[self.letters_seen :], len(letters)
        told = Told(
            rung=rung,
            message=mine["message"],
            next_step=mine["nextStep"],
            pay_url=mine["payUrl"],
            announcements=[str(each.get("text") or each.get("title")) for each in announced],
            letters=new,
        )
        self.told.append(told)
        return told
