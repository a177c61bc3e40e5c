"""The demo's second half: the invoice is paid, access returns, and what must never happen did not."""

from __future__ import annotations

import hashlib
import json

from web.demo.scene import Scene, Told
from web.demo.system import moment, seal

LETTERS = 5  # payment failed, final warning, suspended, retention deadline, restored


def invoice_is_paid(scene: Scene) -> None:
    """7: Stripe says so twice, as it does."""
    for body in scene.stripe.paid(scene.now()):
        kind = json.loads(body)["type"]
        status = scene.deliver(body)
        scene.show.check(status == 200, "POST /api/billing/webhook", f"signed {kind}", status=status)
    scene.settle()
    view = scene.view()
    scene.holds(view["billingStatus"] == "active", "billingStatus", view["billingStatus"], "active")
    cleared = all(
        view[name] is None for name in ("pastDueSince", "finalWarningSentAt", "suspendedAt", "retentionUntil")
    )
    scene.holds(cleared, "stamps of the episode", "all cleared: the next one starts from nothing", "cleared")
    told = scene.listen("active")
    scene.holds(len(told.letters) == 1, "letters", ", ".join(told.letters) or "none", "one: restored")


def access_returns(scene: Scene) -> None:
    """8: everything that was blocked works again."""
    base = f"/api/servers/{scene.server}"
    scene.ask(scene.ada, "POST", f"{base}/backups", 202, "backups are taken again")
    scene.settle()
    scene.holds(len(scene.backups()) == 3, "backups", seal(scene.system.backups(scene.server)), "three backups")
    kept = scene.system.backups(scene.server).items() >= scene.kept_backups.items()
    scene.holds(kept, "the earlier two", "byte for byte as they were", "unchanged")
    read = scene.ask(scene.ada, "GET", f"{base}/files/read?path=notes.txt", 200, quiet=True)
    notes = read.json().get("content", "").strip() if read.status_code == 200 else read.text
    scene.holds("tower" in notes, "her notes", f"“{notes}”", "as she wrote them")
    write = {"path": "after.txt", "content": "back again\n"}
    scene.ask(scene.ada, "PUT", f"{base}/files", 200, "she writes files again", json=write)


def nothing_starts_by_itself(scene: Scene) -> None:
    """9: she decides when it runs."""
    scene.advance(1)
    scene.holds(
        not scene.is_running() and scene.system.process(scene.server) is None,
        "an hour later",
        "still stopped",
        "stopped",
    )
    scene.ask(scene.ada, "POST", f"/api/servers/{scene.server}/host/start", 202, "Ada starts it by hand")
    scene.settle()
    pid = scene.system.process(scene.server)
    scene.holds(scene.is_running() and pid, "the server runs", f"process {pid}", "running")


def customer_was_told(scene: Scene) -> None:
    """10: on each rung the API, the announcement and the letter say the same, in words for people."""
    read = ""
    for told in scene.told:
        step = told.next_step or {}
        date = f" ({moment(step['at'])})" if step.get("at") else ""
        words = f"{step['what']}{date}" if step else "nothing to do"
        scene.holds(is_clear(told), told.rung, words, "words, a next step, a way to pay")
        if told.message != read:
            scene.show.quote("API", told.message)
        read = told.message
        for announced in (each for each in told.announcements if each != told.message):
            scene.show.quote("announced", announced)
        for subject in told.letters:
            scene.show.quote("letter", subject)
    late = [told for told in scene.told if told.rung != "active"]
    agree = all(told.message in told.announcements for told in late)
    scene.holds(agree, "announcements", "one while something is restricted, in the same words; none when paid")
    subjects = [subject for told in scene.told for subject in told.letters]
    once = len(subjects) == len(set(subjects)) == LETTERS
    scene.holds(once, "letters in all", f"{len(subjects)}, each once", f"{LETTERS} different ones")
    final = scene.told[1].letters
    letter = next((each for each in scene.system.mails() if str(each["Subject"]) in final), None)
    form = letter.get_body(("plain",)) if letter is not None else None
    body = "\n".join(str(form.get_content()).splitlines()) if form is not None else ""
    scene.holds(
        "pay" in body and "{" not in body, "the final warning, in full", "as it left", "how to pay, and by when"
    )
    for paragraph in body.strip().split("\n\n"):
        scene.show.quote("", " ".join(paragraph.split()))


def is_clear(told: Told) -> bool:
    """Say whether what was told is complete: words, a next step with a way to pay while owing, no unfilled field."""
    texts = [told.message, *told.announcements, *told.letters]
    whole = all(text and "{" not in text and "None" not in text for text in texts)
    if told.rung == "active":
        return whole and told.next_step is None and not told.announcements
    return whole and bool(told.next_step and told.next_step["what"] and told.pay_url and told.announcements)


def replay_changes_nothing(scene: Scene) -> None:
    """11: Stripe may send each event again, at any time."""

    def state() -> str:
        view = {name: value for name, value in scene.view().items() if name != "updatedAt"}
        whole = json.dumps([view, scene.audit()], sort_keys=True)
        sha256 = hashlib.sha256(whole.encode()).hexdigest()
        return f"{len(scene.audit())} audit rows, account and audit sha256 {sha256[:12]}…"

    before, letters = state(), len(scene.system.mails())
    statuses = [scene.deliver(body, record=False) for body in [*scene.stripe.sent, *reversed(scene.stripe.sent)]]
    scene.settle()
    taken = statuses == [200] * len(statuses)
    scene.show.check(
        taken, f"all {len(scene.stripe.sent)} events, twice more", "in order and backwards", status=statuses[0]
    )
    after = state()
    scene.holds(after == before, "before", before)
    scene.holds(after == before, "after", after, before)
    scene.holds(len(scene.system.mails()) == letters, "letters", "not one more", letters)
    scene.holds(scene.is_running(), "the server", "runs on", "running")


def deletion_is_refused(scene: Scene) -> None:
    """12: refused, and written down."""
    scene.refuse_deletion("today")
    rejected = [row for row in scene.audit() if row["kind"] == "rejected"]
    scene.holds(
        len(rejected) == 2,
        "audit",
        f"{len(rejected)} rows `rejected`, by {rejected[-1]['actor'] if rejected else 'nobody'}",
        "two",
    )
    scene.settle()
    files = scene.system.files(scene.server)
    scene.holds(files.keys() >= scene.kept_files.keys(), "her files", f"{seal(files)}, none missing", "all there")
    kept = scene.system.backups(scene.server).items() >= scene.kept_backups.items()
    scene.holds(kept, "her backups", "all there", "all there")
