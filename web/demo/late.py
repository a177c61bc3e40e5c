"""The demo's first half: a payment fails, and the account climbs the ladder until its server is stopped and kept."""

from __future__ import annotations

from web.demo.scene import Scene
from web.demo.system import is_alive, moment, seal


def stage(scene: Scene) -> None:
    """Two customers, a game server each, a world in it, a backup of it."""
    show, system = scene.show, scene.system
    show.step(None, "The stage: Ada and Grace each rent a game server")
    people = {}
    for name, stripe_id in (("Ada", scene.stripe.customer), ("Grace", "cus_demo_grace")):
        person = {"email": f"{name.lower()}@example.org", "name": name}
        made = scene.must(system.admin.post("/api/admin/customers", json=person), 201)
        order = {"customerId": made["customerId"], "stripeCustomerId": stripe_id, "plan": "game"}
        account = scene.must(system.admin.post("/api/admin/accounts", json=order), 201)["accountId"]
        people[name] = (system.client(made["token"]), account)
    scene.ada, scene.account = people["Ada"]
    grace, scene.neighbour = people["Grace"]
    scene.server = scene.make_server(scene.ada, scene.account, "overworld")
    scene.neighbour_server = scene.make_server(grace, scene.neighbour, "meadow")
    grace.post(f"/api/servers/{scene.neighbour_server}/host/start")
    base = f"/api/servers/{scene.server}"
    scene.ask(scene.ada, "POST", f"{base}/host/start", 202, "taken; a worker starts it")
    scene.settle()
    pid = system.process(scene.server)
    scene.holds(scene.is_running() and pid, "the server runs", f"process {pid}, seen by the controller", "a process")
    notes = {"path": "notes.txt", "content": "The tower is at 12, 40.\n"}
    scene.ask(scene.ada, "PUT", f"{base}/files", 200, "Ada keeps notes beside her world", json=notes)
    scene.ask(scene.ada, "POST", f"{base}/backups", 202, "and makes a backup")
    scene.settle()
    scene.holds(len(scene.backups()) == 1, "backups", seal(system.backups(scene.server)), "one backup")
    grace.close()


def payment_fails(scene: Scene) -> None:
    """1: Stripe says that a charge failed."""
    scene.failed_at = scene.now()
    status = scene.deliver(scene.stripe.payment_failed(scene.failed_at))
    scene.show.check(
        status == 200, "POST /api/billing/webhook", "signed invoice.payment_failed, EUR 15.00 owed", status=status
    )
    scene.ask(
        scene.ada,
        "POST",
        "/api/billing/webhook",
        400,
        "the same with a forged signature is refused",
        content=scene.stripe.sent[0],
        headers={"Stripe-Signature": "t=1,v1=00"},
    )


def state_updates(scene: Scene) -> None:
    """2: the account is late, and its customer is warned at once."""
    scene.settle()
    view = scene.view()
    scene.holds(view["billingStatus"] == "overdue_warning", "billingStatus", view["billingStatus"], "overdue_warning")
    scene.holds(view["pastDueSince"], "pastDueSince", moment(view["pastDueSince"]), "the failed attempt")
    scene.holds(view["serverBillingState"] == "allowed", "serverBillingState", view["serverBillingState"], "allowed")
    scene.holds(scene.is_running(), "the server", "still runs: a warning takes nothing away", "running")
    told = scene.listen("overdue_warning")
    scene.holds(told.letters, "letter to ada@example.org", told.letters[-1] if told.letters else "none", "a warning")


def provisioning_is_blocked(scene: Scene) -> None:
    """3: nobody adds to what is owed."""
    order = {"name": "second", "kind": "game", "accountId": scene.account}
    headers = {"Idempotency-Key": "demo-second"}
    scene.denied("POST", "/api/instances", "BILLING_PAST_GRACE", read_out=True, json=order, headers=headers)
    view = scene.view()
    scene.holds(len(view["servers"]) == 1, "servers of the account", "one, as before", "one")


def backups_are_blocked(scene: Scene) -> None:
    """4: at 72 hours, and not before."""
    backups = f"/api/servers/{scene.server}/backups"
    scene.advance(71)
    scene.ask(scene.ada, "POST", backups, 202, f"{scene.hours:g} h: a backup is still taken")
    scene.settle()
    scene.holds(len(scene.backups()) == 2, "backups", seal(scene.system.backups(scene.server)), "two backups")
    scene.advance(2)
    view = scene.view()
    state = f"{view['billingStatus']}, {view['serverBillingState']}"
    scene.holds(
        state == "final_warning, backup_blocked",
        f"{scene.hours:g} h: the account",
        state,
        "final_warning, backup_blocked",
    )
    scene.denied("POST", backups, "BILLING_BACKUP_BLOCKED", read_out=True)
    scene.ask(scene.ada, "GET", backups, 200, "those that exist are all still listed")
    told = scene.listen("final_warning")
    scene.holds(
        told.letters, "letter to ada@example.org", told.letters[-1] if told.letters else "none", "a final warning"
    )
    at = (told.next_step or {}).get("at")
    scene.holds(at, "it promises", f"no suspension before {moment(at)}", "a date")


def server_is_suspended(scene: Scene) -> None:
    """5: the process ends; every byte stays."""
    base, system = f"/api/servers/{scene.server}", scene.system
    scene.advance(46)
    pid = system.process(scene.server)
    scene.holds(
        scene.is_running() and pid,
        f"{scene.hours:g} h: the server",
        f"still runs, process {pid}: the promise is kept",
        "running",
    )
    scene.kept_backups = system.backups(scene.server)
    mine = system.files(scene.server)
    scene.advance(3)
    view = scene.view()
    server = view["servers"][0]
    state = f"{view['billingStatus']}, {view['serverBillingState']}"
    scene.holds(
        state == "suspended, suspended_shutdown",
        f"{scene.hours:g} h: the account",
        state,
        "suspended, suspended_shutdown",
    )
    seen = f"desired {server['desired']}, observed {server['observed']}"
    scene.holds(seen == "desired stopped, observed stopped", "the server", seen, "desired stopped, observed stopped")
    scene.holds(pid and not is_alive(pid), f"process {pid}", "gone", "gone")
    scene.kept_files = system.files(scene.server)
    changed = sorted(name for name in mine if scene.kept_files.get(name) != mine[name])
    lost = sorted(set(mine) - set(scene.kept_files))
    saved = f"; the game saved {', '.join(changed)} as it ended" if changed else ", byte for byte as before"
    scene.holds(
        not lost and "notes.txt" not in changed, "her files", seal(scene.kept_files) + saved, f"all of {sorted(mine)}"
    )
    same = system.backups(scene.server) == scene.kept_backups
    scene.holds(same, "her backups", f"{seal(scene.kept_backups)}, byte for byte as before", "unchanged")
    scene.denied("POST", f"{base}/host/start", "BILLING_SUSPENDED", read_out=True)
    write = {"path": "notes.txt", "content": "x"}
    scene.denied("PUT", f"{base}/files", "BILLING_SUSPENDED", json=write)
    scene.ask(
        scene.ada,
        "GET",
        f"{base}/files/download",
        200,
        "what is hers she can still download",
        params={"path": "notes.txt"},
    )
    running = scene.is_running(scene.neighbour)
    scene.holds(running, "Grace, who paid", "her server runs as if nothing had happened", "running")
    scene.listen("suspended")


def controller_leaves_it_stopped(scene: Scene) -> None:
    """6: nothing brings a suspended server back, and nothing is deleted with time."""
    for _ in range(3):
        scene.settle()
    pid = scene.system.process(scene.server)
    scene.holds(
        not scene.is_running() and pid is None, "after three more ticks", "still stopped, no process", "stopped"
    )
    start = {"action": "start_server", "accountId": scene.account, "serverId": scene.server}
    answer = scene.system.admin.post("/api/admin/intents", json=start)
    scene.settle()
    stopped = scene.system.process(scene.server) is None
    scene.show.check(
        stopped,
        "POST /api/admin/intents start_server",
        "even asked by an admin it is not started",
        status=answer.status_code,
    )
    scene.advance(73)
    view = scene.view()
    scene.holds(
        view["billingStatus"] == "retained", f"{scene.hours:g} h: the account", view["billingStatus"], "retained"
    )
    scene.holds(view["retentionUntil"], "kept at least until", moment(view["retentionUntil"]), "a date")
    scene.listen("retained")
    scene.advance(192)
    told = scene.listen("retained, near the deadline")
    scene.holds(told.letters, f"{scene.hours:g} h: letter", told.letters[-1] if told.letters else "none", "a reminder")
    same = (
        scene.system.files(scene.server) == scene.kept_files
        and scene.system.backups(scene.server) == scene.kept_backups
    )
    scene.holds(same, "files and backups", "byte for byte there", "unchanged")
    scene.refuse_deletion("even now: step 12")
