"""Feedback from a file of completions that several annotators ranked or scored."""

import math
from pathlib import Path
from typing import Any, NamedTuple

from labeling.feedback import Feedback
from labeling.importers.annotated_rows import SidesOfSplit, chosen_rows, levels_of, session_of
from labeling.importers.annotated_table import read_annotated_table
from labeling.importers.bad_rows import BadRows, Row, shown
from labeling.importers.dialogue_rows import read_name, read_text
from models.records import Completion, Prompt, Ranking
from models.settings.labels import AnnotatedFile
from models.settings.pipeline import SplitConfig


def read(config: AnnotatedFile, split: SplitConfig, seed: int, bad: BadRows) -> Feedback:
    """One ranking for each annotator of each row (in CSV: of each prompt); bad rows go to `bad`.

    Rows with the same prompt share its record. In JSONL they share completions where their lists are equal, else the later list
    gets new indices; in CSV wherever texts are equal. Raises DataError for a file that cannot be read, and where no row is left.
    """
    sides = SidesOfSplit(config, split, seed)
    if Path(config.path).suffix == ".csv":
        return read_annotated_table(config, sides, bad)
    reader = _ListReader(config, sides, bad)
    for row in chosen_rows(config, bad):
        reader.take(row)
    return reader.feedback


class _Annotated(NamedTuple):
    text: str
    completions: tuple[str, ...]
    numbers: dict[str, list[Any]]  # labeler -> a rank or score for each completion


class _ListReader:
    """Gathers prompts, completions and rankings of rows that hold lists."""

    def __init__(self, config: AnnotatedFile, sides: SidesOfSplit, bad: BadRows):
        self.feedback = Feedback([], [], [])
        self._config = config
        self._sides = sides
        self._bad = bad
        self._prompts: dict[str, Prompt] = {}
        self._lists: dict[str, dict[tuple[str, ...], list[str]]] = {}
        self._said: dict[tuple[str, str], str] = {}

    def take(self, row: Row) -> None:
        """Adds a row: its prompt, its completions and one ranking per annotation; nothing of a bad row."""
        read = self._read(row)
        side = self._sides.side(row, read.text, self._bad)
        for labeler in read.numbers:
            if earlier := self._said.get((read.text, labeler)):
                by = self._config.criterion
                self._bad.add(row, "annotations", f"{labeler} ranked this prompt by {by} already, at {earlier}")
        if row in self._bad:
            return
        self._sides.keep(row, read.text, side)
        if read.text not in self._prompts:
            self._prompts[read.text] = Prompt.of(read.text, side)
            self.feedback.prompts.append(self._prompts[read.text])
        prompt = self._prompts[read.text]
        names = self._completions(prompt, read.completions)
        for labeler, numbers in read.numbers.items():
            levels = levels_of(names, numbers, self._config)
            self.feedback.rankings.append(Ranking.of(prompt.id, labeler, self._config.criterion, levels))
            self._said[read.text, labeler] = row.place

    def _read(self, row: Row) -> _Annotated:
        """What the row says, as far as it can be read; complaints about the rest."""
        text = read_text(row, "prompt", self._bad)
        texts = row.values.get("completions")
        if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
            self._bad.add(row, "completions", f"expected a list of texts, found {shown(texts)}")
            return _Annotated(text, (), {})
        if len(texts) < 2:
            self._bad.add(row, "completions", f"a ranking needs at least 2, found {len(texts)}")
        annotations = row.values.get("annotations")
        if not isinstance(annotations, list) or not annotations:
            found = f"expected a list with at least one annotation, found {shown(annotations)}"
            self._bad.add(row, "annotations", found)
            return _Annotated(text, tuple(texts), {})
        return _Annotated(text, tuple(texts), self._annotations(row, annotations, len(texts)))

    def _annotations(self, row: Row, annotations: list[Any], num_completions: int) -> dict[str, list[Any]]:
        said: dict[str, list[Any]] = {}
        session = session_of(row, self._config, self._bad)
        for number, annotation in enumerate(annotations):
            field = f"annotations.{number}"
            if not isinstance(annotation, dict) or "annotator" not in annotation:
                expected = f"expected {{annotator, {self._config.by}}}"
                self._bad.add(row, f"{field}.annotator", f"{expected}, found {shown(annotation)}")
                continue
            labeler = read_name(row, f"{field}.annotator", annotation["annotator"], self._bad) + session
            if labeler in said:
                self._bad.add(row, f"{field}.annotator", f"{labeler} stands twice in the row")
            said[labeler] = annotation.get(self._config.by)
            self._check_numbers(row, f"{field}.{self._config.by}", said[labeler], num_completions)
        return said

    def _check_numbers(self, row: Row, field: str, numbers: Any, num_completions: int) -> None:
        if not isinstance(numbers, list) or len(numbers) != num_completions:
            self._bad.add(row, field, f"expected {num_completions} {self._config.by}, found {shown(numbers)}")
            return
        by_ranks = self._config.by == "ranks"
        wrong = [one for one in numbers if not (_is_rank(one) if by_ranks else _is_score(one))]
        if wrong:
            expected = "whole numbers from 1 on" if by_ranks else "numbers"
            self._bad.add(row, field, f"expected {expected}, found {shown(wrong[0])}")

    def _completions(self, prompt: Prompt, texts: tuple[str, ...]) -> list[str]:
        lists = self._lists.setdefault(prompt.id, {})
        if texts not in lists:
            start = sum(len(one) for one in lists)
            made = [Completion.of(prompt.id, start + index, text) for index, text in enumerate(texts)]
            self.feedback.completions.extend(made)
            lists[texts] = [one.id for one in made]
        return lists[texts]


def _is_rank(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_score(value: Any) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))
