"""What all tables share: the naming of constraints, and the columns that come up again and again."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, DateTime, MetaData, Text, text

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

EMPTY_OBJECT = text("'{}'::jsonb")
EMPTY_LIST = text("'[]'::jsonb")
NOW = text("now()")
NEW_ID = text("gen_random_uuid()")


def instant(name: str, **more: Any) -> Column[Any]:
    """Make a column that holds an instant; null unless told otherwise."""
    return Column(name, DateTime(timezone=True), **more)


def required(name: str, kind: Any = Text, *more: Any, **options: Any) -> Column[Any]:
    """Make a column that is never null."""
    return Column(name, kind, *more, nullable=False, **options)
