"""The end of an account that two admins gave up: nothing goes without all that has to come before, and payment wins."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from uuid import UUID

import pytest

from engine.errors import CommandRefused
from engine.snapshot import Command
from jobs.hosts.base import HostUnavailable
from storage import backups, holds
from tests.doubles.stripe_api import KEY, StripeApi
from tests.jobs.doomed import ADA, COOLING_OFF_HOURS, GRACE, approve, condemned, given_up, switch_on
from tests.jobs.floor import Floor


@pytest.fixture
def account(floor: Floor) -> UUID:
    switch_on(floor)
    return given_up(floor)


def machines(floor: Floor, account: UUID, count: int = 2) -> list[UUID]:
    """Give the account servers that stand still."""
    return [floor.machine(account, runs=False) for _ in range(count)]


def deletion(floor: Floor, account: UUID) -> str:
    """Return where the deletion stands."""
    return str(floor.row(account)["states"]["deletion"])


def safety_copies(floor: Floor, server: UUID) -> list[str]:
    """Return the states of the server's backups that nobody prunes."""
    with floor.begin() as conn:
        return [each.state for each in backups.of_server(conn, server) if each.safety]


def test_two_admins_a_letter_and_its_time_lead_to_the_end_and_backups_stay(floor: Floor, account: UUID) -> None:
    owned = machines(floor, account)
    never_made = floor.server(account, lifecycle="requested", observed="unknown", desired="stopped")
    condemned(floor, account)
    assert floor.host.made("destroy") == []
    assert [safety_copies(floor, server) for server in owned] == [["complete"], ["complete"]]
    assert floor.apply_named(account, "destroy_servers") == "done"
    assert floor.host.made("destroy") == [str(server) for server in (*owned, never_made)]
    assert {floor.seat(server).lifecycle for server in (*owned, never_made)} == {"deleted"}
    assert [list(floor.host.backups[str(server)].values()) for server in owned] == [[b"world"], [b"world"]]
    assert (floor.row(account)["billing_status"], deletion(floor, account)) == ("pending_deletion", "destroyed")
    told = [row for row in floor.audit_of(account) if row["action"] == "destroy_server"]
    assert [(row["facts"]["requested_by"], row["facts"]["approved_by"]) for row in told] == [(ADA, GRACE)] * 3
    assert "Last notice" in floor.subjects()[0]
    floor.pay(account)
    assert (floor.row(account)["billing_status"], deletion(floor, account)) == ("active", "none")
    assert floor.apply_named(account, "spare_servers") == "done"


def test_it_is_off_unless_a_deployment_switches_it_on(floor: Floor) -> None:
    account = given_up(floor)
    with pytest.raises(CommandRefused, match="deletion_switch"):
        approve(floor, account)


@pytest.mark.parametrize(("fails", "stands"), [(0, "none"), (500, "destroying")])
def test_stripe_is_asked_again_right_before_and_no_answer_is_no_permission(
    floor: Floor, account: UUID, fails: int, stands: str
) -> None:
    machines(floor, account)
    condemned(floor, account)
    with StripeApi() as api:  # it knows of no invoice that is still open: the payment's webhook was lost
        api.fail_with = fails
        settings = replace(floor.settings, stripe_api_key=KEY, stripe_api_base=api.url)
        floor.context = replace(floor.context, settings=settings)
        assert floor.apply_named(account, "destroy_servers") == "open"
        assert api.requests
    assert floor.host.made("destroy") == []
    assert deletion(floor, account) == stands


def test_a_worker_that_is_switched_off_leaves_everything_alone(floor: Floor, account: UUID) -> None:
    machines(floor, account)
    condemned(floor, account)
    switch_on(floor, on=False)
    assert floor.apply_named(account, "destroy_servers") == "open"
    assert floor.host.made("destroy") == []
    switch_on(floor)
    floor.advance(1)
    assert floor.apply_named(account, "destroy_servers") == "done"


@pytest.mark.parametrize(("hours", "begins"), [(COOLING_OFF_HOURS - 0.01, False), (COOLING_OFF_HOURS, True)])
def test_nothing_begins_before_the_told_time_is_over(floor: Floor, account: UUID, hours: float, begins: bool) -> None:
    machines(floor, account)
    approve(floor, account)
    floor.advance(50)  # the post is slow; the time counts from its delivery
    floor.apply_named(account, "send_deletion_notice")
    floor.advance(hours)
    floor.record(account, world=floor.context.world)
    assert ("make_final_backups" in dict(floor.statuses(account))) is begins


@pytest.mark.parametrize("before", ["create_backup", "open_backup", "list_backups", "observe"])
def test_payment_while_the_last_backups_are_made_ends_it(floor: Floor, account: UUID, before: str) -> None:
    machines(floor, account)
    approve(floor, account)
    floor.apply_named(account, "send_deletion_notice")
    floor.advance(COOLING_OFF_HOURS)
    floor.record(account, world=floor.context.world)
    floor.host.before[before] = lambda: floor.pay(account)
    floor.apply_named(account, "make_final_backups")
    floor.carry_out()
    assert floor.host.made("destroy") == []
    assert (floor.row(account)["billing_status"], deletion(floor, account)) == ("active", "none")


@pytest.mark.parametrize("before", ["observe", "list_backups", "open_backup"])
def test_payment_right_before_the_first_server_leaves_all_of_them(floor: Floor, account: UUID, before: str) -> None:
    owned = machines(floor, account)
    condemned(floor, account)
    floor.host.before[before] = lambda: floor.pay(account)
    assert floor.apply_named(account, "destroy_servers") == "open"
    floor.carry_out()
    assert floor.host.made("destroy") == []
    assert {floor.seat(server).lifecycle for server in owned} == {"stopped"}
    assert dict(floor.statuses(account))["destroy_servers"] in {"open", "dropped"}


def test_payment_in_the_middle_of_the_call_keeps_every_other_server(floor: Floor, account: UUID) -> None:
    first, *others = machines(floor, account, 3)
    condemned(floor, account)
    floor.host.before["destroy"] = lambda: floor.pay(account)
    assert floor.apply_named(account, "destroy_servers") == "open"
    assert floor.host.made("destroy") == [str(first)]
    assert floor.apply_named(account, "destroy_servers") == "left alone"
    assert dict(floor.statuses(account))["destroy_servers"] == "dropped"
    floor.carry_out()
    assert floor.host.made("destroy") == [str(first)]
    assert [floor.seat(server).lifecycle for server in others] == ["stopped", "stopped"]
    assert floor.host.files[str(others[0])] == b"world"
    assert safety_copies(floor, first) == ["complete"]
    assert "enforcement_failed" in floor.alerts(), "a person looks at the one that went, and writes"


@pytest.mark.parametrize("waits_for", ["hold", "damage", "host", "no backup"])
def test_what_has_to_hold_is_asked_again_before_each_server(floor: Floor, account: UUID, waits_for: str) -> None:
    first, second = machines(floor, account)
    condemned(floor, account)

    def change() -> None:
        if waits_for == "hold":
            with floor.begin() as conn:
                holds.set_hold(conn, floor.policy, "extension", account_id=account, until=None, by="ada", reason="call")
        elif waits_for == "damage":
            copies = floor.host.backups[str(second)]
            copies.update(dict.fromkeys(copies, b"rotten"))
        elif waits_for == "host":
            floor.host.offline = True
        else:
            floor.host.backups[str(second)].clear()

    def only_once() -> None:
        floor.host.before.pop("destroy", None)
        change()

    floor.host.before["destroy"] = only_once
    floor.apply_named(account, "destroy_servers")
    assert floor.host.made("destroy") == [str(first)]
    assert floor.seat(second).lifecycle == "stopped"
    expected = {"hold": "none"}.get(waits_for, "destroying")
    assert deletion(floor, account) == expected
    if waits_for == "damage":
        assert "enforcement_failed" in floor.alerts()


def test_a_host_that_keeps_the_server_is_told_again_and_a_payment_then_gives_it_back(
    floor: Floor, account: UUID
) -> None:
    (server,) = machines(floor, account, 1)
    condemned(floor, account)

    def break_down() -> None:
        raise HostUnavailable("double", "it fell over")

    floor.host.before["destroy"] = break_down
    assert floor.apply_named(account, "destroy_servers") == "open"
    assert floor.seat(server).lifecycle == "destroying"
    floor.pay(account)
    assert floor.apply_named(account, "spare_servers") == "done"
    assert floor.seat(server).lifecycle == "failed", "its owner can restore a backup, or start it"
    assert "enforcement_failed" in floor.alerts()
    floor.host.before.pop("destroy")
    floor.advance(1)
    floor.carry_out()
    assert floor.host.made("destroy") == [str(server)], "the try that failed, and no other"


def test_sparing_waits_for_a_worker_that_is_still_at_it(floor: Floor, account: UUID) -> None:
    (server,) = machines(floor, account, 1)
    condemned(floor, account)
    seen: list[str] = []

    def pay_and_look() -> None:
        floor.pay(account)
        seen.append(floor.apply_named(account, "spare_servers"))

    floor.host.before["destroy"] = pay_and_look
    floor.apply_named(account, "destroy_servers")
    floor.advance(0.1)
    floor.carry_out()
    assert seen == ["open"]
    assert dict(floor.statuses(account))["spare_servers"] == "done"
    assert floor.seat(server).lifecycle == "deleted"


# ---- races -----------------------------------------------------------------------------------------------------------


def together(*acts: Callable[[], object]) -> list[object]:
    """Let everybody act at once, each in a thread; return what came of it, an error as itself."""
    gate, came = threading.Barrier(len(acts)), [None] * len(acts)

    def run(number: int, act: Callable[[], object]) -> None:
        gate.wait()
        try:
            came[number] = act()  # type: ignore[call-overload]
        except CommandRefused as error:
            came[number] = error  # type: ignore[call-overload]

    threads = [threading.Thread(target=run, args=each) for each in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return list(came)


def test_two_admins_who_race_approve_once_and_nobody_approves_what_they_asked_for(floor: Floor, account: UUID) -> None:
    machines(floor, account)
    came = together(
        lambda: approve(floor, account),
        lambda: approve(floor, account),
        lambda: approve(floor, account, "admin:alan@desk.example"),
        lambda: approve(floor, account, ADA),
    )
    assert len([each for each in came if isinstance(each, CommandRefused)]) == 3
    assert isinstance(came[3], CommandRefused)
    assert [intent for intent, _ in floor.statuses(account)] == ["send_deletion_notice"]
    assert floor.host.made("destroy") == []


def test_an_approval_that_races_with_a_payment_destroys_nothing(floor: Floor, account: UUID) -> None:
    for _ in range(3):
        each = given_up(floor)
        machines(floor, each)
        together(partial(approve, floor, each), partial(floor.pay, each))
        assert (floor.row(each)["billing_status"], deletion(floor, each)) == ("active", "none")
    floor.carry_out()
    with pytest.raises(CommandRefused):
        approve(floor, each)
    floor.advance(COOLING_OFF_HOURS * 3)
    floor.sweep()
    floor.carry_out()
    assert floor.host.made("destroy") == []


def test_payment_that_races_with_the_first_server_ends_it_before_the_second(floor: Floor, account: UUID) -> None:
    for _ in range(3):
        each = given_up(floor)
        owned = machines(floor, each)
        condemned(floor, each)
        together(partial(floor.apply_named, each, "destroy_servers"), partial(floor.pay, each))
        floor.advance(0.1)
        floor.carry_out()
        gone = [server for server in owned if floor.seat(server).lifecycle == "deleted"]
        there = [server for server in owned if str(server) in floor.host.running]
        assert len(gone) + len(there) == 2
        assert {floor.seat(server).lifecycle for server in there} <= {"stopped"}
        assert deletion(floor, each) == "none"


def test_withdrawal_that_races_with_the_end_leaves_no_server_half_gone(floor: Floor, account: UUID) -> None:
    owned = machines(floor, account)
    condemned(floor, account)
    withdrawn = Command("deletion_withdrawn", "admin", ADA)
    together(
        lambda: floor.apply_named(account, "destroy_servers"),
        lambda: floor.record(account, command=withdrawn, world=floor.context.world),
    )
    floor.advance(1)
    floor.carry_out()
    for server in owned:
        there = str(server) in floor.host.running
        assert floor.seat(server).lifecycle == ("stopped" if there else "deleted")
