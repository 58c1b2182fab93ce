"""Trainings over several ranks that meet an accident; run as a module by the ranks themselves."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from torch import distributed

from models.distributed.collectives import this_rank
from models.errors import TrainingError
from models.records import StepMetrics
from models.settings.compute import Compute
from models.settings.tuning import PPOConfig
from models.stages.rank_process import run_rank
from models.training.checkpoints import Checkpoints


def train(
    folder: Path,
    config: PPOConfig,
    base: Path,
    reward: Path,
    feedback: Path,
    compute: Compute,
    seed: int,
    checkpoints: Checkpoints,
    accident: str,
) -> Iterator[StepMetrics]:
    """PPO, of which rank 1 is killed once after its third update; or steps that learn nothing, and the error that `accident` names."""
    steps = (
        _ppo(folder, config, base, reward, feedback, compute, seed, checkpoints) if accident == "killed" else _idle()
    )
    for step in steps:
        yield step
        if step.step == 2 and this_rank() == 1:
            if accident == "killed" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
                os.kill(os.getpid(), signal.SIGKILL)
            if accident == "error":
                raise TrainingError('update 2: the numbers are too bad to go on; "quote"\nand a second line')
            if accident == "failure":
                raise ZeroDivisionError("a defect")


def _ppo(folder: Path, config: PPOConfig, base: Path, reward: Path, feedback: Path, *rest) -> Iterator[StepMetrics]:
    from models.stages import tuning
    from tests.models.ppo_examples import SAMPLING

    return tuning.train(folder, config, SAMPLING, base, reward, None, None, feedback, None, None, *rest)


def _idle() -> Iterator[StepMetrics]:
    """Steps at which the ranks meet, as they do in any training."""
    for number in range(4):
        distributed.barrier()
        yield StepMetrics(step=number, num_steps=4, values={})


if __name__ == "__main__":
    run_rank(train)
