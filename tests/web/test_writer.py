"""What waits together is written together; a poisoned item harms itself alone; everything accepted is answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from web.writer import TooLate, Writer, WriterFull, WriterStopped


class Away(Exception):
    """The database is away."""


class Book:
    """What a writer writes into. The first group waits for `opened`, so that the others gather behind it."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.opened = threading.Event()
        self.entered = threading.Event()
        self.away_times = 0

    def write(self, items: Sequence[str]) -> list[str]:
        self.entered.set()
        assert self.opened.wait(20)
        self.groups.append(list(items))
        if self.away_times:
            self.away_times -= 1
            raise Away
        if "poison" in items:
            raise ValueError("poison")
        return [item.upper() for item in items]


def writer_of(book: Book, **options: float) -> Writer[str, str]:
    return Writer(book.write, away=lambda error: isinstance(error, Away), **options)  # type: ignore[arg-type]


async def gathered(book: Book, writer: Writer[str, str], *items: str) -> list[str | BaseException]:
    """Submit `first`, and the items while it is being written; return the items' answers."""
    first = asyncio.create_task(writer.submit("first"))
    await asyncio.to_thread(book.entered.wait, 20)
    tasks = [asyncio.create_task(writer.submit(item)) for item in items]
    await asyncio.sleep(0)
    book.opened.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_what_waits_together_is_one_group() -> None:
    book = Book()
    writer = writer_of(book)
    assert asyncio.run(gathered(book, writer, "a", "b", "c")) == ["A", "B", "C"]
    assert book.groups == [["first"], ["a", "b", "c"]]
    assert writer.stop()


def test_a_group_has_a_bound() -> None:
    book = Book()
    asyncio.run(gathered(book, writer_of(book, group_items=2), "a", "b", "c"))
    assert book.groups == [["first"], ["a", "b"], ["c"]]


def test_a_poisoned_item_harms_itself_alone() -> None:
    book = Book()
    answers = asyncio.run(gathered(book, writer_of(book), "a", "poison", "c"))
    assert (answers[0], answers[2]) == ("A", "C")
    assert isinstance(answers[1], ValueError)


def test_a_broken_connection_is_tried_again_as_a_group() -> None:
    book = Book()
    book.away_times = 1
    assert asyncio.run(gathered(book, writer_of(book), "a", "b")) == ["A", "B"]


def test_while_the_database_is_away_everybody_is_told_so_and_none_is_tried_alone() -> None:
    book = Book()

    async def story() -> list[str | BaseException]:
        first = asyncio.create_task(writer.submit("first"))
        await asyncio.to_thread(book.entered.wait, 20)
        tasks = [asyncio.create_task(writer.submit(item)) for item in ("a", "b")]
        await asyncio.sleep(0)
        book.away_times = 4
        book.opened.set()
        return await asyncio.gather(first, *tasks, return_exceptions=True)

    writer = writer_of(book)
    assert [type(answer) for answer in asyncio.run(story())] == [Away, Away, Away]
    assert book.groups == [["first"], ["first"], ["a", "b"], ["a", "b"]]


def test_beyond_its_bounds_it_says_that_it_is_full() -> None:
    book = Book()
    answers = asyncio.run(gathered(book, writer_of(book, waiting_items=2), "a", "b", "c"))
    assert [*answers[:2], type(answers[2])] == ["A", "B", WriterFull]


def test_bytes_count_too() -> None:
    book = Book()
    writer = writer_of(book, waiting_bytes=10)

    async def story() -> None:
        first = asyncio.create_task(writer.submit("first", 10))
        await asyncio.to_thread(book.entered.wait, 20)
        second = asyncio.create_task(writer.submit("second", 10))
        await asyncio.sleep(0)
        with pytest.raises(WriterFull):
            await writer.submit("third", 1)
        book.opened.set()
        assert await first + await second == "FIRSTSECOND"
        assert await writer.submit("fourth", 10) == "FOURTH"

    asyncio.run(story())


def test_what_waited_too_long_is_not_tried_alone() -> None:
    book = Book()
    answers = asyncio.run(gathered(book, writer_of(book, give_up_seconds=-1), "a", "poison"))
    assert [type(answer) for answer in answers] == [TooLate, TooLate]


def stopped(writer: Writer[str, str]) -> None:
    end = time.monotonic() + 20
    while not writer.stopping:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_stopping_writer_answers_what_it_accepted_and_takes_nothing_more() -> None:
    book = Book()
    writer = writer_of(book)

    async def story() -> None:
        tasks = [asyncio.create_task(writer.submit(item)) for item in ("a", "b", "c")]
        await asyncio.to_thread(book.entered.wait, 20)
        stopping = asyncio.create_task(asyncio.to_thread(writer.stop))
        await asyncio.to_thread(stopped, writer)
        with pytest.raises(WriterStopped):
            await writer.submit("late")
        book.opened.set()
        assert await asyncio.gather(*tasks) == ["A", "B", "C"]
        assert await stopping is True

    asyncio.run(story())


def test_a_client_that_hangs_up_disturbs_nobody() -> None:
    book = Book()
    writer = writer_of(book)

    async def story() -> None:
        first = asyncio.create_task(writer.submit("first"))
        await asyncio.to_thread(book.entered.wait, 20)
        gone, stays = (asyncio.create_task(writer.submit(item)) for item in ("gone", "stays"))
        await asyncio.sleep(0)
        gone.cancel()
        book.opened.set()
        assert await stays == "STAYS"
        assert await first == "FIRST"

    asyncio.run(story())
    assert book.groups[1] == ["gone", "stays"]


def test_those_who_come_in_together_are_gathered() -> None:
    book = Book()
    book.opened.set()
    writer = writer_of(book)

    async def story() -> None:
        await asyncio.gather(*[asyncio.create_task(writer.submit(str(number))) for number in range(40)])

    asyncio.run(story())
    assert len(book.groups) <= 10, "each alone would be 40"
