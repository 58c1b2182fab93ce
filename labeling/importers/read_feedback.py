"""Feedback from files, of any kind: what the other modules read, with one rule for bad rows."""

from pathlib import Path

from labeling.feedback import Feedback
from labeling.importers.annotated_file import read_annotated_file
from labeling.importers.bad_rows import BadRows
from labeling.importers.feedback_folder import read_feedback_folder
from labeling.importers.pair_file import read_pair_file
from labeling.importers.thumb_file import read_thumb_file
from labeling.label_studio.export import read_label_studio_export
from models.settings.labels import (
    AnnotatedFile,
    FeedbackFiles,
    FeedbackFolder,
    LabelStudioExport,
    PairFile,
    ThumbFile,
)
from models.settings.pipeline import SplitConfig


def read_feedback(config: FeedbackFiles, split: SplitConfig, seed: int, set_aside: Path | None = None) -> Feedback:
    """The feedback that the settings name. The same files always give the same records, with the same ids.

    With bad rows it raises DataError that lists them (the first 50) as `file:line: field: reason`, and nothing is read; given a
    file to set them aside in, it writes them there, one JSON object a line, and gives what fits without them. Where then nothing
    is left it raises all the same. `split` and `seed` decide the side of prompts whose side the files do not say.
    """
    bad = BadRows()
    feedback = _read(config, split, seed, bad)
    if bad and (set_aside is None or not (feedback.rankings or feedback.ratings)):
        bad.refuse(config.path)
    if bad:
        bad.write(set_aside)
    return feedback


def _read(config: FeedbackFiles, split: SplitConfig, seed: int, bad: BadRows) -> Feedback:
    match config:
        case FeedbackFolder():
            return read_feedback_folder(config, bad)
        case AnnotatedFile():
            return read_annotated_file(config, split, seed, bad)
        case PairFile():
            return read_pair_file(config, split, seed, bad)
        case ThumbFile():
            return read_thumb_file(config, split, seed, bad)
        case LabelStudioExport():
            return read_label_studio_export(config, split, seed, bad)
    raise TypeError(f"no reader for {type(config).__name__}")
