"""Stage `texts`: the raw text that pretraining reads."""

from models.records import Artifact, Text, write_records
from models.settings.sources import TextSource
from labeling.sources.columns import read_texts
from tasks.running.stage import Work, stage


@stage("texts", kind="texts")
def prepare_texts(work: Work, source: TextSource, feedback: Artifact | None, seed: int) -> int:
    """texts.jsonl, as the source gives them. Of feedback only what belongs to training prompts."""
    texts = [Text(text=text) for text in read_texts(source, seed, feedback)]
    work.metrics["texts"] = len(texts)
    return write_records(work.folder / "texts.jsonl", texts)
