"""The front door: the `forbear` command. Each group is defined in the folder that does the work, loaded when asked for.

Also the last line of defence for whoever types: no traceback, but one sentence on what failed, where, and what to do.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import click

ROOT = Path(__file__).resolve().parent
OWN_PACKAGES = ("engine", "storage", "jobs", "web", "forbear")

# To look for garbage among what is imported, which stays, took a seventh of each start.
SELDOM = (10_000, 50, 50)

EMBEDDED = "`forbear up` starts one by itself"

EXAMPLES = """\b
Examples:
  forbear demo                        a late customer, from warning to restored, on real parts
  forbear up --data .forbear          everything in one process tree, until Ctrl-C
  forbear policy check policy         every fault of a policy at once
  forbear audit verify                is any audit row edited, removed or reordered?

\b
In production, each a process of its own (FORBEAR_DATABASE_URL, FORBEAR_REDIS_URL):
  forbear db upgrade
  forbear serve
  forbear worker billing_enforcement
  forbear controller
"""


class Deferred(click.Command):
    """A command whose module is imported when it is run, not when listed: `--help` must not pay for SQLAlchemy."""

    def __init__(self, name: str, target: str, short_help: str) -> None:
        super().__init__(name, short_help=short_help, add_help_option=False)
        self.target = target

    def load(self) -> click.Command:
        """Import the real command; it takes over from here."""
        module_name, _, attribute = self.target.partition(":")
        command = getattr(importlib.import_module(module_name), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"`{self.target}` is no command")
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        command = self.load()
        if isinstance(command, click.Group):
            for deferred in GRAFTS.get(self.name or "", ()):
                command.add_command(deferred)
        return command.make_context(info_name, args, parent=parent, **extra)


COMMANDS = (
    Deferred("demo", "web.demo.command:demo", "Show the whole loop on real parts, step by step, with evidence."),
    Deferred("up", "jobs.up:up", "Run everything on the embedded default, until stopped."),
    Deferred("smoke", "web.smoke.command:smoke", "Show that a running system works, with evidence; leave nothing."),
    Deferred("doctor", "jobs.doctor:doctor", "Say what is wrong with a running system, and what to do."),
    Deferred("stripe", "jobs.stripe.commands:stripe", "Catch up with Stripe where webhooks did not come."),
    Deferred("policy", "engine.commands:policy", "Check, read and deploy the policy."),
    Deferred("audit", "storage.commands.audit:audit", "Verify the audit chains."),
    Deferred("operations", "storage.commands.operations:operations", "Settle operations that failed."),
    Deferred("invoice", "jobs.invoices.commands:invoice", "Preview, issue and show invoices."),
    Deferred("admin", "storage.commands.admin:admin", "Say who may sign in at the desk."),
    Deferred("db", "storage.commands.db:db", "Migrate the database."),
    Deferred("serve", "web.commands:serve", "Serve the webhook, the API and the pages."),
    Deferred("worker", "jobs.commands:worker", "Work one queue."),
    Deferred("controller", "jobs.commands:controller", "Lead: sweep, relay, observe and repair."),
)

# Commands that read well in a group but live in a folder that the group's own folder may not import.
GRAFTS: dict[str, tuple[Deferred, ...]] = {
    "policy": (
        Deferred("prove", "engine.commands.prove:prove", "Hold the policy against what it promises about itself."),
        Deferred("test", "engine.commands.test:test", "Let the policy's scenarios come true."),
        Deferred("simulate", "engine.commands.simulate:simulate", "Play an account, or a million of them."),
        Deferred("explain", "storage.commands.explain:explain", "Say why an account is where it is, and what is next."),
        Deferred("diff", "engine.commands.diff:diff", "Say what a policy does otherwise than another."),
        Deferred("draw", "engine.commands.draw:draw", "Draw the machines of a policy."),
        Deferred("schema", "engine.commands.schema:schema", "Write schemas that complete a policy's own names."),
        Deferred("impact", "storage.commands.policy:impact", "Say what a policy would do to the accounts."),
        Deferred("deploy", "storage.commands.policy:deploy", "Check a policy and put it in force."),
        Deferred("history", "storage.commands.policy:history", "Show the policies that were deployed."),
        Deferred("rollback", "storage.commands.policy:rollback", "Put an earlier policy in force again."),
    ),
}


class FrontDoor(click.Group):
    """Lists the commands in the order in which a newcomer meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=FrontDoor,
    commands={command.name or "": command for command in COMMANDS},
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="forbear", message="%(package)s %(version)s")
def cli() -> None:
    """Turn late payments into warnings, restrictions, suspension and retention. Nothing is deleted by itself."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 it found faults, 2 it could not do its work, 130 interrupted."""
    gc.set_threshold(*SELDOM)
    try:
        outcome = cli.main(arguments, prog_name="forbear", standalone_mode=False)
        if sys.stdout is not None:  # as it is where the caller has closed it
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("forbear: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader (`head`, a pager) has gone: nobody is left to tell, and the interpreter's own flush must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if os.environ.get("FORBEAR_DEBUG") == "1":
            traceback.print_exc()
        click.echo(f"forbear: {sentence(error)}", err=True)
        sys.exit(2)
    sys.exit(outcome if isinstance(outcome, int) else 0)


def sentence(error: Exception) -> str:
    """Say what failed, where, and what to do about it."""
    origin = type(error).__module__.partition(".")[0]
    if origin in OWN_PACKAGES and str(error):
        return str(error)  # ours build their own sentence, and may quote a log below it
    words = " ".join(str(error).split("\n", 1)[0].split())
    if origin in ("sqlalchemy", "psycopg"):
        return f"the database failed: {words}; is it running, and is FORBEAR_DATABASE_URL right? {EMBEDDED}"
    if origin == "redis":
        return f"redis failed: {words}; is it running, and is FORBEAR_REDIS_URL right? {EMBEDDED}"
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] not in OWN_PACKAGES:
        return f"the package `{error.name}` is not installed; run `make setup`"
    if isinstance(error, OSError) and error.strerror:
        about = f" `{error.filename}`" if error.filename else ""
        return f"{error.strerror.lower()}:{about or ' the operating system refused'} ({place(error)})"
    what = f"{type(error).__name__}: {words}"
    return f"this should not have happened: {what} ({place(error)}); FORBEAR_DEBUG=1 shows the details"


def place(error: Exception) -> str:
    """Name the innermost line of ours that the error passed through, as file:line."""
    where = "forbear.py"
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if path.is_relative_to(ROOT) and "site-packages" not in path.parts:
            where = f"{path.relative_to(ROOT)}:{frame.lineno}"
    return where


if __name__ == "__main__":
    main()
