"""The fault table: what can be wrong with an Engine while a server has to be stopped, and what may come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.doubles.docker import Container, DockerDouble

HANG_SECONDS = 60.0
Begin = Callable[[DockerDouble, Container], object]


@dataclass(frozen=True)
class Row:
    """One fault."""

    name: str
    begin: Begin
    ends: Literal["down", "told"]
    """Whether the server ends down and is seen so, or people are told and nothing claims that it is."""


def hanging(*verbs: str) -> Begin:
    """Return answers that do not come."""
    return lambda engine, _: engine.hang_seconds.update(dict.fromkeys(verbs, HANG_SECONDS))


def failing(status: int, message: str, *verbs: str) -> Begin:
    """Return answers that say no."""
    return lambda engine, _: engine.fails.update(dict.fromkeys(verbs, (status, message)))


def cut(*verbs: str) -> Begin:
    """Return answers that break off."""
    return lambda engine, _: engine.cut.update(verbs)


def being(state: str) -> Begin:
    """Return a container in this state."""
    return lambda _, container: setattr(container, "state", state)


def engine_is(*flags: str) -> Begin:
    """Return an Engine that takes commands and does not carry them out."""

    def begin(engine: DockerDouble, _: Container) -> None:
        for flag in flags:
            setattr(engine, flag, True)

    return begin


def not_whole(engine: DockerDouble, container: Container) -> None:
    engine.rewrite_list = lambda rows: [{"Id": row["Id"]} for row in rows]
    container.config["HostConfig"].pop("RestartPolicy")


def of_another_shape(engine: DockerDouble, _: Container) -> None:
    engine.rewrite_list = lambda rows: {"containers": rows}
    engine.fails["inspect"] = (200, "<html>a proxy's page</html>")


def hidden(engine: DockerDouble, container: Container) -> None:
    engine.hidden = {container.name}


def renamed(_: DockerDouble, container: Container) -> None:
    container.name = "moved-by-hand"


def theirs(_: DockerDouble, container: Container) -> None:
    container.config["Labels"] = {"com.example": "theirs"}


EVERYTHING = ("list", "inspect", "update", "stop", "kill")
ROWS = (
    Row("all goes well", lambda *_: None, "down"),
    Row("every answer hangs", hanging(*EVERYTHING), "told"),
    Row("the stop hangs", hanging("stop"), "told"),
    Row("the restart policy hangs", hanging("update"), "told"),
    Row("500", failing(500, "server error", *EVERYTHING), "told"),
    Row("500 to the commands", failing(500, "server error", "stop", "kill", "update"), "told"),
    Row("500 to the restart policy", failing(500, "server error", "update"), "told"),
    Row("409, removal in progress", failing(409, "removal of container is already in progress", "update"), "told"),
    Row("answers cut off", cut("list", "inspect"), "told"),
    Row("the answer to the stop cut off", cut("stop"), "down"),
    Row("a list that is not whole", not_whole, "told"),
    Row("answers of another shape", of_another_shape, "told"),
    Row("it refuses connections", lambda engine, _: engine.close(), "told"),
    Row("it takes the stop, and the server goes on", engine_is("deaf"), "down"),
    Row("it takes the kill too, and the server goes on", engine_is("deaf", "immortal"), "told"),
    Row("it takes the restart policy and keeps the old one", engine_is("forgetful"), "told"),
    Row("its list is empty", hidden, "down"),
    Row("the container is frozen", being("paused"), "down"),
    Row("the container starts over and over", being("restarting"), "down"),
    Row("the container is being removed", being("removing"), "told"),
    Row("the container is dead", being("dead"), "told"),
    Row("the container is in a state of tomorrow", being("hibernating"), "told"),
    Row("the container was renamed by hand", renamed, "told"),
    Row("somebody else's container has its name", theirs, "told"),
)
