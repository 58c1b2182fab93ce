"""Writing tiny files and reading them, for the tests of every kind of feedback file."""

import json
from pathlib import Path

import pytest

from labeling.feedback import Feedback
from labeling.importers.read_feedback import read_feedback
from models.errors import DataError
from models.settings.labels import FeedbackFiles
from models.settings.pipeline import SplitConfig

SPLIT = SplitConfig()
SEED = 7


def write_lines(file: Path, rows) -> Path:
    """A JSON Lines file of the rows; a text is a line as it stands."""
    lines = (one if isinstance(one, str) else json.dumps(one) for one in rows)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def read(config: FeedbackFiles) -> Feedback:
    return read_feedback(config, SPLIT, SEED)


def refusal(config: FeedbackFiles) -> str:
    with pytest.raises(DataError) as caught:
        read(config)
    return str(caught.value)


def read_rest(config: FeedbackFiles, folder: Path) -> tuple[Feedback, list[dict]]:
    """What is left when bad rows are set aside, and the lines about these."""
    rejected = folder / "rejected.jsonl"
    feedback = read_feedback(config, SPLIT, SEED, set_aside=rejected)
    return feedback, [json.loads(line) for line in rejected.read_text(encoding="utf-8").splitlines()]
