"""Feedback from a file of thumbs: a yes or no to one completion of a prompt in each row."""

from pathlib import Path

from labeling.feedback import Feedback, ShownTexts, rankings_of_ratings
from labeling.importers.feedback_rows import feedback_rows
from labeling.importers.row_names import read_labeler
from labeling.sources.bad_rows import BadRows, Row, shown
from labeling.sources.exchanges import read_exchange
from labeling.sources.row_files import TABLES
from models.errors import DataError
from models.preferences.splits import assign_split
from models.records import Rating
from models.settings.labels import ThumbFile
from models.settings.pipeline import SplitConfig

_WORDS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def read(config: ThumbFile, split: SplitConfig, seed: int, bad: BadRows) -> Feedback:
    """A rating for each row, and the rankings that follow from several ratings of one prompt; bad rows go to `bad`.

    Prompts and completions are shared where their texts are equal; a labeler judges a completion of a prompt only once.
    Raises DataError for a file that cannot be read or holds no rows.
    """
    file = Path(config.place)
    texts, ratings = ShownTexts(), []
    seen: dict[tuple[str, str, str], int] = {}
    columns = config.columns
    for row in feedback_rows(config, ("prompt", "completion", "label"), bad):
        labeler, wanted = read_labeler(row, config, bad), _label(row, columns.label, bad)
        asked = read_exchange(row, columns.prompt, (columns.completion,), bad)
        if asked is None or row in bad:
            continue
        text, (reply,) = asked
        line = seen.setdefault((labeler, text, reply), row.line)
        if line != row.line:
            said = f"{labeler} judged this completion of this prompt already, at {file.name}:{line}"
            bad.add(row, columns.completion, said)
            continue
        prompt = texts.prompt(text, assign_split(text, split, seed))
        completion = texts.completion(prompt, reply)
        ratings.append(Rating.of(prompt.id, completion.id, labeler, config.criterion, wanted))
    if not (ratings or bad):
        raise DataError(f"{file}: it holds no rows")
    return Feedback(texts.prompts, texts.completions, rankings_of_ratings(ratings), tuple(ratings))


def _label(row: Row, column: str, bad: BadRows) -> bool:
    """True or 1, false or 0; in tables, where everything is text, the words for it."""
    value = row.values.get(column)
    if row.file.suffix in TABLES:
        value = _WORDS.get(str(value).lower(), value)
    if isinstance(value, bool | int | float) and value in (0, 1):
        return bool(value)
    expected = f"expected true or false, found {shown(value)}"
    bad.add(row, column, expected if column in row.values else "no such column")
    return False
