"""`forbear policy diff`: what differs between two policies, by meaning; each is a folder or a revision of git."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.commands import SHIPPED, colored, shown_folder, told_faults

if TYPE_CHECKING:
    from engine.model import Policy

EXAMPLES = """\b
Examples:
  forbear policy diff HEAD ./policy                          what is not committed yet
  forbear policy diff v1.2:policy v1.3:policy                between two releases
  forbear policy diff ../policy-in-force ./policy            between two folders
  forbear policy diff origin/main ./policy --format markdown as a pull request's comment
"""


@click.command(epilog=EXAMPLES)
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="[NEW]", required=False)
@click.option("--no-prove", is_flag=True, help="Do not judge the guarantees of both.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "github", "markdown"]), default="text", show_default=True,
    help="For people, for programs, as annotations, or as a pull request's comment.",
)  # fmt: skip
def diff(old: str, new: str | None, no_prove: bool, form: str) -> None:
    """Show what NEW (default: the policy that ships) does otherwise than OLD, by meaning, with examples.

    Each is a folder, or a revision of git: `REV:folder`, or `REV` alone for the other one's folder. The numbers are
    those that the files say: overrides in the environment are left out. Exit status: 0 they mean the same, 1 they
    differ, 2 one of them cannot be read or has faults.
    """
    from engine.compare.policies import compare
    from engine.compare.tell import as_github, as_json, as_markdown, as_text

    newer = new if new is not None else str(SHIPPED)
    before, _ = _read(old, beside=newer, form=form)
    after, folder = _read(newer, beside=old, form=form)
    changes = compare(before, after, prove=not no_prove)
    if form == "json":
        click.echo(as_json(changes, before.digest, after.digest))
    elif form == "github":
        click.echo(as_github(changes, folder))
    elif form == "markdown":
        click.echo(as_markdown(changes), nl=False)
    else:
        click.echo(as_text(changes, color=colored()))
    if changes:
        raise SystemExit(1)


def _read(where: str, *, beside: str, form: str) -> tuple[Policy, str]:
    """Return the policy at a folder or revision, and its folder; ends the command where there is none."""
    from engine.faults import PolicyFaults, PolicyUnreadable
    from engine.load import load_policy, load_texts

    folder = where
    try:
        if Path(where).is_dir():
            folder = shown_folder(Path(where))
            return load_policy(Path(where)), folder
        texts, folder = _texts_of(where, beside)
        return load_texts(texts), folder
    except PolicyFaults as faults:
        click.echo(told_faults(faults, "text" if form == "markdown" else form, folder))
        raise SystemExit(2) from None
    except PolicyUnreadable as nothing:
        raise click.UsageError(str(nothing)) from None


def _texts_of(where: str, beside: str) -> tuple[dict[str, str], str]:
    """Return the policy's files as git keeps them at a revision, and the folder that they are in."""
    revision, _, path = where.partition(":")
    commit = _git(Path.cwd(), "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit is None:
        raise click.UsageError(f"`{where}` is neither a folder nor a revision that git knows here")
    top = _git(Path.cwd(), "rev-parse", "--show-toplevel")
    if top is None:
        raise click.UsageError(f"`{where}` names a revision, but there is no working tree of git here")
    root = Path(top.decode().rstrip("\n"))
    folder = path.strip("/") or _folder_beside(beside, root)
    tree = f"{commit.decode().strip()}:{folder}"
    listed = _git(root, "ls-tree", "--name-only", "-z", tree)
    if listed is None:
        raise click.UsageError(f"`{revision}` has no folder `{folder}`; name it: `{revision}:FOLDER`")
    names = [name for name in listed.decode().split("\0") if name.endswith(".yaml") and not name.startswith(".")]
    if not names:
        raise click.UsageError(f"`{revision}:{folder}` holds no policy: no file in it ends in `.yaml`")
    return {name: _text(root, f"{tree}/{name}") for name in names}, folder


def _folder_beside(beside: str, root: Path) -> str:
    """Return the other policy's folder as seen from the root of the working tree."""
    other = Path(beside)
    if not other.is_dir():
        _, _, path = beside.partition(":")
        return path.strip("/") or "policy"
    try:
        return other.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return "policy"


def _text(root: Path, name: str) -> str:
    found = _git(root, "cat-file", "blob", name)
    if found is None:
        raise click.UsageError(f"git cannot read `{name}`")
    try:
        return found.decode("utf-8")
    except UnicodeDecodeError:
        raise click.UsageError(f"`{name}` is not text in UTF-8") from None


def _git(folder: Path, *arguments: str) -> bytes | None:
    """Return what git answers, None when it refuses. Raises UsageError when there is no git."""
    asked: Sequence[str] = ("git", *arguments)
    try:
        done = subprocess.run(asked, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    except FileNotFoundError:
        raise click.UsageError("git is not installed; name folders instead") from None
    except subprocess.TimeoutExpired:
        raise click.UsageError("git did not answer within a minute") from None
    return done.stdout if done.returncode == 0 else None
