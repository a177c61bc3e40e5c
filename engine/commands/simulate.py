"""`forbear policy simulate`: what happens to one account when, or to a million of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from engine.commands import SHIPPED, colored, shown_folder, told_faults

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from engine.model import Policy
    from engine.timeline.items import Timeline

Command = TypeVar("Command", bound="Callable[..., object]")

OF_ONE_ACCOUNT = (
    "fail", "pay", "cancel", "renew", "hold", "exempt", "event", "set", "permit", "notices", "server", "start", "zone",
    "until", "file", "letters",
)  # fmt: skip

EXAMPLES = """\b
Examples:
  forbear policy simulate --fail +0h                       a payment fails, and nobody does anything
  forbear policy simulate --fail 2026-03-01T08:00Z --hold extension:+100h..+200h --pay +249h --zone Europe/Zurich
  forbear policy simulate --cancel +0h --event abuse_reported@+3d
  forbear policy simulate ./policy --timeline ./policy/scenarios/late_then_extended.yaml
  forbear policy simulate --fail +0h --format svg --out late.svg
  forbear policy simulate --population 1000000 --seed 7    what happens to a million account-years
"""


def _many(name: str, metavar: str, words: str) -> Callable[[Command], Command]:
    """Return an option that may be given several times."""
    return click.option(f"--{name}", metavar=metavar, multiple=True, help=words)


@click.command(epilog=EXAMPLES)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@_many("fail", "WHEN", "A payment fails.")
@_many("pay", "WHEN", "Everything is paid.")
@_many("cancel", "WHEN", "The subscription ends.")
@_many("renew", "WHEN", "There is a subscription again.")
@_many("hold", "KIND:WHEN..[WHEN]", "Enforcement is held: extension, processor_outage.")
@_many("exempt", "WHEN[..WHEN]", "A person exempts the account.")
@_many("event", "EVENT@WHEN", "Somebody sends a command, such as abuse_reported.")
@_many("set", "FACT=VALUE@WHEN", "Evidence changes.")
@_many("permit", "NAME=yes|no|unknown@WHEN", "A permit answers so from then on.")
@_many("notices", "auto|failed|unknown|delayed@WHEN", "What becomes of notices from then on.")
@_many("server", "EVENT@WHEN", "Something happens to the servers, such as backup_started.")
@click.option("--servers", metavar="NAMES", default="s1", show_default=True, help="The servers, with commas between.")
@click.option("--start", metavar="INSTANT", help="What +72h counts from; the earliest instant that is named.")
@click.option("--zone", metavar="ZONE", help="The customer's time zone, such as Europe/Zurich.")
@click.option("--until", metavar="WHEN", help="How far to look; to where nothing more follows.")
@click.option(
    "--timeline", "file", type=click.Path(path_type=Path, dir_okay=False), help="A scenario or timeline to play."
)
@click.option("--letters", is_flag=True, help="Show the notices in full, not only their subjects.")
@click.option(
    "--population", metavar="N", type=click.IntRange(1, 100_000_000), help="Play so many random account-years."
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Of the population: the same seed, the same numbers."
)
@click.option("--processes", type=click.IntRange(1, 256), help="Of the population; as many as there are processors.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "svg", "timeline"]), default="text", show_default=True,
    help="For people, for programs, as a picture, or as a file for --timeline.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file instead.")
def simulate(folder: Path | None, form: str, out: Path | None, population: int | None, **options: object) -> None:
    """Play an account under the policy in DIR: what happens when, what the customer is told, what is blocked.

    WHEN is +72h or +3d12h from the start, or an instant such as 2026-03-01T08:00Z. Notices arrive at once and permits
    say yes unless an option says otherwise. Exit status: 0 played, 2 it could not be.
    """
    from engine.faults import PolicyFaults, PolicyUnreadable
    from engine.load import load_policy

    shown = shown_folder(folder)
    try:
        policy = load_policy(folder if folder is not None else SHIPPED, os.environ)
        if population is not None:
            written = _population(policy, population, form, options)
        else:
            written = _one(policy, form, options)
    except PolicyFaults as faults:
        ours = all(each.place.file == str(options["file"]) for each in faults.faults)  # not the policy's, and elsewhere
        click.echo(told_faults(faults, "json" if form == "json" else "text", "" if ours else shown), err=True)
        raise SystemExit(2) from None
    except PolicyUnreadable as nothing:
        raise click.UsageError(str(nothing)) from None
    if out is None:
        click.echo(written)
    else:
        out.write_text(written + "\n", "utf-8")
        click.echo(f"written to {out}", err=True)


def _one(policy: Policy, form: str, options: dict[str, object]) -> str:
    from engine.simulate.account import simulate as play
    from engine.simulate.tell import Telling, as_json
    from engine.timeline.text import write_timeline

    timeline, title, policy = _timeline(policy, options)
    if form == "timeline":
        return write_timeline(timeline, title).rstrip()
    story = play(policy, timeline, _until(options, timeline))
    if form == "json":
        return as_json(story)
    if form == "svg":
        from engine.simulate.picture import picture

        return picture(policy, story, title)
    return Telling(policy, color=colored() and options.get("out") is None, letters=bool(options["letters"])).write(
        story
    )


def _timeline(policy: Policy, options: dict[str, object]) -> tuple[Timeline, str, Policy]:
    """Return the timeline, what it is called, and the policy with the numbers that a scenario gives it."""
    from dataclasses import fields, replace

    from engine.calendar import zone_of
    from engine.scenario.read import read_scenario
    from engine.scenario.run import with_settings
    from engine.simulate.items import NotUnderstood, Said, timeline_of

    zone = options["zone"]
    if isinstance(zone, str) and zone_of(zone) is None:
        raise click.UsageError(f"there is no time zone `{zone}`; write it as `Europe/Zurich`")
    file = options["file"]
    if isinstance(file, Path):
        try:
            text = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "no utf-8 text"
            raise click.UsageError(f"`{file}` cannot be read: {why.lower()}") from None
        scenario = read_scenario(policy, str(file), text)
        timeline = replace(scenario.timeline, zone=zone) if isinstance(zone, str) else scenario.timeline
        return timeline, scenario.title, with_settings(policy, scenario.settings) if scenario.settings else policy
    given = {each.name: options[each.name] for each in fields(Said) if options.get(each.name) is not None}
    given["servers"] = tuple(name.strip() for name in str(options["servers"]).split(",") if name.strip())
    try:
        return timeline_of(policy, Said(**given)), "", policy  # type: ignore[arg-type]
    except NotUnderstood as error:
        raise click.UsageError(str(error)) from None


def _until(options: dict[str, object], timeline: Timeline) -> datetime | None:
    from engine.timeline.text import parse_instant

    word = options["until"]
    if not isinstance(word, str):
        return None
    until = parse_instant(word.removeprefix("+"), timeline.start)
    if until is None:
        raise click.UsageError(f"`{word}` is no time; write `+30d`, or `2026-03-01T08:00Z`")
    return until


def _population(policy: Policy, count: int, form: str, options: dict[str, object]) -> str:
    from engine.simulate.many import play_many
    from engine.simulate.many_tell import as_json, as_text

    alone = [name for name in OF_ONE_ACCOUNT if options[name]]
    if alone:
        raise click.UsageError(f"`--{alone[0]}` is about one account, `--population` about many: leave one of them out")
    if form not in {"text", "json"}:
        raise click.UsageError(f"a population has no form `{form}`; use text or json")
    seed, processes = options["seed"], options["processes"]
    assert isinstance(seed, int)
    began = os.times().elapsed
    totals = play_many(policy, count, seed, processes if isinstance(processes, int) else os.cpu_count() or 1)
    seconds = os.times().elapsed - began
    return as_json(totals, seed) if form == "json" else as_text(policy, totals, seed, seconds, color=colored())
