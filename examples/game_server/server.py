#!/usr/bin/env python3
"""A small shared world over TCP: people join, walk about, place blocks and talk. One file, standard library only.

Listens on 127.0.0.1:$PORT (0: a free port, written to `server.json`), keeps the world in `world.json` in the working
directory, and takes commands on its console. SIGTERM, or `stop` on the console, saves and ends with 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 32
SAVE_SECONDS = 10.0
LINE_BYTES = 512
UNREAD_BYTES = 64 * 1024
PLAYERS_AT_MOST = 32
IDLE_SECONDS = 600.0
BLOCKS = {"air": ".", "grass": '"', "stone": "#", "wood": "=", "water": "~", "torch": "i"}
STEPS = {"north": (0, -1), "south": (0, 1), "west": (-1, 0), "east": (1, 0)}
HELP = "join NAME | look | move north|south|east|west | place BLOCK | say TEXT | who | quit"
CONSOLE_HELP = "help | list | say TEXT | save | seed | kick NAME | stop"


def log(text: str) -> None:
    """Print one line for whoever watches the console; what players typed cannot break it."""
    shown = "".join(character if character.isprintable() else "?" for character in text)
    print(f"[{datetime.now():%H:%M:%S}] {shown}", flush=True)  # noqa: DTZ005 - the wall clock of who watches


class World:
    """The ground, and where everybody was last. Knows nothing of the network."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.changed = False
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if not (isinstance(kept, dict) and isinstance(kept.get("blocks"), dict) and "players" in kept):
                raise ValueError(f"{path.name} holds no world")
            self.seed: int = kept["seed"]
            self.blocks: dict[str, str] = kept["blocks"]
            self.places: dict[str, list[int]] = kept["players"]
        else:
            self.seed = random.SystemRandom().randrange(2**32)
            self.blocks = self._grow(self.seed)
            self.places = {}
            self.changed = True

    @staticmethod
    def _grow(seed: int) -> dict[str, str]:
        """Make the ground of a seed: the same seed, the same ground."""
        dice = random.Random(seed)
        kinds = dice.choices(["grass", "stone", "water", "air"], weights=[3, 2, 1, 14], k=SIZE * SIZE)
        return {f"{spot % SIZE},{spot // SIZE}": kind for spot, kind in enumerate(kinds) if kind != "air"}

    def block_at(self, x: int, y: int) -> str:
        return self.blocks.get(f"{x},{y}", "air")

    def enter(self, name: str) -> None:
        self.places.setdefault(name, [SIZE // 2, SIZE // 2])
        self.changed = True

    def move(self, name: str, direction: str) -> str:
        if direction not in STEPS:
            return f"which way? {', '.join(STEPS)}"
        x, y = (old + step for old, step in zip(self.places[name], STEPS[direction], strict=True))
        if not (0 <= x < SIZE and 0 <= y < SIZE):
            return "here the world ends"
        if self.block_at(x, y) == "water":
            return "too deep to wade"
        self.places[name] = [x, y]
        self.changed = True
        return f"you are at {x},{y}"

    def place(self, name: str, block: str) -> str:
        if block not in BLOCKS:
            return f"which block? {', '.join(BLOCKS)}"
        x, y = self.places[name]
        if block == "air":
            self.blocks.pop(f"{x},{y}", None)
        else:
            self.blocks[f"{x},{y}"] = block
        self.changed = True
        return f"{block} at {x},{y}"

    def view(self, name: str) -> list[str]:
        """Draw what is around a player, the player in the middle."""
        middle_x, middle_y = self.places[name]
        rows = []
        for y in range(max(0, middle_y - 4), min(SIZE, middle_y + 5)):
            columns = range(max(0, middle_x - 9), min(SIZE, middle_x + 10))
            drawn = [BLOCKS.get(self.block_at(x, y), "?") for x in columns]
            if y == middle_y:
                drawn[middle_x - columns.start] = "@"
            rows.append("".join(drawn))
        return rows

    def save(self) -> None:
        """Write the world so that a crash leaves the old file or the new one, never a half."""
        write_whole(self._path, {"seed": self.seed, "blocks": self.blocks, "players": self.places})
        self.changed = False


def write_whole(path: Path, content: dict[str, Any]) -> None:
    """Write JSON beside its place, then move it there."""
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(content, stream)
            stream.flush()
            os.fsync(stream.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


@dataclass
class Player:
    """Somebody connected; without a name until they join."""

    writer: asyncio.StreamWriter
    name: str = ""

    def tell(self, text: str) -> None:
        if self.writer.transport.get_write_buffer_size() > UNREAD_BYTES:
            self.writer.transport.abort()  # does not read what it is told; others must not pay for that
        else:
            self.writer.write(text.encode() + b"\n")


@dataclass
class Game:
    """The people, the console and the world between them."""

    world: World
    title: str
    people: list[Player] = field(default_factory=list)
    ending: asyncio.Event = field(default_factory=asyncio.Event)

    # what players say

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk with one player until they leave, fall silent, or the server ends."""
        player = Player(writer)
        self.people.append(player)
        try:
            if len(self.people) > PLAYERS_AT_MOST:
                player.tell("the world is full, come back later")
                return
            player.tell(f"Welcome to {self.title}. {HELP}")
            while line := await asyncio.wait_for(reader.readline(), IDLE_SECONDS):
                answer = self.answer(player, line.decode("utf-8", "replace").strip())
                player.tell(answer)
                await writer.drain()
                if answer == "bye":
                    return
        except (ConnectionError, TimeoutError, ValueError):
            player.tell("goodbye")  # gone, silent for long, or a line without end
        finally:
            self.people.remove(player)
            if player.name:
                self.announce(f"{player.name} left")
            writer.close()

    def answer(self, player: Player, line: str) -> str:
        """Do what a player typed and say what came of it."""
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        if word == "quit":
            return "bye"
        if word == "join":
            return self.join(player, rest)
        if not player.name:
            return "join NAME first"
        commands: dict[str, Callable[[], str]] = {
            "look": lambda: "\n".join(self.world.view(player.name)),
            "move": lambda: self.world.move(player.name, rest),
            "place": lambda: self.world.place(player.name, rest),
            "say": lambda: self.talk(player.name, rest),
            "who": self.who,
        }
        return commands.get(word, lambda: HELP)()

    def join(self, player: Player, name: str) -> str:
        if not (1 <= len(name) <= 16 and name.isalnum()):
            return "a name has 1 to 16 letters or digits"
        if any(other.name == name for other in self.people):
            return "that name is taken"
        player.name = name
        self.world.enter(name)
        self.announce(f"{name} joined")
        return "you are at {},{}".format(*self.world.places[name])

    def talk(self, name: str, text: str) -> str:
        self.announce(f"<{name}> {text}")
        return "said"

    def who(self) -> str:
        names = sorted(player.name for player in self.people if player.name)
        return f"{len(names)} online: {', '.join(names) or 'nobody'}"

    def announce(self, text: str) -> None:
        log(text)
        for player in self.people:
            if player.name:
                player.tell(f"* {text}")

    # what the console says

    def command(self, line: str) -> None:
        """Do what was typed on the console."""
        word, _, rest = line.strip().partition(" ")
        commands: dict[str, Callable[[], None]] = {
            "help": lambda: log(CONSOLE_HELP),
            "list": lambda: log(self.who()),
            "say": lambda: self.announce(f"[server] {rest}"),
            "save": self.save,
            "seed": lambda: log(f"seed {self.world.seed}"),
            "kick": lambda: self.kick(rest),
            "stop": self.ending.set,
        }
        if word:
            commands.get(word, lambda: log(f"unknown command; {CONSOLE_HELP}"))()

    def kick(self, name: str) -> None:
        found = [player for player in self.people if player.name == name]
        for player in found:
            player.tell("you were asked to leave")
            player.writer.close()
        log(f"{name} was asked to leave" if found else f"no {name} here")

    def save(self) -> None:
        try:
            self.world.save()
        except OSError as error:
            log(f"the world could not be saved: {error.strerror}")
        else:
            log("the world is saved")

    async def save_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            if self.world.changed:
                self.save()


def listen_to_console(game: Game, loop: asyncio.AbstractEventLoop) -> None:
    """Pass console lines to the game from a thread: standard input may be a pipe, a terminal or nothing at all."""

    def read() -> None:
        with (
            contextlib.suppress(OSError, RuntimeError),  # no input at all, or the game has ended meanwhile
            os.fdopen(os.dup(0), encoding="utf-8", errors="replace") as console,
        ):
            while line := console.readline(LINE_BYTES):
                loop.call_soon_threadsafe(game.command, line)

    threading.Thread(target=read, daemon=True).start()


async def run(port: int, title: str, home: Path) -> None:
    """Serve until told to end, then save."""
    game = Game(World(home / "world.json"), title)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, game.ending.set)
    server = await asyncio.start_server(game.serve, "127.0.0.1", port, limit=LINE_BYTES)
    port = server.sockets[0].getsockname()[1]
    write_whole(home / "server.json", {"name": title, "port": port})
    game.save()
    listen_to_console(game, loop)
    saving = asyncio.create_task(game.save_now_and_then())
    log(f"{title} is open on 127.0.0.1:{port}, seed {game.world.seed}")
    await game.ending.wait()
    log("closing")
    server.close()
    saving.cancel()
    for player in list(game.people):
        player.tell("the server closes, see you soon")
        player.writer.close()
    game.save()


def main() -> int:
    """Start as the environment says."""
    try:
        port = int(os.environ.get("PORT", "0"))
        asyncio.run(run(port, os.environ.get("SERVER_NAME", "a small world"), Path.cwd()))
    except (OSError, ValueError, KeyError) as error:
        log(f"cannot start: {error}")
        return 1
    log("closed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
