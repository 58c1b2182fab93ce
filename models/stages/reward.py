"""Reward training from the folders of a base model, of feedback and of pairs."""

from collections.abc import Iterator
from pathlib import Path

from models.network.networks import RewardModel, load_policy
from models.records import Completion, Pair, Prompt, StepMetrics, read_records
from models.rewards.pairwise import group_pairs, train_reward
from models.settings.pipeline import Compute, RewardConfig
from models.stages.rank_process import run_rank
from models.training.checkpoints import Checkpoints


def train(
    folder: Path,
    config: RewardConfig,
    base: Path,
    feedback: Path,
    pairs: Path,
    compute: Compute,
    seed: int,
    checkpoints: Checkpoints,
) -> Iterator[StepMetrics]:
    """Writes `model/` into the folder, trained on the training prompts; yields the steps."""
    _, tokenizer = load_policy(base / "model")
    reward_model = RewardModel.start(base / "model", seed)
    comparisons = group_pairs(
        tokenizer,
        [prompt for prompt in read_records(feedback / "prompts.jsonl", Prompt) if prompt.split == "train"],
        read_records(feedback / "completions.jsonl", Completion),
        read_records(pairs / "pairs.jsonl", Pair),
        reward_model.model.config.max_position_embeddings,
    )
    yield from train_reward(reward_model, comparisons, config, compute, seed, checkpoints)
    reward_model.save(folder / "model", tokenizer)


if __name__ == "__main__":
    run_rank(train)
