"""Supervised fine-tuning from a base model's folder and a folder of demonstrations."""

from collections.abc import Iterator
from pathlib import Path

from models.network.architecture import context_length
from models.network.networks import load_policy, save_policy
from models.records import Demonstration, StepMetrics, read_records
from models.settings.compute import Compute
from models.settings.training import SFTConfig
from models.stages.rank_process import run_rank
from models.training.causal_lm import encode_demonstrations, train_language
from models.training.checkpoints import Checkpoints


def train(
    folder: Path,
    config: SFTConfig,
    base: Path,
    demonstrations: Path,
    compute: Compute,
    seed: int,
    checkpoints: Checkpoints,
) -> Iterator[StepMetrics]:
    """Writes `model/` into the folder; yields the steps."""
    model, tokenizer = load_policy(base / "model")
    rows = read_records(demonstrations / "demonstrations.jsonl", Demonstration)
    sequences = encode_demonstrations(
        tokenizer, [(row.prompt, row.completion) for row in rows], context_length(model.config)
    )
    yield from train_language(model, sequences, config, compute, seed, checkpoints)
    save_policy(folder / "model", model, tokenizer, learned_from=base / "model", seed=seed)


if __name__ == "__main__":
    run_rank(train)
