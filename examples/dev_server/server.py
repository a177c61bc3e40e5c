#!/usr/bin/env python3
"""A small workspace over HTTP: shows the files of the working directory to their owner. Standard library only.

Listens on 127.0.0.1:$PORT (0: a free port, written to `server.json`). `GET /health` says that it is up, `GET /files`
lists the files as JSON, `GET /` shows the same to a person. SIGTERM, or `stop` on the console, ends it with 0.
"""

from __future__ import annotations

import html
import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FILES_AT_MOST = 1_000
REQUEST_SECONDS = 10
CONSOLE_HELP = "help | status | stop"


def log(text: str) -> None:
    """Print one line for whoever watches the console."""
    print("".join(character if character.isprintable() else "?" for character in text), flush=True)


def files_of(home: Path) -> list[dict[str, Any]]:
    """List what lies in the workspace; links are neither followed nor shown."""
    found: list[dict[str, Any]] = []
    for above, directories, names in os.walk(home):
        directories.sort()
        for name in sorted(names):
            path = Path(above, name)
            if path.is_symlink() or not path.is_file():
                continue
            found.append({"path": str(path.relative_to(home)), "sizeBytes": path.stat().st_size})
            if len(found) == FILES_AT_MOST:
                return found
    return found


class Workspace(ThreadingHTTPServer):
    """The server, with what its pages show."""

    daemon_threads = True

    def __init__(self, port: int, title: str, home: Path) -> None:
        super().__init__(("127.0.0.1", port), Page)
        self.title = title
        self.home = home


class Page(BaseHTTPRequestHandler):
    """One request."""

    server: Workspace
    timeout = REQUEST_SECONDS
    server_version = "workspace"
    sys_version = ""

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer("application/json", json.dumps({"status": "ok", "name": self.server.title}))
        elif self.path == "/files":
            self._answer("application/json", json.dumps({"files": files_of(self.server.home)}))
        elif self.path == "/":
            rows = "".join(f"<li>{html.escape(item['path'])}</li>" for item in files_of(self.server.home))
            title = html.escape(self.server.title)
            self._answer(
                "text/html; charset=utf-8", f"<!doctype html><title>{title}</title><h1>{title}</h1><ul>{rows}</ul>"
            )
        else:
            self.send_error(404, "nothing here", "try /, /files or /health")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server uses
        log(format % args)

    def _answer(self, kind: str, text: str) -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)


def listen_to_console(workspace: Workspace) -> None:
    """Take commands from standard input until there is none."""
    with os.fdopen(os.dup(0), encoding="utf-8", errors="replace") as console:
        for line in console:
            if line.strip() == "stop":
                workspace.shutdown()
                return
            if line.strip() == "status":
                log(f"{len(files_of(workspace.home))} files, open on 127.0.0.1:{workspace.server_port}")
            elif line.strip():
                log(CONSOLE_HELP)


def main() -> int:
    """Serve until told to end."""
    home = Path.cwd()
    title = os.environ.get("SERVER_NAME", "workspace")
    try:
        workspace = Workspace(int(os.environ.get("PORT", "0")), title, home)
        (home / "server.json").write_text(json.dumps({"name": title, "port": workspace.server_port}), encoding="utf-8")
    except (OSError, ValueError) as error:
        log(f"cannot start: {error}")
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        # from another thread: `shutdown` waits for the loop that this handler interrupts
        signal.signal(number, lambda *_: threading.Thread(target=workspace.shutdown).start())
    threading.Thread(target=listen_to_console, args=(workspace,), daemon=True).start()
    log(f"{title} is open on 127.0.0.1:{workspace.server_port}")
    with workspace:
        workspace.serve_forever(poll_interval=0.1)
    log("closed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
