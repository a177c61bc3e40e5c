"""`forbear policy`: what can be asked of a policy without a database. Imports stay light: this is typed often."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from engine.faults import PolicyFaults
    from engine.model import Policy

SHIPPED = Path(__file__).resolve().parents[2] / "policy"

EXAMPLES = """\b
Examples:
  forbear policy check                      the policy that ships
  forbear policy check ./policy             a folder of yours
  forbear policy check --format github      as annotations of a pull request
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def policy() -> None:
    """Check, read and deploy the policy."""


@policy.command(epilog=EXAMPLES)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "github"]), default="text", show_default=True,
    help="For people, for programs, or for a pull request.",
)  # fmt: skip
def check(folder: Path | None, form: str) -> None:
    """Show every fault of the policy in DIR at once, with its place and a likely fix.

    Overrides (BILLING_… in the environment) are checked too. Exit status: 0 no fault, 1 faults, 2 there is no policy to
    check.
    """
    from engine.faults import PolicyFaults, PolicyUnreadable
    from engine.load import load_policy

    shown = shown_folder(folder)
    try:
        found = load_policy(folder if folder is not None else SHIPPED, os.environ)
    except PolicyFaults as faults:
        click.echo(told_faults(faults, form, shown))
        raise SystemExit(1) from None
    except PolicyUnreadable as nothing:
        click.echo(_nothing(nothing, form), err=form == "text")
        raise SystemExit(2) from None
    click.echo(_fine(found, form, shown))


def read_policy(folder: Path | None, form: str = "text", *, err: bool = True) -> Policy:
    """Return the policy of a folder, or the shipped one; with faults, tell them and end the command with 2."""
    from engine.faults import PolicyFaults, PolicyUnreadable
    from engine.load import load_policy

    try:
        return load_policy(folder if folder is not None else SHIPPED, os.environ)
    except PolicyFaults as faults:
        click.echo(told_faults(faults, form, shown_folder(folder)), err=err)
        raise SystemExit(2) from None
    except PolicyUnreadable as nothing:
        raise click.UsageError(str(nothing)) from None


def shown_folder(folder: Path | None) -> str:
    """Return the folder as messages show it: as it was typed, or the shipped one as seen from here."""
    if folder is not None:
        return str(folder).encode("utf-8", "replace").decode("utf-8")
    return os.path.relpath(SHIPPED) if SHIPPED.is_relative_to(Path.cwd()) else str(SHIPPED)


def told_faults(faults: PolicyFaults, form: str, folder: str) -> str:
    """Return the faults in the form that was asked for."""
    from engine.render import render_github, render_json, render_text

    if form == "json":
        return render_json(faults.faults, folder=folder)
    if form == "github":
        return render_github(faults.faults, folder=folder)
    return render_text(faults.faults, faults.sources, folder=folder, color=colored())


def colored() -> bool:
    """Tell whether to colour: only on a terminal, and not where NO_COLOR asks otherwise."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _nothing(nothing: Exception, form: str) -> str:
    if form == "json":
        import json

        return json.dumps({"ok": False, "error": str(nothing)}, indent=2, ensure_ascii=False)
    return f"::error::{nothing}" if form == "github" else f"forbear: {nothing}"


def _fine(found: Policy, form: str, folder: str) -> str:
    rules = sum(len(machine.rules) for machine in found.machines.values())
    if form == "json":
        import json

        told = {"ok": True, "faults": [], "machines": list(found.machines), "rules": rules, "digest": found.digest}
        return json.dumps(told, indent=2, ensure_ascii=False)
    machines = f"{len(found.machines)} machine{'' if len(found.machines) == 1 else 's'} ({', '.join(found.machines)})"
    words = f"{folder}: no fault; {machines}, {rules} rules, digest {found.digest[:12]}"
    return f"::notice::{words}" if form == "github" else words
