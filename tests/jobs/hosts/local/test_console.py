"""The console's log and pipe: offsets that only grow, a bounded size, lines that never mix."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.hosts.base import ConsoleBusy
from jobs.hosts.local import console
from jobs.hosts.local.console import LINE_BYTES, SCREENFUL_BYTES, SEGMENT_BYTES, SEGMENTS_KEPT, ConsoleLog, read_console
from jobs.hosts.local.host import LocalHost
from tests.jobs.hosts.local import programs
from tests.jobs.hosts.local.conftest import SPEC, Running
from tests.jobs.hosts.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path


def read_on(run: Path, offset: int | None) -> tuple[int, list[str]]:
    """Read until no line comes."""
    lines: list[str] = []
    while True:
        offset, more = read_console(run, offset)
        if not more:
            return offset, lines
        lines += more


def log_size(run: Path) -> int:
    return sum(path.stat().st_size for path in run.glob("console-*.log"))


def test_a_server_that_prints_without_end_fills_no_disk_and_its_latest_lines_stay(
    data_dir: Path, running: Running
) -> None:
    host = running(programs.FLOODING)
    run = data_dir / "servers" / SPEC.server_id / "run"
    assert log_size(run) < SEGMENT_BYTES * SEGMENTS_KEPT + 100_000
    _, lines = read_on(run, 0)
    numbers = [int(line.split()[0]) for line in lines[:-1]]
    assert lines[-1] == "ready"
    assert numbers == list(range(numbers[0], 30_000))
    assert len(host.read_console(SPEC, None)[1]) > 50


@pytest.mark.parametrize("newest", [1, 100, SEGMENT_BYTES // 10 - 1])
def test_a_screenful_ends_with_the_latest_line_however_little_its_segment_holds(tmp_path: Path, newest: int) -> None:
    count = SEGMENT_BYTES // 10 + newest
    log = ConsoleLog(tmp_path)
    for number in range(count):
        log.feed(b"%09d\n" % number)
    assert len(list(tmp_path.glob("console-*.log"))) == 2
    offset, lines = read_console(tmp_path, None)
    assert [int(line) for line in lines] == list(range(count - len(lines), count))
    assert (offset, len(lines)) == (count * 10, SCREENFUL_BYTES // 10)


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    log = ConsoleLog(tmp_path)
    log.feed(b"a" * (LINE_BYTES * 2 + 5))
    log.feed(b"b\nnext\n")
    assert [len(line) for line in read_on(tmp_path, 0)[1]] == [LINE_BYTES, LINE_BYTES, 6, 4]


def test_an_unfinished_line_is_shown_once_it_is_finished(tmp_path: Path) -> None:
    log = ConsoleLog(tmp_path)
    log.feed(b"one\nhalf")
    offset, lines = read_console(tmp_path, 0)
    assert lines == ["one"]
    assert read_console(tmp_path, offset) == (offset, [])
    log.feed(b" a line\n")
    assert read_console(tmp_path, offset)[1] == ["half a line"]


def test_the_next_supervisor_goes_on_with_the_offsets_of_the_last_and_ends_its_line(tmp_path: Path) -> None:
    ConsoleLog(tmp_path).feed(b"one\nhalf a li")
    offset, _ = read_console(tmp_path, None)
    ConsoleLog(tmp_path).say("started")
    assert read_console(tmp_path, offset)[1] == ["half a li", "[host] started"]


def test_an_offset_too_old_goes_on_at_the_oldest_line_and_one_of_another_life_at_the_beginning(tmp_path: Path) -> None:
    log = ConsoleLog(tmp_path)
    for number in range(20_000):
        log.feed(b"%09d%s\n" % (number, b"x" * 90))
    _, lines = read_on(tmp_path, 5)
    assert int(lines[0][:9]) > 5_000
    assert int(lines[-1][:9]) == 19_999
    assert read_on(tmp_path, 10**12)[1] == lines
    assert read_on(tmp_path, -7)[1] == lines


def test_a_first_look_shows_the_last_screenful_of_whole_lines(tmp_path: Path) -> None:
    log = ConsoleLog(tmp_path)
    for number in range(5_000):
        log.feed(b"%05d\n" % number)
    _, lines = read_console(tmp_path, None)
    assert lines[-1] == "04999"
    assert 1_000 < len(lines) < 5_000
    assert {len(line) for line in lines} == {5}


def test_odd_bytes_are_shown_and_a_console_that_never_was_is_empty(tmp_path: Path) -> None:
    assert read_console(tmp_path, None) == (0, [])
    assert read_console(tmp_path, 77) == (0, [])
    ConsoleLog(tmp_path).feed(b"\xff\xfe caf\xc3\xa9\r\n")
    assert read_console(tmp_path, 0)[1] == ["\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} café"]


@given(st.lists(st.binary(max_size=300), max_size=30), st.integers(1, 30))
def test_however_output_is_cut_into_pieces_the_same_lines_come_out(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], every: int
) -> None:
    run = tmp_path_factory.mktemp("run")
    log = ConsoleLog(run)
    offset, seen = 0, []
    for number, piece in enumerate(pieces):
        log.feed(piece)
        if number % every == 0:
            offset, more = read_on(run, offset)
            seen += more
    log.feed(b"\n")
    seen += read_on(run, offset)[1]
    whole = b"".join(pieces) + b"\n"
    assert seen == [line.rstrip(b"\r").decode("utf-8", "replace") for line in whole.split(b"\n")[:-1]]


def test_a_reader_that_follows_while_the_log_turns_over_sees_whole_lines_in_order(tmp_path: Path) -> None:
    done = threading.Event()

    def write() -> None:
        log = ConsoleLog(tmp_path)
        for number in range(30_000):
            log.feed(b"%09d%s\n" % (number, b"x" * 90))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    offset, numbers = 0, []
    finished = False
    while not finished:
        finished = done.is_set()
        offset, lines = read_on(tmp_path, offset)
        assert {len(line) for line in lines} <= {99}
        numbers += [int(line[:9]) for line in lines]
    writer.join()
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 29_999


def test_lines_of_many_senders_never_mix(data_dir: Path, running: Running) -> None:
    host = running(programs.ECHO)
    senders = [
        threading.Thread(target=lambda letter=letter: [host.send(SPEC, letter * 500) for _ in range(20)])
        for letter in "abcd"
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    run = data_dir / "servers" / SPEC.server_id / "run"
    eventually(lambda: len(read_on(run, 0)[1]) == 82)
    assert sorted(read_on(run, 0)[1][2:]) == sorted(f"heard {letter * 500}" for letter in "abcd" for _ in range(20))


def test_a_server_that_does_not_read_its_console_makes_senders_wait_not_hang(running: Running) -> None:
    host = running(programs.IDLE)
    with pytest.raises(ConsoleBusy):
        deque((host.send(SPEC, "x" * 1_000) for _ in range(1_000)), maxlen=0)


def test_a_server_that_closed_its_input_runs_and_cannot_be_typed_to(running: Running) -> None:
    host = running(programs.DEAF)
    with pytest.raises(ConsoleBusy):
        host.send(SPEC, "hello")
    assert host.observe(SPEC).observed == "running"


def test_what_was_typed_before_an_end_does_not_reach_the_next_life(data_dir: Path, running: Running) -> None:
    host = running(programs.IDLE)
    host.send(SPEC, "a line of the past")
    host.kill(SPEC)
    again = LocalHost(data_dir, {"game": programs.ECHO})
    again.start(SPEC)
    again.send(SPEC, "hello")
    eventually(lambda: "heard hello" in again.read_console(SPEC, None)[1])
    assert "heard a line of the past" not in again.read_console(SPEC, None)[1]


def test_the_longest_line_that_is_taken_fits_the_pipe_whole() -> None:
    assert console.COMMAND_BYTES < 4_096
