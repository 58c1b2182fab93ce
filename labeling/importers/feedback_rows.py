"""The rows of feedback, in whatever place they are and whatever it calls its columns."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from labeling.sources.bad_rows import BadRows, Row
from labeling.sources.columns import with_columns
from labeling.sources.hub import dataset_rows
from labeling.sources.row_files import read_rows
from models.settings.labels import AnnotatedFile, FeedbackRows, PairFile, ThumbFile


def feedback_rows(config: AnnotatedFile | PairFile | ThumbFile, needed: Sequence[str], bad: BadRows) -> Iterator[Row]:
    """The rows in order. Raises DataError for a column that no row has: one of the `needed` ones, or one that the settings rename."""
    asked = {f"columns.{name}": own for name, own in config.columns if name in needed or own != name}
    return rows_with(config, asked, bad)


def rows_with(config: FeedbackRows, asked: Mapping[str, str], bad: BadRows) -> Iterator[Row]:
    """The rows in order. Raises DataError for a column that a setting (key -> column) asks for and that no row has."""
    rows = dataset_rows(config.dataset) if config.dataset else read_rows(Path(config.place), bad)
    return with_columns(config.place, rows, asked)
