"""Which system a command means: the one that the environment names, or the `forbear up` of a data directory.

So a command typed beside a running `forbear up` needs no address. Long-running processes ask the environment alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

import click

from storage.errors import SettingWrong
from storage.settings import Settings

Command = TypeVar("Command", bound=Callable[..., object])

META: Final = "storage.beside"  # where the option is kept, so that no function between has to hand it down
DATA: Final = Path(".forbear")
SECRETS: Final = ("FORBEAR_ADMIN_TOKEN", "STRIPE_WEBHOOK_SECRET")
STRIPE_FILE: Final = "stripe-double"  # where a stand-in for Stripe is, while one runs beside


def data_option(command: Command) -> Command:
    """Let a command take `--data`."""
    return click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="FORBEAR_DATA",
        default=DATA,
        show_default=True,
        expose_value=False,
        callback=_keep,
        help="The data of a `forbear up`, for its own database and queue when none are named.",
    )(command)


def settings_beside() -> Settings:
    """Return the settings of the system that the running command means. Raises SettingWrong where there is none."""
    return Settings.from_env(environment_of(os.environ, click.get_current_context().meta.get(META, DATA)))


def environment_of(given: Mapping[str, str], data: Path) -> dict[str, str]:
    """Return the environment; where it names no database, with what the `forbear up` of the folder has."""
    from storage.embedded import addresses_of

    environment = dict(given)
    if environment.get("FORBEAR_DATABASE_URL"):
        return environment
    home = data.absolute()
    environment |= addresses_of(home)
    if not environment.get("FORBEAR_DATABASE_URL"):
        raise SettingWrong(
            "FORBEAR_DATABASE_URL",
            f"is not set, and no `forbear up` runs on `{data}`; start one, or name the folder of another with --data",
        )
    environment["FORBEAR_DATA"] = str(home)
    if not environment.get("FORBEAR_PORT") and (home / "port").is_file():
        environment["FORBEAR_PORT"] = (home / "port").read_text("ascii").strip()
    for name in SECRETS:
        file = home / "secrets" / name.lower()
        if not environment.get(name) and file.is_file():
            environment[name] = file.read_text("ascii").strip()
    return with_double(environment, home / "secrets" / STRIPE_FILE)


def with_double(environment: Mapping[str, str], file: Path) -> dict[str, str]:
    """Return the environment; without a key of Stripe's own, with the stand-in that a file tells of."""
    if environment.get("STRIPE_API_KEY") or not file.is_file():
        return dict(environment)
    return {**environment, **dict(line.split("=", 1) for line in file.read_text("ascii").splitlines())}


def _keep(context: click.Context, _: click.Parameter, data: Path) -> None:
    context.meta[META] = data
