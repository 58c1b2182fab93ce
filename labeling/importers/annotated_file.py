"""Feedback from a file of completions that several annotators ranked or scored."""

import math
from typing import Any, NamedTuple

from labeling.feedback import Feedback, ShownTexts
from labeling.importers.annotated_rows import SidesOfSplit, chosen_rows, levels_of
from labeling.importers.annotated_table import read_annotated_table
from labeling.importers.row_names import read_name, read_optional_name
from labeling.sources.bad_rows import BadRows, Row, shown
from labeling.sources.exchanges import read_prompt
from models.records import Ranking
from models.settings.labels import AnnotatedFile
from models.settings.pipeline import SplitConfig


def read(config: AnnotatedFile, split: SplitConfig, seed: int, bad: BadRows) -> Feedback:
    """One ranking for each annotator of each row (in CSV: of each prompt); bad rows go to `bad`.

    Rows with the same prompt share its record, and completions wherever texts are equal. An annotator may rank several different sets
    of completions of a prompt, the same set once in a session. Raises DataError for a file that cannot be read, and where no row is left.
    """
    sides = SidesOfSplit(config, split, seed)
    if config.is_table:
        return read_annotated_table(config, sides, bad)
    reader = _ListReader(config, sides, bad)
    for row in chosen_rows(config, bad):
        reader.take(row)
    return reader.feedback


class _Annotated(NamedTuple):
    text: str
    completions: tuple[str, ...]
    systems: tuple[str, ...]  # one a completion, or none
    numbers: dict[str, list[Any]]  # labeler -> a rank or score for each completion


class _ListReader:
    """Gathers prompts, completions and rankings of rows that hold lists."""

    def __init__(self, config: AnnotatedFile, sides: SidesOfSplit, bad: BadRows):
        self._config = config
        self._sides = sides
        self._bad = bad
        self._columns = config.columns
        self._texts = ShownTexts()
        self._rankings: list[Ranking] = []
        self._said: dict[tuple[str, str, str, frozenset[str]], str] = {}

    @property
    def feedback(self) -> Feedback:
        """Of all good rows that were taken."""
        texts = self._texts
        return Feedback(texts.prompts, texts.completions, self._rankings, systems=texts.systems)

    def take(self, row: Row) -> None:
        """Adds a row: its prompt, its completions and one ranking per annotation; nothing of a bad row."""
        read = self._read(row)
        side = self._sides.side(row, read.text, self._bad)
        session = read_optional_name(row, self._config.session_column, self._bad)
        keys = {labeler: (read.text, labeler, session, frozenset(read.completions)) for labeler in read.numbers}
        for labeler, key in keys.items():
            if earlier := self._said.get(key):
                said = f"{labeler} ranked these completions of this prompt by {self._config.criterion} already, at {earlier}"
                self._bad.add(row, self._columns.annotations, said)
        if row in self._bad:
            return
        self._sides.keep(row, read.text, side)
        prompt = self._texts.prompt(read.text, side)
        completions = [self._texts.completion(prompt, text) for text in read.completions]
        for completion, system in zip(completions, read.systems, strict=False):
            self._texts.wrote(completion, system)
        names = [one.id for one in completions]
        for labeler, numbers in read.numbers.items():
            levels = levels_of(names, numbers, self._config)
            ranking = Ranking.of(prompt.id, labeler, self._config.criterion, levels, session=session)
            self._rankings.append(ranking)
            self._said[keys[labeler]] = row.place

    def _read(self, row: Row) -> _Annotated:
        """What the row says, as far as it can be read; complaints about the rest."""
        columns = self._columns
        text = read_prompt(row, columns.prompt, self._bad)
        texts = row.values.get(columns.completions)
        if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
            self._bad.add(row, columns.completions, f"expected a list of texts, found {shown(texts)}")
            return _Annotated(text, (), (), {})
        if len(texts) < 2:
            self._bad.add(row, columns.completions, f"a ranking needs at least 2, found {len(texts)}")
        annotations = row.values.get(columns.annotations)
        if not isinstance(annotations, list) or not annotations:
            found = f"expected a list with at least one annotation, found {shown(annotations)}"
            self._bad.add(row, columns.annotations, found)
            return _Annotated(text, tuple(texts), (), {})
        return _Annotated(text, tuple(texts), self._systems(row, texts), self._annotations(row, annotations, texts))

    def _systems(self, row: Row, texts: list[str]) -> tuple[str, ...]:
        column = self._config.systems_column
        if column is None:
            return ()
        systems = row.values.get(column)
        if not isinstance(systems, list) or len(systems) != len(texts):
            self._bad.add(row, column, f"expected a list of {len(texts)} names, found {shown(systems)}")
            return ()
        return tuple(read_name(row, f"{column}.{place}", one, self._bad) for place, one in enumerate(systems))

    def _annotations(self, row: Row, annotations: list[Any], texts: list[str]) -> dict[str, list[Any]]:
        said: dict[str, list[Any]] = {}
        for number, annotation in enumerate(annotations):
            field = f"{self._columns.annotations}.{number}"
            if not isinstance(annotation, dict) or "annotator" not in annotation:
                expected = f"expected {{annotator, {self._config.by}}}"
                self._bad.add(row, f"{field}.annotator", f"{expected}, found {shown(annotation)}")
                continue
            labeler = read_name(row, f"{field}.annotator", annotation["annotator"], self._bad)
            if labeler in said:
                self._bad.add(row, f"{field}.annotator", f"{labeler} stands twice in the row")
            said[labeler] = annotation.get(self._config.by)
            self._check_numbers(row, f"{field}.{self._config.by}", said[labeler], texts)
        return said

    def _check_numbers(self, row: Row, field: str, numbers: Any, texts: list[str]) -> None:
        if not isinstance(numbers, list) or len(numbers) != len(texts):
            self._bad.add(row, field, f"expected {len(texts)} {self._config.by}, found {shown(numbers)}")
            return
        by_ranks = self._config.by == "ranks"
        wrong = [one for one in numbers if not (_is_rank(one) if by_ranks else _is_score(one))]
        if wrong:
            expected = "whole numbers from 1 on" if by_ranks else "numbers"
            self._bad.add(row, field, f"expected {expected}, found {shown(wrong[0])}")
            return
        first: dict[str, int] = {}
        for place, (text, number) in enumerate(zip(texts, numbers, strict=True)):
            earlier = first.setdefault(text, place)
            if numbers[earlier] != number and self._config.identical_texts == "refuse":
                both = f"completions.{earlier} and completions.{place} are one text, but have {numbers[earlier]} and {number}"
                self._bad.add(row, field, f"{both}; identical_texts=mean takes the mean")


def _is_rank(value: Any) -> bool:
    return (type(value) is int or (type(value) is float and value.is_integer())) and value >= 1


def _is_score(value: Any) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))
