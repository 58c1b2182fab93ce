"""What both forms of annotated files share: which rows are taken, on which side of the split, and the order that numbers mean."""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from labeling.importers.feedback_rows import feedback_rows
from labeling.sources.bad_rows import BadRows, Row, shown
from labeling.sources.row_files import TABLES
from models.errors import DataError
from models.preferences.splits import assign_split
from models.records import Split
from models.settings.labels import AnnotatedFile
from models.settings.pipeline import SplitConfig

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


def chosen_rows(config: AnnotatedFile, bad: BadRows) -> Iterator[Row]:
    """The rows that `where` chooses. Raises DataError when none is left, or when they are by different criteria."""
    file = Path(config.place)
    num_rows = num_taken = 0
    criteria: set[str] = set()
    for row in feedback_rows(config, config.names, bad):
        num_rows += 1
        missing = [column for column in config.where if column not in row.values]
        for column in missing:
            bad.add(row, column, "no such column, but `where` asks for it")
        if not missing and all(str(row.values[column]) == value for column, value in config.where.items()):
            num_taken += 1
            criteria.add(str(row.values.get("criterion", config.criterion)))
            yield row
    if len(criteria) > 1:
        raise DataError(f"{file}: criterion: rows by {', '.join(sorted(criteria))} are mixed; choose one by `where`")
    if not num_taken and not bad:
        raise DataError(f"{file}: no row is left of {num_rows} after where {config.where}")


class SidesOfSplit:
    """On which side of the split each prompt stands: by the held-out column, else by its text."""

    def __init__(self, config: AnnotatedFile, split: SplitConfig, seed: int):
        self._config = config
        self._split = split
        self._seed = seed
        self._first: dict[str, tuple[Split, str]] = {}

    def side(self, row: Row, text: str, bad: BadRows) -> Split:
        """The side of this row's prompt. Complains of a column that holds no whole number or contradicts an earlier row."""
        column = self._config.held_out_column
        if column is None:
            return assign_split(text, self._split, self._seed)
        number = row.values.get(column)
        if row.file.suffix in TABLES and isinstance(number, str) and _WHOLE.fullmatch(number):
            number = int(number)
        if type(number) is not int:
            bad.add(row, column, f"expected a whole number, found {shown(number)}")
            return "train"
        is_held_out = number % self._config.held_out_modulus < self._config.held_out_below
        rest = SplitConfig(validation=self._split.validation, test=0)
        side: Split = "test" if is_held_out else assign_split(text, rest, self._seed)
        first, place = self._first.get(text, (side, ""))
        if first != side:
            bad.add(row, column, f"makes the prompt {side}, but the same text is {first} at {place}")
        return side

    def keep(self, row: Row, text: str, side: Split) -> None:
        """Notes that a row which was taken put the prompt there."""
        self._first.setdefault(text, (side, row.place))


def levels_of(names: Sequence[str], numbers: Sequence, config: AnnotatedFile) -> list[list[str]]:
    """From best to worst: rank 1, or the highest score, first; equal numbers tie. A name that stands there twice has their mean."""
    given: dict[str, list[Fraction]] = {}
    for name, number in zip(names, numbers, strict=True):
        given.setdefault(name, []).append(Fraction(number))
    found: dict[Fraction, list[str]] = {}
    for name, of_name in given.items():
        found.setdefault(sum(of_name) / len(of_name), []).append(name)
    return [found[number] for number in sorted(found, reverse=config.by == "scores")]
