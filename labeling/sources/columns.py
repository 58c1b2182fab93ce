"""The named columns of rows, as texts that stand as they were written."""

from collections.abc import Iterable, Iterator, Mapping

from labeling.sources.bad_rows import BadRows, Row, shown
from models.errors import DataError


def read_columns(name: str, rows: Iterable[Row], columns: Mapping[str, str], bad: BadRows) -> list[tuple[str, ...]]:
    """The columns (setting -> its name) of each row of the file or dataset `name`; a row in which one holds no text goes to `bad`.

    Raises DataError for a column that no row has, and for an empty source.
    """
    read = []
    for row in with_columns(name, rows, columns):
        texts = tuple(read_text(row, column, bad) for column in columns.values())
        if row not in bad:
            read.append(texts)
    if not (read or bad):
        raise DataError(f"{name}: the dataset is empty")
    return read


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
    """A text that is not blank; a complaint and an empty text for anything else."""
    value = row.values.get(field)
    if isinstance(value, str) and value.strip():
        return value
    bad.add(row, field, f"expected text, found {shown(value)}" if field in row.values else "no such column")
    return ""
