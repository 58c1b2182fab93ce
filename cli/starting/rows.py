"""The rows of small files, read before a run: a bad one is told before anything starts."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from labeling.importers.read_feedback import read_feedback
from labeling.sources.read_source import read_demonstrations, read_prompts, read_texts
from models.settings.generation import PromptsConfig
from models.settings.labels import FeedbackFiles, LabelKind
from models.settings.pipeline import PipelineConfig

MOST_BYTES = 32_000_000
"""Larger files take seconds to read: the run itself finds what is wrong with these."""


def require_rows(config: PipelineConfig, *, of_labels: bool = True, of_prompts: bool = True) -> None:
    """Raises DataError for what is wrong with the rows of files that a run reads, as it would."""
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder) / "rejected.jsonl"
        for labels in all_labels(config) if of_labels else ():
            if isinstance(labels, FeedbackFiles) and _is_small(labels.path):
                read_feedback(labels, config.split, config.seed, aside if labels.bad_rows == "set_aside" else None)
        for prompts in filter(None, (config.prompts if of_prompts else None, *_own_prompts(config))):
            if _is_small(getattr(prompts.source, "path", None)):
                read_prompts(prompts.source, config.seed, aside if prompts.bad_rows == "set_aside" else None)
    if config.sft is not None and _is_small(getattr(config.sft.source, "path", None)):
        read_demonstrations(config.sft.source, config.seed, None)
    if config.pretraining is not None and _is_small(getattr(config.pretraining.source, "path", None)):
        read_texts(config.pretraining.source, config.seed, None)


def all_labels(config: PipelineConfig) -> Iterator[LabelKind]:
    """Where rankings come from, those of the parts of a reward too."""
    yield config.labels
    yield from (part.labels for part in config.reward.made_of.values() if part.labels)


def _own_prompts(config: PipelineConfig) -> list[PromptsConfig | None]:
    return [tuning.prompts for tuning in config.tunings.values() if tuning is not None]


def _is_small(path: str | None) -> bool:
    """Whether this is a file, or a folder of files, that is read in a moment."""
    if path is None:
        return False
    place = Path(path)
    files = [place] if place.is_file() else place.iterdir()
    return sum(file.stat().st_size for file in files if file.is_file()) <= MOST_BYTES
