"""The demo game server: playing, talking, keeping the world, and what its README says."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, TextIO

import pytest

from tests.examples.programs import EXAMPLES, PATIENCE_SECONDS, Program

if TYPE_CHECKING:
    from pathlib import Path

README = (EXAMPLES / "game_server" / "README.md").read_text()


class Client:
    """Somebody who plays."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self.lines: TextIO = self.socket.makefile("r", encoding="utf-8")
        self.greeting = self.lines.readline()

    def say(self, line: str) -> str:
        """Type a line and return the first line of the answer, past what others said."""
        self.socket.sendall(line.encode() + b"\n")
        while (answer := self.lines.readline()).startswith("*"):
            continue
        return answer.strip()


def block(readme: str, kind: str) -> list[str]:
    found = re.search(rf"```{kind}\n(.*?)```", readme, re.DOTALL)
    assert found
    return found.group(1).splitlines()


def test_the_readme_game_plays_as_written(tmp_path: Path) -> None:
    with Program("game_server", tmp_path) as program:
        player = Client(program.port())
        for line in block(README, "play"):
            if line.startswith("> "):
                player.socket.sendall(line[2:].encode() + b"\n")
            else:
                assert player.lines.readline().strip() == line


def test_every_console_command_of_the_readme_is_known_and_stop_ends_it(tmp_path: Path) -> None:
    with Program("game_server", tmp_path) as program:
        player = Client(program.port())
        player.say("join Ada")
        for line in block(README, "console"):
            program.type(line)
        assert program.ends() == 0
        said = program.output()
    assert "unknown command" not in said
    assert "1 online: Ada" in said
    assert "[server] the server restarts at noon" in said
    assert "Ada was asked to leave" in said


def test_sigterm_saves_what_was_built_and_the_next_start_goes_on(tmp_path: Path) -> None:
    with Program("game_server", tmp_path) as program:
        player = Client(program.port())
        player.say("join Ada")
        assert player.say("place torch") == "torch at 16,16"
        assert program.terminate() == 0
    world = json.loads((tmp_path / "world.json").read_text())
    assert world["blocks"]["16,16"] == "torch"
    with Program("game_server", tmp_path) as program:
        player = Client(program.port())
        assert player.say("join Ada") == "you are at 16,16"
        program.type("seed")
        assert str(world["seed"]) in program.await_line("] seed ")


def test_look_draws_the_player_among_the_blocks(tmp_path: Path) -> None:
    with Program("game_server", tmp_path) as program:
        player = Client(program.port())
        player.say("join Ada")
        rows = [player.say("look"), *(player.lines.readline().strip() for _ in range(8))]
    assert [len(row) for row in rows] == [19] * 9
    assert rows[4][9] == "@"


def test_two_players_hear_each_other_and_share_the_world(tmp_path: Path) -> None:
    with Program("game_server", tmp_path) as program:
        port = program.port()
        ada, bob = Client(port), Client(port)
        assert ada.say("join Ada") == bob.say("join Bob") == "you are at 16,16"
        assert bob.say("join Ada") == "that name is taken"
        bob.say("say hello")
        heard = [ada.lines.readline().strip() for _ in range(2)]
        assert heard == ["* Bob joined", "* <Bob> hello"]


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("look", "join NAME first"),
        ("join " + "x" * 17, "a name has 1 to 16 letters or digits"),
        ("join <b>", "a name has 1 to 16 letters or digits"),
        ("\x00\x1b[2J", "join NAME first"),
    ],
)
def test_odd_input_gets_an_answer(tmp_path: Path, typed: str, answer: str) -> None:
    with Program("game_server", tmp_path) as program:
        assert Client(program.port()).say(typed) == answer


def test_an_endless_line_ends_only_its_own_connection(tmp_path: Path) -> None:
    with Program("game_server", tmp_path) as program:
        port = program.port()
        flood = Client(port)
        flood.socket.sendall(b"x" * 5_000)
        assert "goodbye" in flood.lines.readline()
        assert Client(port).say("join Ada") == "you are at 16,16"


def test_a_port_in_use_is_said_and_ends_with_1(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        Program("game_server", tmp_path, port=taken.getsockname()[1]) as program,
    ):
        assert program.ends() == 1
        assert "cannot start" in program.output()


def test_a_world_that_is_none_is_said_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "world.json").write_text("[1, 2]")
    with Program("game_server", tmp_path) as program:
        assert program.ends() == 1
        assert "world.json holds no world" in program.output()
    assert (tmp_path / "world.json").read_text() == "[1, 2]"
