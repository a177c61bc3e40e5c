"""Files that come with a ticket: judged by what is in them, named so that nothing runs."""

from __future__ import annotations

import pytest

from web.attachments import MOST_BYTES, MOST_FILES, checked, harmless_name, kind_of
from web.problems import Problem

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 60
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + b"\0" * 60, "image/jpeg"),
        (b"GIF89a" + b"\0" * 60, "image/gif"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 " + b"\0" * 60, "image/webp"),
        (PDF, "application/pdf"),
        ("[12:00] Grüße, kein Start\n\ttrace".encode(), "text/plain"),
        (b"<html><script>alert(1)</script>", "text/plain"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='x'/>", "text/plain"),
        (b"MZ" + b"\x90\x00" * 40, None),
        (b"\x7fELF" + b"\0" * 60, None),
        (b"PK\x03\x04" + b"\0" * 60, None),
        (b"text with \x00 in it", None),
        (b"text with \x1b[31m in it", None),
        (b"\xff\xfe\x00", None),
    ],
)
def test_what_counts_is_what_is_in_it(content: bytes, kind: str | None) -> None:
    assert kind_of(content) == kind


@pytest.mark.parametrize(
    ("name", "kind", "kept"),
    [
        ("shot.PNG", "image/png", "shot.PNG"),
        ("latest.log", "text/plain", "latest.log"),
        ("run.bat", "text/plain", "run.bat.txt"),
        ("page.html", "text/plain", "page.html.txt"),
        ("shot.png.exe", "image/png", "shot.png.exe.png"),
        ("../../etc/passwd", "text/plain", "passwd.txt"),
        ("C:\\Users\\ada\\shot.png", "image/png", "shot.png"),
        ("invoice\u202egnp.exe", "image/png", "invoicegnp.exe.png"),
        ('a"b\r\nX: y<script>.txt', "text/plain", "a_b X_ y_script_.txt"),
        ("", "application/pdf", "file.pdf"),
        ("....", "text/plain", "file.txt"),
    ],
)
def test_a_name_ends_as_its_kind_does_and_holds_nothing_that_acts(name: str, kind: str, kept: str) -> None:
    assert harmless_name(name, kind) == kept


def test_files_are_few_and_small() -> None:
    (kept,) = checked([("a.txt", b"x" * MOST_BYTES)])
    assert (kept.name, kept.media_type) == ("a.txt", "text/plain")
    assert len(checked([("a.txt", b"x")] * MOST_FILES)) == MOST_FILES
    for files, status in (
        ([("a.txt", b"x" * (MOST_BYTES + 1))], 413),
        ([("a.txt", b"x")] * (MOST_FILES + 1), 400),
        ([("a.txt", b"")], 400),
        ([("a.png", b"MZ\x90\0")], 400),
    ):
        with pytest.raises(Problem) as refused:
            checked(files)
        assert refused.value.status == status


def test_a_long_name_stays_short() -> None:
    assert len(harmless_name("x" * 10_000 + ".png", "image/png")) <= 110
