"""The named columns of rows, and texts that stand as they were written."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from labeling.sources.bad_rows import BadRows, Row, shown
from models.conversation import RECORD
from models.errors import DataError

Read = TypeVar("Read")


def read_columns(
    name: str, rows: Iterable[Row], columns: Mapping[str, str], bad: BadRows, read: Callable[..., Read]
) -> list[Read]:
    """`read(row, *columns, bad)` of each row of the file or dataset `name` of which it does not complain.

    `columns`: setting -> its name. Raises DataError for a column that no row has, and for an empty source.
    """
    found = []
    for row in with_columns(name, rows, columns):
        one = read(row, *columns.values(), bad)
        if row not in bad:
            found.append(one)
    if not (found or bad):
        raise DataError(f"{name}: the dataset is empty")
    return found


def with_columns(name: str, rows: Iterable[Row], asked: Mapping[str, str]) -> Iterator[Row]:
    """The rows. Raises DataError after the last for a column that a setting (key -> column) asks for and none of them has."""
    there: dict[str, None] = {}
    for row in rows:
        there |= dict.fromkeys(row.values)
        yield row
    for key, column in asked.items():
        if there and column not in there:
            raise DataError(f"{name}: {key}: no column {column!r}; there are {', '.join(map(repr, there))}")


def read_text(row: Row, field: str, bad: BadRows) -> str:
    """A text that is not blank; a complaint and an empty text for anything else, and for what would pass for a conversation."""
    value = row.values.get(field)
    if isinstance(value, str) and value.startswith(RECORD):
        bad.add(
            row, field, "it begins with U+001E, which no plain text does; write a conversation as a list of messages"
        )
        return ""
    if isinstance(value, str) and value.strip():
        return value
    bad.add(row, field, f"expected text, found {shown(value)}" if field in row.values else "no such column")
    return ""
