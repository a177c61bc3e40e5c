"""The floor of the tests of jobs, for long searches."""

from tests.jobs.conftest import floor

__all__ = ["floor"]
