"""`forbear policy draw`: a policy's machines as pictures."""

from __future__ import annotations

from pathlib import Path

import click

from engine.commands import read_policy

EXAMPLES = """\b
Examples:
  forbear policy draw                                 every machine as Mermaid, in Markdown
  forbear policy draw ./policy --machine billing      one machine
  forbear policy draw --format svg --out pictures     a picture of each machine
"""


@click.command(epilog=EXAMPLES)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--machine", "only", metavar="NAME", multiple=True, help="Only this machine; may be given several times.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write one file a machine here.")
@click.option(
    "--format", "form", type=click.Choice(["mermaid", "svg"]), default="mermaid", show_default=True,
    help="Mermaid renders in pull requests; SVG everywhere.",
)  # fmt: skip
def draw(folder: Path | None, only: tuple[str, ...], out: Path | None, form: str) -> None:
    """Draw the machines of the policy in DIR: states, events, timers, guards and what is asked for.

    Exit status: 0 drawn, 2 there is no policy without faults to draw.
    """
    from engine.draw import mermaid, page
    from engine.draw_svg import svg

    policy = read_policy(folder)
    for name in only:
        if name not in policy.machines:
            raise click.UsageError(f"there is no machine `{name}`; the policy has: {', '.join(policy.machines)}")
    machines = [machine for name, machine in policy.machines.items() if not only or name in only]
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for machine in machines:
            file = out / f"{machine.name}.{'svg' if form == 'svg' else 'mmd'}"
            file.write_text(svg(machine) if form == "svg" else mermaid(machine), encoding="utf-8")
            click.echo(str(file))
    elif form == "svg":
        if len(machines) != 1:
            raise click.UsageError("one SVG shows one machine: name it with --machine, or a folder with --out")
        click.echo(svg(machines[0]), nl=False)
    else:
        click.echo(mermaid(machines[0]) if len(machines) == 1 else page(machines), nl=False)
