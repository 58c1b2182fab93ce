"""Feedback from a file of preferences: two completions of a prompt, the chosen one and the rejected one, in each row."""

from pathlib import Path
from typing import NamedTuple

from labeling.feedback import Feedback, ShownTexts
from labeling.importers.bad_rows import BadRows, Row
from labeling.importers.dialogue_rows import read_dialogue, read_labeler
from labeling.importers.row_files import read_rows
from models.errors import DataError
from models.preferences.splits import assign_split
from models.records import Ranking
from models.settings.labels import PairFile
from models.settings.pipeline import SplitConfig


class _Preference(NamedTuple):
    labeler: str
    prompt: str
    chosen: str
    rejected: str


def read(config: PairFile, split: SplitConfig, seed: int, bad: BadRows) -> Feedback:
    """A ranking of two for each row, prompts and completions shared where their texts are equal; bad rows go to `bad`.

    A labeler may choose between several different pairs of one prompt, but between the same two only once.
    Raises DataError for a file that cannot be read or holds no rows.
    """
    file = Path(config.path)
    texts, rankings = ShownTexts(), []
    said: dict[tuple[str, str, frozenset[str]], tuple[int, str]] = {}
    for row in read_rows(file, bad):
        one = _preference(row, config, bad)
        if one is None:
            continue
        key = (one.labeler, one.prompt, frozenset((one.chosen, one.rejected)))
        line, chosen = said.setdefault(key, (row.line, one.chosen))
        if line != row.line:
            what = "the same" if chosen == one.chosen else "the opposite"
            bad.add(row, "chosen", f"{one.labeler} said {what} of these two already, at {file.name}:{line}")
            continue
        prompt = texts.prompt(one.prompt, assign_split(one.prompt, split, seed))
        levels = [[texts.completion(prompt, text).id] for text in (one.chosen, one.rejected)]
        rankings.append(Ranking.of(prompt.id, one.labeler, config.criterion, levels))
    if not (rankings or bad):
        raise DataError(f"{file}: it holds no rows")
    return Feedback(texts.prompts, texts.completions, rankings)


def _preference(row: Row, config: PairFile, bad: BadRows) -> _Preference | None:
    labeler = read_labeler(row, config, bad)
    asked = read_dialogue(row, ("chosen", "rejected"), bad)
    if asked is None or row in bad:
        return None
    prompt, (chosen, rejected) = asked
    if chosen.strip() == rejected.strip():
        bad.add(row, "rejected", "it is the same text as chosen (outer white space does not count)")
        return None
    return _Preference(labeler, prompt, chosen, rejected)
