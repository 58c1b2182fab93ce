"""Stage `pairs`: each agreed order becomes C(K,2) preference pairs."""

from models.errors import DataError
from models.preferences.pairs import make_pairs
from models.records import Artifact, Completion, Consensus, read_records, write_records
from models.settings.pipeline import PairsConfig
from tasks.running.stage import Work, stage


@stage("pairs", kind="pairs", unit="pairs")
def convert_to_pairs(work: Work, config: PairsConfig, consensus: Artifact, feedback: Artifact) -> int:
    """pairs.jsonl, the preferred completion first. What was dropped is counted in the stage's numbers."""
    pairs, report = make_pairs(
        read_records(consensus.folder / "consensus.jsonl", Consensus),
        read_records(feedback.folder / "completions.jsonl", Completion),
        config,
    )
    if not pairs:
        raise DataError("the rankings give no pair: every prompt is tied, unusable or of identical texts throughout")
    work.metrics |= {f"pairs_{name}": value for name, value in report.model_dump().items()}
    return write_records(work.folder / "pairs.jsonl", pairs)
