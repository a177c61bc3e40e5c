"""One running system for the stories told here: each has customers of its own, and leaves nobody late behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.system import System, left_behind


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """`forbear up`, started once for each process of tests, and gone when they go on to others: it is never idle."""
    running = System(tmp_path_factory.mktemp("acceptance") / "a system with spaces")
    running.start()
    yield running
    if running.process is not None:
        running.stop()
    assert left_behind(running.data) == []
