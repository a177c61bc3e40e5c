"""`forbear policy schema`: schemas with which an editor completes a policy's own names."""

from __future__ import annotations

import json
from pathlib import Path

import click

from engine.commands import read_policy

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
    from engine.schema import schemas

    policy = read_policy(folder)
    made = schemas(policy)
    if out is None:
        click.echo(json.dumps(made, indent=2, ensure_ascii=False))
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, each in made.items():
        (out / name).write_text(json.dumps(each, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    click.echo(f"{out}: {len(made)} schemas of the policy {policy.digest[:12]}")
