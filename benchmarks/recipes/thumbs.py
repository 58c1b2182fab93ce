"""Thumbs from rankings, for the recipes `thumbs` and `classifier` on files that hold rankings alone."""

from pathlib import Path

from labeling.importers.read_feedback import read_feedback
from models.records import Ranking, Rating, write_records
from models.settings.labels import FeedbackFiles
from models.settings.pipeline import PipelineConfig


def write_thumbs(config: PipelineConfig, folder: Path) -> set[str]:
    """The labels of the preset as a folder of ratings: up for what a person put first, down for what they put last, nothing for what stands
    between; nothing, too, of a ranking that ties all it holds. Prompts keep their side of the split. Gives back the names of those who gave any."""
    assert isinstance(config.labels, FeedbackFiles)
    read = read_feedback(config.labels, config.split, config.seed)
    folder.mkdir()
    write_records(folder / "prompts.jsonl", read.prompts)
    write_records(folder / "completions.jsonl", read.completions)
    said = {(one.completion_id, one.labeler): one for ranking in read.rankings for one in thumbs_of(ranking)}
    write_records(folder / "ratings.jsonl", said.values())
    return {one.labeler for one in said.values()}


def thumbs_of(ranking: Ranking) -> list[Rating]:
    """Ratings of the first and of the last; unusable ones are last."""
    groups = [*ranking.levels, ranking.unusable] if ranking.unusable else ranking.levels
    if len(groups) < 2:
        return []
    said = ((name, wanted) for group, wanted in ((groups[0], True), (groups[-1], False)) for name in group)
    return [Rating.of(ranking.prompt_id, name, ranking.labeler, ranking.criterion, wanted) for name, wanted in said]
