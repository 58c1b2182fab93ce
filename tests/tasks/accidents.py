"""PPO as a training over several ranks that meets an accident; run as a module by the ranks themselves."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from models.distributed.collectives import this_rank
from models.errors import TrainingError
from models.records import StepMetrics
from models.settings.compute import Compute
from models.settings.tuning import PPOConfig
from models.stages import tuning
from models.stages.rank_process import run_rank
from models.training.checkpoints import Checkpoints
from tests.models.ppo_examples import SAMPLING


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
    """`tuning.train`; after the third update rank 1 is killed once, or raises what `accident` says."""
    for step in tuning.train(folder, config, SAMPLING, base, reward, feedback, None, None, compute, seed, checkpoints):
        yield step
        if step.step == 2 and this_rank() == 1:
            if accident == "killed" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
                os.kill(os.getpid(), signal.SIGKILL)
            if accident == "error":
                raise TrainingError('update 2: the numbers are too bad to go on; "quote"\nand a second line')
            if accident == "failure":
                raise ZeroDivisionError("a defect")


if __name__ == "__main__":
    run_rank(train)
