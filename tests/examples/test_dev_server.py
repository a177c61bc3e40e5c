"""The demo dev server: its three paths, its console, its end."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.examples.programs import PATIENCE_SECONDS, Program

if TYPE_CHECKING:
    from pathlib import Path


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_SECONDS) as answer:
        text: bytes = answer.read()
    return text.decode()


def test_it_is_healthy_and_lists_the_files_of_its_directory_without_links(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello world\n")
    (tmp_path / "away").symlink_to("/etc/hostname")
    with Program("dev_server", tmp_path, title="Ada's workspace") as program:
        port = program.port()
        assert json.loads(get(port, "/health")) == {"status": "ok", "name": "Ada's workspace"}
        files = json.loads(get(port, "/files"))["files"]
        assert {"path": "notes.txt", "sizeBytes": 12} in files
        assert "away" not in {item["path"] for item in files}


def test_names_with_markup_are_shown_as_text(tmp_path: Path) -> None:
    (tmp_path / "<script>alert(1)<").write_text("")
    with Program("dev_server", tmp_path, title="<b>") as program:
        page = get(program.port(), "/")
    assert "<script>" not in page
    assert "&lt;b&gt;" in page


def test_an_unknown_path_is_404(tmp_path: Path) -> None:
    with Program("dev_server", tmp_path) as program:
        port = program.port()
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(port, "/../../etc/passwd")
        assert refused.value.code == 404


def test_stop_on_the_console_and_sigterm_both_end_it_with_0(tmp_path: Path) -> None:
    with Program("dev_server", tmp_path) as program:
        program.port()
        program.type("status")
        assert "1 files" in program.await_line("files")
        program.type("stop")
        assert program.ends() == 0
    with Program("dev_server", tmp_path) as program:
        program.port()
        assert program.terminate() == 0
