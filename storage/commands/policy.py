"""`forbear policy impact`, `deploy`, `history` and `rollback`: a policy against the accounts of the database.

Exit status: 0 done, 1 it was found wanting and nothing changed, 2 nothing could be looked at.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from storage import impact as effect
from storage import impact_tell as tell
from storage import migrate, policies
from storage.beside import data_option, settings_beside
from storage.commands.terminal import opened
from storage.database import Database
from storage.gather import World
from storage.settings import OVERRIDE_PREFIX

if TYPE_CHECKING:
    from engine.model import Policy

FOLDER = click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
OFF_HAND = "the policy is the one in force: nobody is decided otherwise"


@click.command()
@FOLDER
@click.option(
    "--csv", "listed", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), help="The list; - for here."
)
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "github"]), default="text", show_default=True,
    help="For people, for programs, or for a pull request.",
)  # fmt: skip
@data_option
def impact(folder: Path | None, listed: Path | None, form: str) -> None:
    """Say what the policy in DIR would do to the accounts as they are now. Reads only.

    Exit status: 0 looked at, 1 a deploy would be refused for it, 2 nothing could be looked at.

    \b
    Examples:
      forbear policy impact ./policy                   how many would be decided otherwise, due now, due earlier
      forbear policy impact ./policy --csv list.csv    and each of them
      forbear policy impact ./policy --format json     the same for programs
    """
    new = _checked(folder, 2)
    with opened() as (_, database):
        found = _impact(database, new)
    to_here = str(listed) == "-"  # then the list alone is what a program reads
    if form == "json":
        click.echo(tell.as_json(found, new.digest), err=to_here)
    elif found is None:
        click.echo(f"::notice::{OFF_HAND}" if form == "github" else OFF_HAND, err=to_here)
    else:
        click.echo(tell.as_github(found) if form == "github" else tell.as_text(found), err=to_here)
    if listed is not None:
        with click.open_file(str(listed), "w", encoding="utf-8") as file:
            tell.write_list(found, file)
    wrong = tell.harm(found) if found is not None else []
    if wrong:
        if form == "text":
            click.echo("\n".join(wrong), err=True)
        raise SystemExit(1)


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
    with opened() as (_, database):
        found = _impact(database, new, mapping)
        if found is not None:
            click.echo(tell.as_text(found))
            wrong = tell.harm(found, force=force)
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
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="For people, or for programs.",
)  # fmt: skip
@data_option
def history(form: str) -> None:
    """Show the policies that were deployed, newest first.

    \b
    Examples:
      forbear policy history
    """
    with opened() as (_, database), database.begin() as conn:
        current, found = policies.digest_in_force(conn), policies.history(conn)
    if form == "json":
        told = [
            {
                "digest": each.digest, "inForce": each.digest == current, "at": each.deployed_at.isoformat(),
                "by": each.deployed_by, "note": each.note,
            }
            for each in found
        ]  # fmt: skip
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    for each in found:
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
    with opened() as (_, database):
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
            click.echo(tell.as_text(found))
            wrong = tell.harm(found, force=force)
            if wrong:
                _refuse(wrong)
        forced = f"; forced although it would trip {', '.join(found.tripping)}" if found and found.tripping else ""
        with database.begin() as conn:
            said = f"rollback: {note or 'no reason given'}{forced}"
            over = None if found is None else found.over
            policies.deploy(conn, policy, texts, env, _who(by), note=said, over=over)
    click.echo(f"in force now: {policy.digest}")


# ---- what is looked at before a switch -------------------------------------------------------------------------------


def _checked(folder: Path | None, status: int = 1) -> Policy:
    """Return the policy; with faults, tell all of them and exit with this status."""
    from engine.faults import PolicyFaults, PolicyUnreadable
    from engine.load import load_policy
    from engine.render import render_text

    try:
        return load_policy(_home(folder), _overrides())
    except PolicyFaults as faults:
        click.echo(render_text(faults.faults, faults.sources, folder=str(_home(folder)), color=False), err=True)
        raise SystemExit(status) from None
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
    from engine.scenario.read import read_scenarios
    from engine.scenario.run import run_scenario

    plain = load_policy(home)
    failed = [each for each in read_scenarios(plain, home) if not run_scenario(plain, each).ok]
    return [
        f"the scenario `{each.title}` ({each.file}) does not come true; see `forbear policy test`" for each in failed
    ]


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


def _home(folder: Path | None) -> Path:
    return folder if folder is not None else settings_beside().policy_dir


def _overrides() -> dict[str, str]:
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(OVERRIDE_PREFIX)}


def _who(by: str | None) -> str:
    return by or os.environ.get("USER") or "operator"
