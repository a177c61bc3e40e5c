"""Runs an example as a person would: as a program of its own, in a directory of its own, on a free port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PATIENCE_SECONDS = 60.0


class Program:
    """One running example."""

    def __init__(self, example: str, home: Path, title: str = "a world", port: int = 0) -> None:
        self.home = home
        (home / "server.json").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / example / "server.py")],
            cwd=home,
            env={"PATH": os.environ["PATH"], "PORT": str(port), "SERVER_NAME": title, "LANG": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def port(self) -> int:
        """Wait until it listens and return its port."""
        note = self.home / "server.json"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}: {self.output()}")
            if note.exists() and note.stat().st_size:
                return int(json.loads(note.read_text())["port"])
            time.sleep(0.01)
        raise AssertionError("did not listen in time")

    def type(self, line: str) -> None:
        """Type a line on its console."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def await_line(self, part: str) -> str:
        """Read its log up to the line that holds `part`."""
        assert self.process.stdout is not None
        seen = []
        for line in self.process.stdout:
            seen.append(line)
            if part in line:
                return line
        raise AssertionError(f"`{part}` was never printed: {seen}")

    def output(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def ends(self) -> int:
        """Wait for its end and return its exit code."""
        return self.process.wait(PATIENCE_SECONDS)

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.ends()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
