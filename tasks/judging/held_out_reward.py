"""Stages `held-out-pairs` and `held-out-reward`: a reward model that judges, of prompts and people that nothing else learns from."""

from models.errors import DataError
from models.preferences.consensus import agree
from models.preferences.pairs import make_pairs
from models.records import Artifact, Completion, Prompt, Ranking, read_records, write_records
from models.settings.compute import Compute
from models.settings.pipeline import ConsensusConfig, PairsConfig
from models.settings.rewards import Reward
from tasks.running.stage import Work, stage
from tasks.running.torch_ranks import run_training

FILES = ("prompts.jsonl", "completions.jsonl", "rankings.jsonl")
SEED_OFFSET = 1  # else it would begin with the head of the reward that the policy is tuned on


@stage("held-out-pairs", kind="held-out-pairs", unit="pairs", reads={"feedback": FILES})
def hold_pairs_back(
    work: Work, consensus: ConsensusConfig, pairs: PairsConfig, held_out_labelers: tuple[str, ...], feedback: Artifact
) -> int:
    """What the judge learns from, and what tells how good it is: the files of a feedback snapshot with sides of its own, and pairs.jsonl.

    It learns from held-out prompts (validation and test prompts of everything else), by held-out labelers alone where there are some;
    how good it is, is seen on training prompts, by the other labelers. (`test` and `train` below are the sides for the judge.)
    rankings.jsonl holds both, by the side of their prompts.
    Raises DataError where that leaves no strict pair to learn from.
    """
    prompts = read_records(feedback.folder / "prompts.jsonl", Prompt)
    completions = read_records(feedback.folder / "completions.jsonl", Completion)
    rankings = read_records(feedback.folder / "rankings.jsonl", Ranking, may_be_missing=True)
    seen = {one.id for one in prompts if one.split == "train"}
    learned = [
        one
        for one in rankings
        if one.prompt_id not in seen and (one.labeler in held_out_labelers or not held_out_labelers)
    ]
    told = [one for one in rankings if one.prompt_id in seen and one.labeler not in held_out_labelers]
    made = make_pairs(agree(learned, consensus)[0], completions, pairs)[0] if learned else []
    if not any(pair.label > 0.5 for pair in made):
        raise DataError(
            f"evaluation.judges: held_out_reward has no strict pair to learn from: {len(learned)} rankings are of held-out "
            f"prompts{' by consensus.held_out_labelers' if held_out_labelers else ''}; hold more out, or take another judge"
        )
    sides = [one.model_copy(update={"split": "test" if one.id in seen else "train"}) for one in prompts]
    write_records(work.folder / "prompts.jsonl", sides)
    write_records(work.folder / "completions.jsonl", completions)
    write_records(work.folder / "rankings.jsonl", [*learned, *told])
    work.metrics["held_out_reward_rankings"] = len(learned)
    work.metrics["held_out_reward_labelers"] = len({one.labeler for one in learned})
    work.metrics["held_out_reward_by_other_people"] = bool(held_out_labelers)
    return write_records(work.folder / "pairs.jsonl", made)


@stage("held-out-reward", kind="held-out-reward", unit="steps")
def train_held_out_reward(
    work: Work, config: Reward, base: Artifact, held_back: Artifact, compute: Compute, seed: int
) -> int:
    """A folder `model/` with the judge; how often it agrees with people whom, on prompts which, it has not learned from."""
    from models.evaluation.reward_report import accuracy_by_preferences
    from models.rewards.scorer import load_scorer
    from models.stages import reward

    inputs = {
        "base": base,
        "feedback": held_back,
        "pairs": held_back,
        "rankings": held_back,
        "seed": seed + SEED_OFFSET,
    }
    steps = run_training(work, reward.train, config, compute, **inputs)
    accuracy, num_preferences = accuracy_by_preferences(
        load_scorer(work.folder / "model", compute).score,
        read_records(held_back.folder / "prompts.jsonl", Prompt),
        read_records(held_back.folder / "completions.jsonl", Completion),
        read_records(held_back.folder / "rankings.jsonl", Ranking),
    )
    work.metrics["held_out_reward_accuracy"] = accuracy
    work.metrics["held_out_reward_preferences"] = num_preferences
    return len(steps)
