"""Feedback from a file of preferences: two completions of a prompt, the chosen one and the rejected one, in each row."""

import math
from pathlib import Path
from typing import NamedTuple

from labeling.feedback import Feedback, ShownTexts
from labeling.importers.feedback_rows import feedback_rows
from labeling.importers.row_names import read_labeler, read_optional_name
from labeling.sources.bad_rows import BadRows, Row, shown
from labeling.sources.exchanges import read_exchange
from models.degrees import DEGREES, Degree
from models.errors import DataError
from models.preferences.splits import assign_split
from models.records import Ranking
from models.settings.labels import PairFile
from models.settings.pipeline import SplitConfig

DEGREE_COLUMN = "degree"


class _Preference(NamedTuple):
    labeler: str
    prompt: str
    levels: tuple[tuple[str, ...], ...]
    degree: Degree | None
    systems: dict[str, str]  # text -> who wrote it

    def same_as(self, other: "_Preference") -> bool:
        """Whether both put the same first, by the same degree, or tie the same."""
        mine, others = ([set(level) for level in one.levels] for one in (self, other))
        return mine == others and self.degree == other.degree


def read(config: PairFile, split: SplitConfig, seed: int, bad: BadRows) -> Feedback:
    """A ranking of two for each row, prompts and completions shared where their texts are equal; bad rows go to `bad`.

    A labeler may choose between several different pairs of one prompt, but between the same two only once.
    Raises DataError for a file that cannot be read or holds no rows.
    """
    file = Path(config.place)
    texts, rankings = ShownTexts(), []
    said: dict[tuple[str, str, frozenset[str]], tuple[int, _Preference]] = {}
    for row in feedback_rows(config, ("chosen", "rejected"), bad):
        one = _preference(row, config, bad)
        if one is None:
            continue
        key = (one.labeler, one.prompt, frozenset(text for level in one.levels for text in level))
        line, earlier = said.setdefault(key, (row.line, one))
        if line != row.line:
            what = "the same" if earlier.same_as(one) else "something else"
            bad.add(
                row, config.columns.chosen, f"{one.labeler} said {what} of these two already, at {file.name}:{line}"
            )
            continue
        prompt = texts.prompt(one.prompt, assign_split(one.prompt, split, seed))
        levels = [[texts.completion(prompt, text).id for text in level] for level in one.levels]
        for text, system in one.systems.items():
            texts.wrote(texts.completion(prompt, text), system)
        rankings.append(Ranking.of(prompt.id, one.labeler, config.criterion, levels, degree=one.degree))
    if not (rankings or bad):
        raise DataError(f"{file}: it holds no rows")
    return Feedback(texts.prompts, texts.completions, rankings, systems=texts.systems)


def _preference(row: Row, config: PairFile, bad: BadRows) -> _Preference | None:
    labeler = read_labeler(row, config, bad)
    columns = (config.columns.chosen, config.columns.rejected)
    prompt_column = config.columns.prompt if config.columns.prompt in row.values else None
    asked = read_exchange(row, prompt_column, columns, bad)
    said = _levels(row, config, bad)
    degree = _degree(row, config, bad)
    systems = [read_optional_name(row, one, bad) for one in (config.first_system_column, config.second_system_column)]
    if degree is not None and len(said) == 1:
        bad.add(
            row, config.degree_column or DEGREE_COLUMN, "neither is better, so that there is no degree; leave it empty"
        )
    if asked is None or row in bad:
        return None
    prompt, replies = asked
    if replies[0].strip() == replies[1].strip():
        same = f"it is the same text as {columns[0]} (outer white space does not count)"
        bad.add(row, columns[1], same)
        return None
    levels = tuple(tuple(replies[place] for place in level) for level in said)
    return _Preference(labeler, prompt, levels, degree, dict(zip(replies, systems, strict=True)))


def _levels(row: Row, config: PairFile, bad: BadRows) -> list[list[int]]:
    """The places of the two, best level first."""
    column = config.winner_column
    if column is None:
        column = next((one for one in ("winner", "label") if one in row.values), "")
    if not column:
        return [[0], [1]]
    if column not in row.values:
        bad.add(row, column, "no such column, but `winner_column` asks for it")
        return []
    written = str(row.values[column]).strip().lower()
    probability = _number(written)
    if 0 < probability < 1 and probability != 0.5:  # that the first is better, as in files of soft labels
        return [[0], [1]] if probability > 0.5 else [[1], [0]]
    meanings = {"first_wins": [[0], [1]], "second_wins": [[1], [0]], "tie": [[0, 1]]}
    for name, levels in meanings.items():
        if written in [word.lower() for word in getattr(config, name)]:
            return levels
    known = "; ".join(f"{name}: {', '.join(getattr(config, name))}" for name in meanings)
    bad.add(row, column, f"expected one of {known}; found {shown(row.values[column])}")
    return []


def _degree(row: Row, config: PairFile, bad: BadRows) -> Degree | None:
    """By how much the better one is better; None where the row does not say."""
    column = DEGREE_COLUMN if config.degree_column is None else config.degree_column
    if column and config.degree_column and column not in row.values:
        bad.add(row, column, "no such column, but `degree_column` asks for it")
    value = row.values.get(column)
    if value in (None, ""):
        return None
    written = "_".join(str(value).lower().replace("_", " ").split())
    for degree in DEGREES:
        if written in (degree, degree.removesuffix("_better")):
            return degree
    bad.add(row, column, f"expected one of {', '.join(DEGREES)}; found {shown(value)}")
    return None


def _number(written: str) -> float:
    try:
        return float(written)
    except ValueError:
        return math.nan
