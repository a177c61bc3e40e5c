"""`forbear policy schema`: schemas with which an editor completes a policy's own names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from engine.commands import SHIPPED, shown_folder, told_faults

EXAMPLES = """\b
Examples:
  forbear policy schema ./policy --out ./policy/schema    beside the files, which name it in their first line
  forbear policy schema ./policy                          all as one JSON document
"""


@click.command(epilog=EXAMPLES)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write one file a schema here.")
def schema(folder: Path | None, out: Path | None) -> None:
    """Write JSON Schemas whose choices are the facts, states, rules and actions that the policy in DIR declares.

    Make them again when names change. Exit status: 0 written, 2 there is no policy without faults to read.
    """
    from engine.faults import PolicyFaults, PolicyUnreadable
    from engine.load import load_policy
    from engine.schema import schemas

    try:
        policy = load_policy(folder if folder is not None else SHIPPED, os.environ)
    except PolicyFaults as faults:
        click.echo(told_faults(faults, "text", shown_folder(folder)), err=True)
        raise SystemExit(2) from None
    except PolicyUnreadable as nothing:
        raise click.UsageError(str(nothing)) from None
    made = schemas(policy)
    if out is None:
        click.echo(json.dumps(made, indent=2, ensure_ascii=False))
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, each in made.items():
        (out / name).write_text(json.dumps(each, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    click.echo(f"{out}: {len(made)} schemas of the policy {policy.digest[:12]}")
