"""`forbear policy explain`: why an account is where it is, why an action is denied, and what is next."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.commands import colored, read_policy

if TYPE_CHECKING:
    from engine.model import Policy
    from engine.snapshot import Snapshot

EXAMPLES = """\b
Examples:
  forbear policy explain --snapshot account.json                       an account that was written down
  forbear policy explain --snapshot account.json --action host.start   why it is denied, what would help
  forbear policy explain --account 7b0c2f6e-…                          one of the database, as it is now
  forbear policy explain --account 7b0c2f6e-… --write account.json     and write it down
"""

Load = Callable[[str], "tuple[Policy, Snapshot, datetime]"]


def command(load: Load) -> click.Command:
    """Return the command; `load` reads an account of the database with the policy in force and the time there."""

    @click.command("explain", epilog=EXAMPLES)
    @click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
    @click.option("--snapshot", "file", type=click.Path(path_type=Path, dir_okay=False), help="A snapshot, as JSON.")
    @click.option("--account", metavar="ID", help="An account of the database, judged by the policy in force.")
    @click.option("--action", "actions", metavar="ACTION", multiple=True, help="Explain this gate; else all that deny.")
    @click.option("--actor", default="customer", show_default=True, help="Who asks.")
    @click.option("--at", "when", metavar="INSTANT", help="When; the snapshot says it, or the database's clock.")
    @click.option(
        "--write", type=click.Path(path_type=Path, dir_okay=False), help="Write the snapshot to this file too."
    )
    @click.option(
        "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
        help="For people, or for programs.",
    )  # fmt: skip
    def explain(  # noqa: PLR0917 - click hands every option over
        folder: Path | None, file: Path | None, account: str | None, actions: tuple[str, ...], actor: str,
        when: str | None, write: Path | None, form: str,
    ) -> None:  # fmt: skip
        """Explain an account under the policy in DIR: every rule that could move it, value by value.

        Exit status: 0 explained, 2 it could not be.
        """
        if (file is None) == (account is None):
            raise click.UsageError("say which account: `--snapshot FILE` or `--account ID`")
        policy, snapshot, now = _load_file(folder, file, form) if file is not None else load(account or "")
        if folder is not None and account is not None:
            policy = read_policy(folder, form)
        now = _when(when) or now
        if now is None:
            raise click.UsageError("the snapshot does not say when it was so; say `--at 2026-03-01T08:00Z`")
        _tell(policy, snapshot, now, actions, actor, form)
        if write is not None:
            from engine.snapshot_text import write_snapshot

            write.write_text(write_snapshot(snapshot, now) + "\n", "utf-8")

    return explain


def _tell(policy: Policy, snapshot: Snapshot, now: datetime, actions: tuple[str, ...], actor: str, form: str) -> None:
    from engine.errors import EngineError
    from engine.explain import explain as explained
    from engine.explain_tell import Saying, as_json
    from engine.faults import meant, shown

    known = (*policy.gates.account, *policy.gates.server)
    for action in actions:
        if action not in known:
            raise click.UsageError(f"the policy has no action `{shown(action)}`; {meant(action, known)}".rstrip("; "))
    try:
        told = explained(policy, snapshot, now, actions, actor)
    except EngineError as error:
        raise click.UsageError(str(error)) from None
    click.echo(as_json(told) if form == "json" else Saying(color=colored()).write(told))


def _load_file(folder: Path | None, file: Path, form: str) -> tuple[Policy, Snapshot, datetime | None]:
    from engine.snapshot_text import SnapshotUnreadable, read_snapshot

    policy = read_policy(folder, form)
    try:
        return policy, *read_snapshot(policy, file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "no utf-8 text"
        raise click.UsageError(f"`{file}` cannot be read: {why.lower()}") from None
    except SnapshotUnreadable as error:
        raise click.UsageError(f"`{file}`: {error}") from None


def _when(text: str | None) -> datetime | None:
    from engine.timeline.items import START
    from engine.timeline.text import parse_instant

    if text is None:
        return None
    found = parse_instant(text, START) if "T" in text else None
    if found is None:
        raise click.UsageError(f"`{text}` is no instant; write it as `2026-03-01T08:00Z`")
    return found
