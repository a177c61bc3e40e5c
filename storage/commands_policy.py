"""`forbear policy impact`, `deploy`, `history` and `rollback`: a policy against the accounts of the database.

Exit status: 0 done, 1 it was found wanting and nothing changed, 2 nothing could be looked at.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from storage import impact as effect
from storage import migrate, policies
from storage.beside import data_option, settings_beside
from storage.database import Database
from storage.gather import World
from storage.settings import OVERRIDE_PREFIX

if TYPE_CHECKING:
    from engine.model import Policy

FOLDER = click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
COLUMNS = (
    "account_id", "before", "after", "due_before", "due_after", "differs", "due_now", "earlier", "promise_at",
    "promise_lost", "vanished",
)  # fmt: skip
OFF_HAND = "the policy is the one in force: nobody is decided otherwise"


@click.command()
@FOLDER
@click.option("--csv", "listed", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), help="The list.")
@data_option
def impact(folder: Path | None, listed: Path | None) -> None:
    """Say what the policy in DIR would do to the accounts as they are now. Reads only.

    \b
    Examples:
      forbear policy impact ./policy                   how many would be decided otherwise, due now, due earlier
      forbear policy impact ./policy --csv list.csv    and each of them
    """
    new = _checked(folder)
    with _database() as database:
        found = _impact(database, new)
    if found is None:
        click.echo(OFF_HAND)
        return
    click.echo(_counted(found))
    if listed is not None:
        with click.open_file(str(listed), "w", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(COLUMNS)
            rows.writerows([_field(getattr(each, name)) for name in COLUMNS] for each in found.affected)


@click.command()
@FOLDER
@click.option("--by", help="Who deploys it; the system's user by default.")
@click.option("--note", default="", help="Why, for the record.")
@click.option("--force", is_flag=True, help="Although a brake would trip at once; written into the record.")
@click.option("--map", "moved", metavar="MACHINE.OLD=NEW", multiple=True, help="Where accounts go whose state is gone.")
@data_option
def deploy(folder: Path | None, by: str | None, note: str, force: bool, moved: tuple[str, ...]) -> None:
    """Check, prove and test the policy in DIR, look at its impact, and put it in force.

    `BILLING_…` overrides of the environment are resolved now and become part of it. Nothing changes when it has faults,
    breaks a guarantee or a scenario, lacks a state that somebody is in, lets go of a date that a customer was told, or
    (without --force) would trip a brake.

    \b
    Examples:
      forbear policy deploy ./policy --note "two more days before suspension"
    """
    from engine.load import bundle, load_texts

    new = _checked(folder)
    mapping = _mapping(moved, new)
    wrong = _broken(new) + _untrue(_home(folder))
    if wrong:
        _refuse(wrong)
    with _database() as database:
        found = _impact(database, new, mapping)
        if found is not None:
            click.echo(_counted(found))
            wrong = _harm(found, force=force)
            if wrong:
                _refuse(wrong)
            if force and found.tripping:
                note = f"{note}{'; ' if note else ''}forced although it would trip {', '.join(found.tripping)}"
        # What was looked at is what comes into force, also where somebody has saved a file meanwhile.
        texts, overrides = bundle(_home(folder)), _overrides()
        if load_texts(texts, overrides).digest != new.digest:
            _refuse(["the policy's files have changed meanwhile"])
        with database.begin() as conn:
            over = None if found is None else found.over
            changed = policies.deploy(conn, new, texts, overrides, _who(by), note=note, mapping=mapping, over=over)
    click.echo(f"{'in force now' if changed else 'already in force'}: {new.digest}")


@click.command()
@data_option
def history() -> None:
    """Show the policies that were deployed, newest first.

    \b
    Examples:
      forbear policy history
    """
    with _database() as database, database.begin() as conn:
        current = policies.digest_in_force(conn)
        for each in policies.history(conn):
            mark = "*" if each.digest == current else " "
            note = f"  {each.note}" if each.note else ""
            words = f"{mark} {each.digest[:12]}  {each.deployed_at:%Y-%m-%d %H:%M:%S} UTC  {each.deployed_by}{note}"
            click.echo("".join(char if char.isprintable() else "�" for char in words))


@click.command()
@click.argument("digest", required=False)
@click.option("--by", help="Who goes back; the system's user by default.")
@click.option("--note", default="", help="Why, for the record.")
@click.option("--force", is_flag=True, help="Although a brake would trip at once; written into the record.")
@data_option
def rollback(digest: str | None, by: str | None, note: str, force: bool) -> None:
    """Put a policy in force again: the one before, or the one whose digest begins with DIGEST.

    \b
    Examples:
      forbear policy rollback
      forbear policy rollback 3f9a1c
    """
    with _database() as database:
        with database.begin() as conn:
            current = policies.digest_in_force(conn)
            known = [each for each in policies.history(conn, 1000) if each.digest != current]
            chosen = [each for each in known if each.digest.startswith(digest or "")][: None if digest else 1]
            if len(chosen) != 1:
                what = f"{len(chosen)} other policies begin with `{digest}`" if digest else "no other was deployed"
                raise click.UsageError(f"{what}; `forbear policy history` lists them")
            policy = policies.load(conn, chosen[0].digest)
            texts, env = policies.texts_of(conn, chosen[0].digest)
        found = _impact(database, policy)
        if found is not None:
            click.echo(_counted(found))
            wrong = _harm(found, force=force)
            if wrong:
                _refuse(wrong)
        forced = f"; forced although it would trip {', '.join(found.tripping)}" if found and found.tripping else ""
        with database.begin() as conn:
            said = f"rollback: {note or 'no reason given'}{forced}"
            over = None if found is None else found.over
            policies.deploy(conn, policy, texts, env, _who(by), note=said, over=over)
    click.echo(f"in force now: {policy.digest}")


# ---- what is looked at before a switch -------------------------------------------------------------------------------


def _checked(folder: Path | None) -> Policy:
    from engine.faults import PolicyFaults, PolicyUnreadable
    from engine.load import load_policy
    from engine.render import render_text

    try:
        return load_policy(_home(folder), _overrides())
    except PolicyFaults as faults:
        click.echo(render_text(faults.faults, faults.sources, folder=str(_home(folder)), color=False), err=True)
        raise SystemExit(1) from None
    except PolicyUnreadable as nothing:
        raise click.UsageError(str(nothing)) from None


def _mapping(moved: tuple[str, ...], new: Policy) -> dict[tuple[str, str], str]:
    """Read `machine.old=new`, where `new` is a state of the machine."""
    found = {}
    for each in moved:
        old, _, to = each.partition("=")
        machine, _, state = old.partition(".")
        if machine not in new.machines or not state or to not in new.machines[machine].ladder:
            raise click.UsageError(
                f"`{each}` maps no state: write `machine.old=new`, such as `abuse.limited=restricted`"
            )
        if state in new.machines[machine].ladder:
            raise click.UsageError(
                f"`{machine}.{state}` is still a state of the policy; only one that is gone is mapped"
            )
        found[machine, state] = to
    return found


def _broken(policy: Policy) -> list[str]:
    from engine.prove.judge import Verdict, judge

    judged = [judge(policy, guarantee) for guarantee in policy.guarantees]
    return [
        f"the guarantee `{each.guarantee.name}` is {each.verdict}: {each.why}; see `forbear policy prove`"
        for each in judged
        if each.verdict is not Verdict.HOLDS
    ]


def _untrue(home: Path) -> list[str]:
    """Return the scenarios that do not come true. They are written for the numbers of the files."""
    from engine.load import load_policy
    from engine.scenario import read_scenarios
    from engine.scenario_run import run_scenario

    plain = load_policy(home)
    failed = [each for each in read_scenarios(plain, home) if not run_scenario(plain, each).ok]
    return [
        f"the scenario `{each.title}` ({each.file}) does not come true; see `forbear policy test`" for each in failed
    ]


def _harm(found: effect.Impact, *, force: bool) -> list[str]:
    wrong = [f"account {each.account_id}: {each.vanished}" for each in found.affected if each.vanished][:20]
    wrong += [
        f"account {each.account_id} was told {each.promise_at:%Y-%m-%d %H:%M} UTC, and no rule would wait for it"
        for each in found.affected
        if each.promise_lost and each.promise_at is not None
    ][:20]
    if not force:
        wrong += [
            f"the brake `{name}` would trip: {found.pressed[name]} accounts would be pressed at once, "
            f"{found.allowed.get(name, 0)} may pass; `--force` deploys all the same"
            for name in found.tripping
        ]
    return wrong


def _refuse(wrong: list[str]) -> None:
    for each in wrong:
        click.echo(each, err=True)
    click.echo("nothing has changed", err=True)
    raise SystemExit(1)


def _impact(
    database: Database, new: Policy, mapping: Mapping[tuple[str, str], str] = policies.NO_MAPPING
) -> effect.Impact | None:
    """Return the effect of a policy; None where it is in force already, or none is."""
    with database.begin() as conn:
        effect.read_only(conn)
        migrate.require(conn)
        digest = policies.digest_in_force(conn)
        if digest is None or digest == new.digest:
            return None
        old = policies.load(conn, digest)
        world = World.of(settings_beside())
        with click.progressbar(length=effect.population(conn), label="accounts", file=sys.stderr) as bar:
            led = {**policies.mapping_of(new), **mapping}
            return effect.impact(conn, old, new, world=world, mapping=led, told=bar.update)


def _counted(found: effect.Impact) -> str:
    rows = [
        ("accounts", found.accounts),
        ("decided otherwise now", found.count(lambda each: each.differs)),
        ("due now, not before", found.count(lambda each: each.due_now)),
        ("due earlier", found.count(lambda each: each.earlier)),
        ("told a date that is ahead", found.count(lambda each: each.promise_at is not None)),
        ("cannot be decided", found.count(lambda each: bool(each.vanished))),
        *((f"ask the brake {name}", count) for name, count in found.pressed.items()),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {count:>8}" for name, count in rows)


def _field(value: object) -> object:
    isoformat = getattr(value, "isoformat", None)
    return isoformat() if isoformat is not None else str(value).lower() if isinstance(value, bool) else value


def _home(folder: Path | None) -> Path:
    return folder if folder is not None else settings_beside().policy_dir


def _overrides() -> dict[str, str]:
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(OVERRIDE_PREFIX)}


def _who(by: str | None) -> str:
    return by or os.environ.get("USER") or "operator"


@contextmanager
def _database() -> Iterator[Database]:
    database = Database(settings_beside(), pool_size=1)
    try:
        yield database
    finally:
        database.close()
