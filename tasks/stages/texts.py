"""Stages `texts` and `tuning-texts`: the raw text that pretraining reads, and the text that tuning mixes in."""

from labeling.sources.read_source import read_texts
from models.records import Artifact, Text, write_records
from models.settings.sources import TextSource
from tasks.running.stage import Work, stage


@stage("texts", kind="texts", unit="texts", reads_data=True)
def prepare_texts(work: Work, source: TextSource, feedback: Artifact | None, seed: int) -> int:
    """texts.jsonl, as the source gives them. Of feedback only what belongs to training prompts."""
    work.metrics["texts"] = _write_texts(work, source, feedback, seed)
    return work.metrics["texts"]


@stage("tuning-texts", kind="texts", unit="texts", reads_data=True)
def prepare_tuning_texts(work: Work, source: TextSource, feedback: Artifact | None, seed: int) -> int:
    """texts.jsonl, as the source gives them. Of feedback only what belongs to training prompts."""
    return _write_texts(work, source, feedback, seed)


def _write_texts(work: Work, source: TextSource, feedback: Artifact | None, seed: int) -> int:
    texts = read_texts(source, seed, feedback and feedback.folder)
    return write_records(work.folder / "texts.jsonl", (Text(text=text) for text in texts))
