"""Tuning from the folders of a base model, of a reward and of feedback."""

from collections.abc import Iterator
from pathlib import Path

from models.errors import DataError
from models.evaluation.judges.judge import Material
from models.records import StepMetrics
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.judges import Judge
from models.settings.tuning import Tuning
from models.stages.rank_process import run_rank
from models.training.checkpoints import Checkpoints
from models.tuning.tuner import TuningTask, read_compared, read_prompts, read_texts


def train(
    folder: Path,
    config: Tuning,
    sampling: SamplingConfig,
    base: Path,
    reward: Path,
    judge: Judge | None,
    held_out_reward: Path | None,
    feedback: Path,
    prompts: Path | None,
    texts: Path | None,
    compute: Compute,
    seed: int,
    checkpoints: Checkpoints,
    completions: Path | None = None,
    pairs: Path | None = None,
) -> Iterator[StepMetrics]:
    """Writes `model/`, the tuned policy, into the folder; yields the updates. `judge`: what chooses the policy that is kept. `completions`
    and `pairs`: for a kind that reads pairs. Raises DataError when no prompt is left to tune on."""
    to_tune_on, validation = read_prompts(feedback, prompts)
    if not to_tune_on:
        raise DataError("there is no prompt to tune on: all of them are held out")
    read, compared = read_texts(texts), read_compared(feedback, completions, pairs)
    chooser = None
    if judge is not None:
        material = Material([reward / "model"], held_out_reward and held_out_reward / "model")
        chooser = judge.load_module().open_judge(judge, material, compute)
    given = (base / "model", reward / "model", to_tune_on, validation, read, chooser, sampling, compute, seed)
    yield from config.load_module().tune(TuningTask(folder, *given, checkpoints, compared), config)


if __name__ == "__main__":
    run_rank(train)
