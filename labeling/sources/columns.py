"""The named columns of rows, as texts that stand as they were written."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from labeling.sources import bad_rows
from models.errors import DataError

Row = tuple[int, dict[str, Any]]
"""Number of a line or row, from 1, and what it holds."""


def read_columns(name: str, rows: Iterable[Row], columns: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The columns of each row of the file or dataset that is called `name`.

    Raises DataError naming file and row (from 1) for a missing column or a value that is no text, and for an empty source.
    """
    read = []
    for number, row in rows:
        for column in columns:
            if column not in row:
                raise DataError(f"{name}:{number}: no column {column!r}; there are {', '.join(map(repr, row))}")
            if not isinstance(row[column], str) or not row[column].strip():
                raise DataError(f"{name}:{number}: column {column!r} holds no text")
        read.append(tuple(row[column] for column in columns))
    if not read:
        raise DataError(f"{name}: the dataset is empty")
    return read


def with_columns(name: str, rows: Iterable[bad_rows.Row], asked: Mapping[str, str]) -> Iterator[bad_rows.Row]:
    """The rows. Raises DataError after the last for a column that a setting (key -> column) asks for and none of them has."""
    there: dict[str, None] = {}
    for row in rows:
        there |= dict.fromkeys(row.values)
        yield row
    for key, column in asked.items():
        if there and column not in there:
            raise DataError(f"{name}: {key}: no column {column!r}; there are {', '.join(map(repr, there))}")
