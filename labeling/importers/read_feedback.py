"""Feedback from files, of any kind, with one rule for bad rows.

The module of a kind offers `read(settings, split, seed, bad) -> Feedback`: what fits, while what does not goes to `bad`.
"""

from pathlib import Path

from labeling.feedback import Feedback, in_order
from labeling.sources.bad_rows import BadRows
from models.settings.labels import FeedbackFiles
from models.settings.pipeline import SplitConfig


def read_feedback(config: FeedbackFiles, split: SplitConfig, seed: int, set_aside: Path | None = None) -> Feedback:
    """The feedback that the settings name. The same texts and the same answers give the same records with the same ids, in the same
    order, whatever the order of rows and lists.

    With bad rows it raises DataError that lists them (the first 50) as `file:line: field: reason`, and nothing is read; given a
    file to set them aside in, it writes them there, one JSON object a line, and gives what fits without them. Where then nothing
    is left it raises all the same. `split` and `seed` decide the side of prompts whose side the files do not say.
    """
    bad = BadRows()
    feedback = config.load_module().read(config, split, seed, bad)
    bad.refuse_or_write(config.place, set_aside, bool(feedback.rankings or feedback.ratings or feedback.class_votes))
    return in_order(feedback)
