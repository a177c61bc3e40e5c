"""`forbear policy prove`: hold a policy against what it promises about itself."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.commands import colored, read_policy, shown_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.prove.judge import Judgement

EXAMPLES = """\b
Examples:
  forbear policy prove                                every guarantee of the policy that ships
  forbear policy prove ./policy --only payment_wins   one of yours
  forbear policy prove --format github                as annotations of a pull request
"""


@click.command(epilog=EXAMPLES)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--only", metavar="NAME", multiple=True, help="Prove only this guarantee; may be given several times.")
@click.option("--max-states", type=click.IntRange(1), default=200_000, show_default=True, help="Give up beyond these.")
@click.option("--save", metavar="FOLDER", type=click.Path(path_type=Path), help="Write broken timelines there.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "github"]), default="text", show_default=True,
    help="For people, for programs, or for a pull request.",
)  # fmt: skip
def prove(folder: Path | None, only: tuple[str, ...], max_states: int, save: Path | None, form: str) -> None:
    """Explore every state and time of the policy in DIR, and hold its guarantees.yaml against them.

    A broken guarantee is shown with the shortest timeline that breaks it. Exit status: 0 all hold, 1 one is broken or
    not proven, 2 there is nothing to prove.
    """
    from engine.prove.judge import Verdict, judge
    from engine.prove.tell import Page, as_annotations, as_json, as_text

    policy = read_policy(folder, form, err=False)
    unknown = set(only) - {guarantee.name for guarantee in policy.guarantees}
    if unknown:
        names = ", ".join(guarantee.name for guarantee in policy.guarantees) or "none"
        raise click.UsageError(f"there is no guarantee `{min(unknown)}`; the policy has: {names}")
    chosen = [guarantee for guarantee in policy.guarantees if not only or guarantee.name in only]
    if not chosen:
        raise click.UsageError("the policy promises nothing about itself: write a guarantees.yaml")
    began = time.perf_counter()
    judgements = [judge(policy, guarantee, max_states) for guarantee in chosen]
    seconds = time.perf_counter() - began
    if save is not None:
        _save(judgements, save)
    page = Page(shown_folder(folder), shutil.get_terminal_size((100, 24)).columns, colored(), save)
    told = {"json": lambda: as_json(judgements), "github": lambda: as_annotations(judgements, page)}
    click.echo(told.get(form, lambda: as_text(judgements, page, seconds))())
    if any(judgement.verdict is not Verdict.HOLDS for judgement in judgements):
        raise SystemExit(1)


def _save(judgements: Sequence[Judgement], folder: Path) -> None:
    """Write each counterexample as a timeline that `forbear policy simulate` plays."""
    from engine.timeline.text import write_timeline

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for judgement in judgements:
            if judgement.timeline is not None:
                text = write_timeline(judgement.timeline, judgement.guarantee.says)
                (folder / f"{judgement.guarantee.name}.yaml").write_text(text, "utf-8")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise click.UsageError(f"the timelines cannot be written to `{folder}`: {reason}") from error
