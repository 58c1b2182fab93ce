"""The names that a row says: who judged, and which system wrote what was judged."""

from typing import Any

from labeling.sources.bad_rows import BadRows, Row, shown
from models.labeler_names import why_no_name
from models.settings.labels import PairFile, ThumbFile


def read_labeler(row: Row, config: PairFile | ThumbFile, bad: BadRows) -> str:
    """Who said it: the name (a text or whole number) in the labeler column, or the one that the settings give."""
    if config.labeler_column is None:
        return config.labeler
    return read_name(row, config.labeler_column, row.values.get(config.labeler_column), bad)


def read_name(row: Row, field: str, value: Any, bad: BadRows) -> str:
    """A text, or the digits of a whole number; a complaint and an empty text for anything else, and for what looks like another name."""
    if type(value) is int:
        return str(value)
    reason = why_no_name(value) if isinstance(value, str) and value.strip() else "not a text"
    if not reason:
        return value
    found = f"found {shown(value)}" if reason == "not a text" else f"found {shown(value)}: {reason}"
    bad.add(row, field, f"expected a name, {found}")
    return ""


def read_optional_name(row: Row, column: str | None, bad: BadRows) -> str:
    """The name in a column that the settings may name; empty where they name none. A complaint where the row has no such column."""
    if column is None:
        return ""
    if column not in row.values:
        bad.add(row, column, "no such column, but the settings ask for it")
        return ""
    return read_name(row, column, row.values[column], bad)
