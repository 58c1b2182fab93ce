"""Pretraining from a base model's folder and a folder of texts."""

from collections.abc import Iterator
from pathlib import Path

from models.errors import ConfigError
from models.network.architecture import context_length
from models.network.networks import load_policy, save_policy
from models.records import StepMetrics, Text, read_records
from models.settings.compute import Compute
from models.settings.training import PretrainingConfig
from models.stages.rank_process import run_rank
from models.training.causal_lm import pack_texts, train_language
from models.training.checkpoints import Checkpoints


def train(
    folder: Path,
    config: PretrainingConfig,
    base: Path,
    texts: Path,
    compute: Compute,
    seed: int,
    checkpoints: Checkpoints,
) -> Iterator[StepMetrics]:
    """Writes `model/` into the folder; yields the steps."""
    model, tokenizer = load_policy(base / "model")
    longest = context_length(model.config)
    if config.sequence_length > longest:
        raise ConfigError(f"pretraining.sequence_length exceeds the {longest} tokens that the base model reads")
    sequences = pack_texts(
        tokenizer, [row.text for row in read_records(texts / "texts.jsonl", Text)], config.sequence_length
    )
    yield from train_language(model, sequences, config, compute, seed, checkpoints)
    save_policy(folder / "model", model, tokenizer, learned_from=base / "model", seed=seed)


if __name__ == "__main__":
    run_rank(train)
