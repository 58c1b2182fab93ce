"""Feedback from a file of texts that people put into classes: counts of votes, or a class in each row."""

import re
from collections import Counter

from labeling.feedback import Feedback, ShownTexts
from labeling.importers.feedback_rows import rows_with
from labeling.sources.bad_rows import BadRows, Row, shown
from labeling.sources.columns import read_text
from labeling.sources.exchanges import read_exchange
from labeling.sources.row_files import TABLES
from models.class_votes import ClassVotes
from models.errors import DataError
from models.preferences.splits import assign_split
from models.settings.labels import ClassVoteFile
from models.settings.pipeline import SplitConfig

_COUNT = re.compile(r"[0-9]{1,9}(\.0{1,9})?")


def read(config: ClassVoteFile, split: SplitConfig, seed: int, bad: BadRows) -> Feedback:
    """The votes of each different text (of a prompt), those of all its rows together; bad rows go to `bad`.

    The prompt decides the side of the split; of texts without one, the text. Raises DataError for a file that cannot be read or holds no rows.
    """
    votes: dict[tuple[str | None, str], Counter[str]] = {}
    for row in rows_with(config, _columns(config), bad):
        key, said = _text(row, config, bad), _votes(row, config, bad)
        if row not in bad:
            votes.setdefault(key, Counter()).update(said)
    if not (votes or bad):
        raise DataError(f"{config.place}: it holds no rows")
    texts = ShownTexts()
    counted = []
    for (prompt, text), found in votes.items():
        side = assign_split(text if prompt is None else prompt, split, seed)
        if prompt is not None:
            texts.prompt(prompt, side)
        counted.append(ClassVotes(prompt=prompt, text=text, split=side, votes=dict(sorted(found.items()))))
    return Feedback(texts.prompts, [], [], class_votes=counted)


def _columns(config: ClassVoteFile) -> dict[str, str]:
    """Setting -> the column that it asks for."""
    asked = {"columns.text": config.columns.text} | {f"votes.{name}": column for name, column in config.votes.items()}
    if config.columns.prompt is not None:
        asked["columns.prompt"] = config.columns.prompt
    if config.class_column is not None:
        asked["class_column"] = config.class_column
    return asked


def _text(row: Row, config: ClassVoteFile, bad: BadRows) -> tuple[str | None, str]:
    """(prompt, text); without a prompt the text stands as it is."""
    columns = config.columns
    if columns.prompt is None:
        return None, read_text(row, columns.text, bad)
    found = read_exchange(row, columns.prompt, (columns.text,), bad)
    return (found[0], found[1][0]) if found else ("", "")


def _votes(row: Row, config: ClassVoteFile, bad: BadRows) -> dict[str, int]:
    """Class -> number of votes, none of which is 0."""
    if config.class_column is not None:
        name = _class(row, config, bad)
        return {name: 1} if name else {}
    found = {name: _count(row, column, bad) for name, column in config.votes.items()}
    if not any(found.values()) and row not in bad:
        bad.add(row, "", f"nobody voted: {', '.join(config.votes.values())} are all 0")
    return {name: count for name, count in found.items() if count}


def _count(row: Row, column: str, bad: BadRows) -> int:
    value = row.values.get(column)
    if row.file.suffix in TABLES and isinstance(value, str) and _COUNT.fullmatch(value):
        value = float(value)
    if type(value) in (int, float) and value >= 0 and value == int(value):
        return int(value)
    expected = f"expected a number of votes, found {shown(value)}"
    bad.add(row, column, expected if column in row.values else "no such column")
    return 0


def _class(row: Row, config: ClassVoteFile, bad: BadRows) -> str:
    column = config.class_column
    value = row.values.get(column)
    written = str(value) if type(value) in (str, int, bool) else ""
    if not written.strip():
        expected = f"expected a class, found {shown(value)}"
        bad.add(row, column, expected if column in row.values else "no such column")
        return ""
    if not config.names:
        return written
    if written not in config.names:
        bad.add(row, column, f"expected one of {', '.join(config.names)}; found {shown(value)}")
    return config.names.get(written, "")
