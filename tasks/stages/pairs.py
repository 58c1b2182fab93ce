"""Stages `pairs`, `own-pairs` and `drawn-pairs`: each agreed order becomes C(K,2) preference pairs; so do each labeler's own, and those of
draws of the labelers."""

from collections.abc import Sequence

from models.errors import DataError
from models.plain_text import plain
from models.preferences.bootstrap import bootstrap_pairs
from models.preferences.pairs import make_own_pairs, make_pairs
from models.records import Artifact, Completion, Consensus, Pair, Prompt, Ranking, read_records, write_records
from models.settings.pipeline import ConsensusConfig, PairsConfig
from tasks.running.stage import Work, stage


@stage(
    "pairs",
    kind="pairs",
    unit="pairs",
    reads={"consensus": ("consensus.jsonl",), "feedback": ("prompts.jsonl", "completions.jsonl")},
)
def convert_to_pairs(
    work: Work, config: PairsConfig, consensus: Artifact, feedback: Artifact, needed: bool = True
) -> int:
    """pairs.jsonl, the preferred completion first. What was dropped is counted in the stage's numbers.

    Raises DataError where they are `needed`, and nothing could be learned from them, or nothing could tell what has been learned.
    """
    pairs, report = make_pairs(
        read_records(consensus.folder / "consensus.jsonl", Consensus),
        read_records(feedback.folder / "completions.jsonl", Completion),
        config,
    )
    if needed:
        _require_use(pairs, read_records(feedback.folder / "prompts.jsonl", Prompt))
    work.metrics |= {f"pairs_{name}": value for name, value in report.model_dump().items()}
    return write_records(work.folder / "pairs.jsonl", pairs)


def _require_use(pairs: Sequence[Pair], prompts: Sequence[Prompt]) -> None:
    if not pairs:
        raise DataError("the rankings give no pair: every prompt is tied, unusable or of identical texts throughout")
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


@stage(
    "own-pairs",
    kind="own-pairs",
    unit="pairs",
    reads={"feedback": ("completions.jsonl", "rankings.jsonl")},
)
def convert_own_rankings(work: Work, config: PairsConfig, feedback: Artifact) -> int:
    """own_pairs.jsonl: the pairs of each labeler's own rankings, whatever others say."""
    rankings = read_records(feedback.folder / "rankings.jsonl", Ranking)
    completions = read_records(feedback.folder / "completions.jsonl", Completion)
    return write_records(work.folder / "own_pairs.jsonl", make_own_pairs(rankings, completions, config))


@stage(
    "drawn-pairs",
    kind="drawn-pairs",
    unit="pairs",
    reads={"feedback": ("prompts.jsonl", "completions.jsonl", "rankings.jsonl")},
)
def draw_labelers(
    work: Work, num_draws: int, consensus: ConsensusConfig, pairs: PairsConfig, feedback: Artifact, seed: int
) -> int:
    """A file of pairs for each draw of the labelers who ranked completions of training prompts; gives back the pairs of all draws."""
    prompts = read_records(feedback.folder / "prompts.jsonl", Prompt)
    training = {one.id for one in prompts if one.split == "train"}
    rankings = read_records(feedback.folder / "rankings.jsonl", Ranking)
    draws = bootstrap_pairs(
        [one for one in rankings if one.prompt_id in training],
        read_records(feedback.folder / "completions.jsonl", Completion),
        num_draws,
        seed,
        consensus,
        pairs,
    )
    rows = []
    for number, draw in enumerate(draws, start=1):
        write_records(work.folder / f"pairs-{number:03}.jsonl", draw.pairs)
        people = ", ".join(f"{plain(labeler)} x {times}" for labeler, times in draw.times.items())
        rows.append(f"| {number} | {people} | {len(draw.pairs)} |")
    work.note("| draw | labelers | pairs |\n|---|---|---|\n" + "\n".join(rows))
    return sum(len(draw.pairs) for draw in draws)
