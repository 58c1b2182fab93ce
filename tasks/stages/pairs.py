"""Stage `pairs`: each agreed order becomes C(K,2) preference pairs."""

from models.errors import DataError
from models.preferences.pairs import make_pairs
from models.records import Artifact, Completion, Consensus, Prompt, read_records, write_records
from models.settings.pipeline import PairsConfig
from tasks.running.stage import Work, stage


@stage(
    "pairs",
    kind="pairs",
    unit="pairs",
    reads={"consensus": ("consensus.jsonl",), "feedback": ("prompts.jsonl", "completions.jsonl")},
)
def convert_to_pairs(work: Work, config: PairsConfig, consensus: Artifact, feedback: Artifact) -> int:
    """pairs.jsonl, the preferred completion first. What was dropped is counted in the stage's numbers.

    Raises DataError where nothing could be learned from the pairs, or nothing could tell what has been learned.
    """
    pairs, report = make_pairs(
        read_records(consensus.folder / "consensus.jsonl", Consensus),
        read_records(feedback.folder / "completions.jsonl", Completion),
        config,
    )
    if not pairs:
        raise DataError("the rankings give no pair: every prompt is tied, unusable or of identical texts throughout")
    prompts = read_records(feedback.folder / "prompts.jsonl", Prompt)
    held_out = {one.id for one in prompts if one.split == "test"}
    if not any(pair.label > 0.5 and pair.prompt_id in held_out for pair in pairs):
        raise DataError(
            f"no strict pair is of a held-out prompt ({len(held_out)} of {len(prompts)} prompts are held out), "
            "so that nothing could tell how good a reward model is; hold more out, see split"
        )
    if all(pair.prompt_id in held_out for pair in pairs):
        raise DataError(
            "every pair is of a held-out prompt, so that there is none to learn from; hold fewer out, see split"
        )
    work.metrics |= {f"pairs_{name}": value for name, value in report.model_dump().items()}
    return write_records(work.folder / "pairs.jsonl", pairs)
