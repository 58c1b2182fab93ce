"""Reward training from the folders of a base model, of feedback and of pairs."""

from collections.abc import Iterator
from pathlib import Path

from models.distributed.collectives import this_rank
from models.records import StepMetrics
from models.rewards.kind_file import write_kind
from models.rewards.scorer import RewardTask
from models.settings.compute import Compute
from models.settings.rewards import Reward
from models.stages.rank_process import run_rank
from models.training.checkpoints import Checkpoints


def train(
    folder: Path,
    config: Reward,
    base: Path,
    feedback: Path,
    pairs: Path,
    compute: Compute,
    seed: int,
    checkpoints: Checkpoints,
    draws: Path | None = None,
    rankings: Path | None = None,
    parts: dict[str, Path] | None = None,
    votes: Path | None = None,
    own_pairs: Path | None = None,
) -> Iterator[StepMetrics]:
    """Writes `model/` into the folder, trained on the training prompts; yields the steps. `draws`, `own_pairs`: what stages `drawn-pairs` and
    `own-pairs` made; `rankings` and `votes`: the folder with each labeler's own, and with what was said of single texts, for a reward that asks for
    some. `parts`: the rewards that it is made of."""
    model = folder / "model"
    if this_rank() == 0:
        write_kind(model, config)
    task = RewardTask.read(
        model, base, feedback, pairs, draws, rankings, compute, seed, checkpoints, parts or {}, votes, own_pairs
    )
    yield from config.load_module().train(task, config)


if __name__ == "__main__":
    run_rank(train)
