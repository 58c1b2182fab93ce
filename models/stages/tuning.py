"""Tuning from the folders of a base model, of a reward and of feedback."""

from collections.abc import Iterator
from pathlib import Path

from models.errors import DataError
from models.records import StepMetrics
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.tuning import Tuning
from models.stages.rank_process import run_rank
from models.training.checkpoints import Checkpoints
from models.tuning.tuner import TuningTask, read_prompts, read_texts


def train(
    folder: Path,
    config: Tuning,
    sampling: SamplingConfig,
    base: Path,
    reward: Path,
    feedback: Path,
    prompts: Path | None,
    texts: Path | None,
    compute: Compute,
    seed: int,
    checkpoints: Checkpoints,
) -> Iterator[StepMetrics]:
    """Writes `model/`, the tuned policy, into the folder; yields the updates. Raises DataError when no prompt is left to tune on."""
    to_tune_on, validation = read_prompts(feedback, prompts)
    if not to_tune_on:
        raise DataError("there is no prompt to tune on: all of them are held out")
    read = read_texts(texts)
    given = (base / "model", reward / "model", to_tune_on, validation, read, sampling, compute, seed, checkpoints)
    yield from config.load_module().tune(TuningTask(folder, *given), config)


if __name__ == "__main__":
    run_rank(train)
