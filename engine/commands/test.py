"""`forbear policy test`: let the policy's scenarios come true, or show where they do not."""

from __future__ import annotations

from pathlib import Path

import click

from engine.commands import SHIPPED, colored, shown_folder, told_faults

EXAMPLES = """\b
Examples:
  forbear policy test                          the scenarios of the policy that ships
  forbear policy test ./policy --coverage      and what none of them reaches
  forbear policy test ./policy --only late     those whose file or title has `late` in it
  forbear policy test --format github          as annotations of a pull request
"""


@click.command(epilog=EXAMPLES)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--coverage", "with_coverage", is_flag=True, help="Name what no scenario reaches; then that is a finding."
)
@click.option("--only", metavar="TEXT", multiple=True, help="Only scenarios with this in their file or title.")
@click.option("--verbose", "-v", is_flag=True, help="Show every item of each scenario.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "github"]), default="text", show_default=True,
    help="For people, for programs, or for a pull request.",
)  # fmt: skip
def test(folder: Path | None, with_coverage: bool, only: tuple[str, ...], verbose: bool, form: str) -> None:
    """Play every scenario in DIR/scenarios and hold what happens against what is expected.

    The numbers are those that the files say: overrides in the environment are left out, as scenarios are written for
    the files. Exit status: 0 all come true, 1 one does not, or something is not covered, 2 there is nothing to test.
    """
    from engine.faults import PolicyFaults, PolicyUnreadable
    from engine.load import load_policy
    from engine.scenario.coverage import coverage
    from engine.scenario.read import read_scenarios
    from engine.scenario.run import run_scenario
    from engine.scenario.tell import Tree, as_github, as_json

    home, shown = folder if folder is not None else SHIPPED, shown_folder(folder)
    try:
        policy = load_policy(home)
        scenarios = read_scenarios(policy, home)
    except PolicyFaults as faults:
        click.echo(told_faults(faults, form, shown))
        raise SystemExit(2) from None
    except PolicyUnreadable as nothing:
        raise click.UsageError(str(nothing)) from None
    chosen = [each for each in scenarios if not only or any(part in f"{each.file} {each.title}" for part in only)]
    if not chosen:
        what = "none of the scenarios is called so" if scenarios else f"`{shown}/scenarios` holds no scenario"
        raise click.UsageError(what)
    results = [run_scenario(policy, each) for each in chosen]
    covered = coverage(policy, results) if with_coverage else None
    if form == "json":
        click.echo(as_json(results, covered))
    elif form == "github":
        click.echo(as_github(results, covered, shown))
    else:
        click.echo(Tree(shown, color=colored(), every_item=verbose).write(results, covered))
    if not all(result.ok for result in results) or (covered is not None and covered.missed):
        raise SystemExit(1)
