"""The whole loop, from a failed payment to a server given back, on a system that runs as its operators run it."""

from __future__ import annotations

import concurrent.futures
import hashlib
import itertools
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.system import System, invoice_event, left_behind, poll, subscription_event


def mails(data: Path, customer: str = "") -> list[str]:
    """Return the letters that left, of all customers or of one."""
    letters = [p.read_text(errors="replace") for p in sorted(data.rglob("new/*")) if p.is_file()]
    return [letter for letter in letters if not customer or f"To: {customer}" in letter or f"<{customer}>" in letter]


def fail_payment(system: System, customer: str, invoice: str = "in_1", event: str = "evt_fail") -> None:
    created = system.now()
    answer = system.deliver(
        invoice_event("payment_failed", event=event, invoice=invoice, customer=customer, status="open", created=created)
    )
    assert answer.status_code == 200, answer.text


def pay(system: System, customer: str, invoice: str = "in_1", event: str = "evt_paid") -> dict[str, Any]:
    """Pay what is open, now. Each story ends paid: nobody late may count for the brake of the next one."""
    paid = invoice_event("paid", event=event, invoice=invoice, customer=customer, status="paid", created=system.now())
    answer = system.deliver(paid)
    assert answer.status_code == 200, answer.text
    return paid


class Story:
    """A customer with a server and a backup, and another one who pays all the while."""

    def __init__(self, system: System) -> None:
        self.system = system
        customer, self.client = system.customer()
        self.address = f"c{system.customers}@example.org"
        self.account = system.account(customer, "cus_loop")
        self.server = system.server(self.client, self.account, "one")
        other, others_client = system.customer()
        self.foreign_account = system.account(other, "cus_other")
        self.foreign = system.server(others_client, self.foreign_account, "two")
        self.path = f"/api/servers/{self.server}"
        assert self.client.post(f"{self.path}/host/start").status_code == 202
        assert self.view["servers"][0]["observed"] == "running"
        written = self.client.put(f"{self.path}/files", json={"path": "notes.txt", "content": "mine"})
        assert written.status_code in (200, 201, 204)
        assert self.client.post(f"{self.path}/backups").status_code in (200, 201, 202)
        system.drain()
        assert len(self.client.get(f"{self.path}/backups").json()) == 1

    @property
    def view(self) -> dict[str, Any]:
        return self.system.view(self.account)

    @property
    def backups(self) -> dict[Path, str]:
        """What every backup on the disk holds."""
        found = (self.system.data / "backups").rglob("*.tar.gz")
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    def ask(self, action: str) -> httpx.Response:
        """Ask for work on the server, as an admin."""
        wish = {"action": action, "accountId": self.account, "serverId": self.server}
        return self.system.admin.post("/api/admin/intents", json=wish)

    def is_warned(self) -> None:
        assert self.view["billingStatus"] == "overdue_warning"
        assert self.view["warningSentAt"] is not None
        late_backup = self.client.post(f"{self.path}/backups")
        assert late_backup.status_code in (200, 201, 202), "backups stay until the block"
        self.system.drain()
        order = {"name": "x", "kind": "game", "accountId": self.account}
        denied = self.client.post("/api/instances", json=order, headers={"Idempotency-Key": "no"})
        assert denied.status_code == 402
        assert denied.headers["content-type"].startswith("application/problem+json")
        assert denied.json()["code"] == "BILLING_PAST_GRACE"

    def is_warned_finally(self) -> None:
        assert self.view["billingStatus"] == "final_warning"
        assert self.view["serverBillingState"] == "backup_blocked"
        assert self.client.post(f"{self.path}/backups").json()["code"] == "BILLING_BACKUP_BLOCKED"
        told = self.client.get("/api/account").json()[0]
        assert told["nextStep"] is not None
        assert told["message"]

    def is_suspended(self) -> None:
        view = self.view
        assert (view["billingStatus"], view["serverBillingState"]) == ("suspended", "suspended_shutdown")
        assert (view["servers"][0]["desired"], view["servers"][0]["observed"]) == ("stopped", "stopped")
        for verb in ("host/start", "host/restart", "game/start", "game/restart"):
            refused = self.client.post(f"{self.path}/{verb}")
            assert (refused.status_code, refused.json()["code"]) == (402, "BILLING_SUSPENDED")
        assert self.client.post(f"{self.path}/host/stop").status_code == 202
        assert self.client.get(f"{self.path}/files/list", params={"path": "/"}).status_code == 200
        assert self.ask("start_server").status_code in (202, 400, 409)
        self.system.drain()
        assert self.view["servers"][0]["observed"] == "stopped", "whoever starts it, it is shut down"

    def harms_nobody_else(self) -> None:
        theirs = self.system.view(self.foreign_account)
        assert (theirs["billingStatus"], theirs["servers"][0]["observed"]) == ("active", "running")
        reached = self.client.get(f"/api/servers/{self.foreign}/files/list", params={"path": "/"})
        assert reached.status_code == 404

    def is_retained(self) -> None:
        assert self.view["billingStatus"] == "retained"
        assert self.view["retentionUntil"] is not None
        refused = self.ask("delete_suspended_server")
        assert (refused.status_code, refused.json()["code"]) == (409, "DESTRUCTIVE_ACTION_REJECTED")

    def is_given_back(self) -> None:
        view = self.view
        assert (view["billingStatus"], view["serverBillingState"]) == ("active", "allowed")
        assert view["suspendedAt"] is None
        assert view["servers"][0]["observed"] == "stopped", "nothing starts by itself on return"
        self.system.advance(1)
        assert self.view["servers"][0]["observed"] == "stopped"
        assert self.client.post(f"{self.path}/host/start").status_code == 202
        self.system.drain()
        assert self.view["servers"][0]["observed"] == "running"

    def was_told_each_thing_once(self) -> None:
        lines = [line for mail in mails(self.system.data, self.address) for line in mail.splitlines()]
        subjects = [line for line in lines if line.startswith("Subject:")]
        assert len(subjects) == len(set(subjects)) == 4, subjects


def test_a_late_account_climbs_the_ladder_and_a_paid_one_comes_back(system: System) -> None:
    story = Story(system)
    fail_payment(system, "cus_loop", "in_loop", "evt_loop")
    system.drain()
    story.is_warned()
    system.advance(71)
    assert story.view["billingStatus"] == "overdue_warning"
    system.advance(2)
    story.is_warned_finally()
    system.advance(46)
    assert story.view["billingStatus"] == "final_warning"
    backups = story.backups
    system.advance(3)
    story.is_suspended()
    assert backups
    assert story.backups == backups
    story.harms_nobody_else()
    system.advance(73)
    story.is_retained()
    paid = pay(system, "cus_loop", "in_loop", "evt_loop_paid")
    succeeded = {**paid, "id": "evt_loop_succeeded", "type": "invoice.payment_succeeded"}
    assert system.deliver(succeeded).status_code == 200
    system.drain()
    story.is_given_back()
    story.was_told_each_thing_once()
    assert "rejected" in [each["kind"] for each in system.events(story.account)]


def test_fifty_copies_of_one_event_are_one_effect(system: System) -> None:
    customer_id, _ = system.customer()
    account = system.account(customer_id, "cus_copies")
    event = invoice_event(
        "payment_failed",
        event="evt_same",
        invoice="in_same",
        customer="cus_copies",
        status="open",
        created=system.now(),
    )
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        statuses = [r.status_code for r in pool.map(lambda _: system.deliver(event), range(50))]
    assert statuses == [200] * 50
    system.drain()
    transitions = [e for e in system.events(account) if e["kind"] == "transition"]
    assert [(e["from"], e["to"]) for e in transitions] == [("active", "past_due"), ("past_due", "overdue_warning")]
    assert len(mails(system.data, f"c{system.customers}@example.org")) == 1
    pay(system, "cus_copies", "in_same", "evt_same_paid")


def test_every_order_of_the_same_events_ends_the_same(system: System) -> None:
    base = system.now() - 3600
    ends = set()
    every = list(itertools.permutations(range(5)))  # all 120 are tried closer to the ledger; these go over HTTP
    for number, order in enumerate(every[::10]):
        customer_id, _ = system.customer()
        stripe = f"cus_o{number}"
        account = system.account(customer_id, stripe, subscription=f"sub_o{number}")
        events = [
            subscription_event(
                "updated",
                event=f"e1_{number}",
                subscription=f"sub_o{number}",
                customer=stripe,
                status="past_due",
                created=base,
            ),
            invoice_event(
                "payment_failed",
                event=f"e2_{number}",
                invoice=f"A{number}",
                customer=stripe,
                status="open",
                created=base + 1,
            ),
            invoice_event(
                "payment_failed",
                event=f"e3_{number}",
                invoice=f"B{number}",
                customer=stripe,
                status="open",
                created=base + 2,
                new_shape=True,
                subscription=f"sub_o{number}",
            ),
            invoice_event(
                "paid", event=f"e4_{number}", invoice=f"A{number}", customer=stripe, status="paid", created=base + 3
            ),
            subscription_event(
                "updated",
                event=f"e5_{number}",
                subscription=f"sub_o{number}",
                customer=stripe,
                status="active",
                created=base + 4,
            ),
        ]
        for index in order:
            assert system.deliver(events[index]).status_code == 200
        view = system.view(account)
        ends.add((view["billingStatus"] != "active", view["subscriptionStatus"], view["plan"], view["pastDueSince"]))
        pay(system, stripe, f"B{number}", f"e6_{number}")
    assert len(ends) == 1, ends
    late, status, plan, _ = ends.pop()
    assert (late, status, plan) == (True, "active", "game")


def test_ctrl_c_leaves_nothing_and_ten_days_later_it_goes_on_skips_no_rung_and_breaks_no_promise(
    system: System,
) -> None:
    customer_id, client = system.customer()
    account = system.account(customer_id, "cus_down")
    server = system.server(client, account, "down")
    client.post(f"/api/servers/{server}/host/start")
    fail_payment(system, "cus_down", "in_down", "evt_down")
    system.drain()
    assert system.stop(signal.SIGINT) in (0, 130)
    assert left_behind(system.data) == []
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", system.port), 1):
        pass
    system.start()
    for _ in poll(20):
        if system.view(account)["servers"][0]["observed"] == "running":
            break
    assert system.view(account)["servers"][0]["observed"] == "running"

    system.advance(240)
    assert system.view(account)["billingStatus"] == "final_warning"
    told = client.get("/api/account").json()[0]
    assert told["nextStep"]["at"] is not None
    system.advance(47)
    assert system.view(account)["billingStatus"] == "final_warning"
    system.advance(2)
    assert system.view(account)["billingStatus"] == "suspended"
    climbs = [e["to"] for e in system.events(account) if e["kind"] == "transition"]
    assert climbs == ["past_due", "overdue_warning", "final_warning", "suspended"]
    pay(system, "cus_down", "in_down", "evt_down_paid")


def test_an_event_of_an_unknown_account_is_parked_until_it_is_known(system: System) -> None:
    fail_payment(system, "cus_later", "in_later", "evt_later")
    customer_id, _ = system.customer()
    account = system.account(customer_id, "cus_later")
    system.drain()
    assert system.view(account)["billingStatus"] == "overdue_warning"
    pay(system, "cus_later", "in_later", "evt_later_paid")


@pytest.mark.parametrize("wishes", [["stop", "start"], ["stop", "restart"], ["stop", "start", "restart"]])
def test_a_stop_that_is_taken_back_leaves_a_server_that_can_be_stopped(system: System, wishes: list[str]) -> None:
    customer_id, client = system.customer()
    account = system.account(customer_id, f"cus_{'_'.join(wishes)}")
    server = system.server(client, account, "-".join(wishes))
    for wish in wishes:
        assert client.post(f"/api/servers/{server}/host/{wish}").status_code == 202
    system.drain()
    system.drain()
    assert system.view(account)["servers"][0]["observed"] == "running"
    assert client.post(f"/api/servers/{server}/host/stop").status_code == 202
    system.drain()
    assert system.view(account)["servers"][0]["observed"] == "stopped"


def test_the_brake_lets_one_of_few_through_and_holds_the_rest(system: System) -> None:
    accounts = []
    for number in range(4):
        customer_id, _ = system.customer()
        accounts.append(system.account(customer_id, f"cus_b{number}"))
        fail_payment(system, f"cus_b{number}", invoice=f"in_b{number}", event=f"evt_b{number}")
    system.drain()
    system.advance(73)
    system.advance(50)
    states = sorted(system.view(a)["billingStatus"] for a in accounts)
    assert states == ["final_warning"] * 3 + ["suspended"]
    assert system.drain() >= 3
    for number in range(4):
        pay(system, f"cus_b{number}", f"in_b{number}", f"evt_b{number}_paid")
    let_go = system.admin.post("/api/admin/brakes/suspension_brake/release", json={"reason": "all have paid"})
    assert let_go.status_code == 200, let_go.text
