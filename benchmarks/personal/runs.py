"""One reward for each person against one for all, on what each person says of held-out prompts.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.personal tiny --seeds 0 1 2 3 4
    REIN_DATA=/path/to/data OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.personal ukpconvarg --seeds 0 1 2 3 4

`shared` is a pairwise reward model that learns from everybody's own pairs; `personal` learns from the very same pairs, in as many steps, on the
same base. Both are asked about the same held-out preferences. Writes a row for each world and seed to benchmarks/results/personal.json, where other
rows stay, and draws docs/pictures/personal.svg. Seconds are the processor's, of the training alone.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.personal.picture import draw
from benchmarks.personal.worlds import COMPUTE, WORLDS, World
from benchmarks.picture import over_seeds
from benchmarks.trials import PROJECT, circumstances, keep, read_command, read_rows
from models.evaluation.rewards.personal_report import PersonalReport, report_people
from models.preferences.pairs import make_own_pairs
from models.rewards.kind_file import write_kind
from models.rewards.scorer import People, RewardTask, Scorer, load_scorer
from models.settings.pipeline import PairsConfig
from models.settings.rewards import PairwiseReward, RewardKind
from models.training.checkpoints import Checkpoints

RESULTS = PROJECT / "benchmarks" / "results" / "personal.json"
PICTURE = PROJECT / "docs" / "pictures" / "personal.svg"
PLACE = ("world", "seed")


def task_of(world: World, folder: Path, seed: int) -> RewardTask:
    """Training prompts and everybody's own pairs of them, for a personal reward and, as if all were one person's, for a pairwise one."""
    learned = {one.id for one in world.prompts if one.split == "train"}
    told = [one for one in world.rankings if one.prompt_id in learned]
    own = make_own_pairs(told, world.completions, PairsConfig())
    return RewardTask(
        folder=folder,
        base=world.base / "model",
        prompts=[one for one in world.prompts if one.id in learned],
        completions=world.completions,
        pairs=list(own),
        draws=[],
        rankings=[],
        compute=COMPUTE,
        seed=seed,
        checkpoints=Checkpoints(folder / "checkpoints", every=10**9),
        own_pairs=own,
    )


def trained(world: World, folder: Path, seed: int, config: RewardKind) -> tuple[Scorer, float]:
    """The reward, and the processor's seconds that its training took."""
    task = task_of(world, folder, seed)
    write_kind(folder, config)
    started = time.process_time()
    for _ in config.load_module().train(task, config):
        pass
    seconds = time.process_time() - started
    return load_scorer(folder, COMPUTE), seconds


def as_shared(scorer: Scorer, labelers: Sequence[str]) -> People:
    """A reward that is the same for all these people."""

    def read(prompts: Sequence[str], completions: Sequence[str]) -> tuple[Tensor, Tensor]:
        scores = scorer.score(prompts, completions)
        return scores, torch.zeros(len(scores), 1)

    return People(dict.fromkeys(labelers, torch.zeros(1)), read)


def row_of(world: World, seed: int, folder: Path) -> dict[str, Any]:
    """What both foretell of the same preferences; which of them is trained first is the seed's."""
    like = {name: getattr(world.config, name) for name in ("num_epochs", "batch_size", "learning_rate")}
    kinds: dict[str, RewardKind] = {"shared": PairwiseReward(**like), "personal": world.config}
    made = {}
    for name in sorted(kinds, reverse=seed % 2 == 0):
        made[name] = trained(world, folder / name, seed, kinds[name])
    (shared, shared_seconds), (personal, personal_seconds) = made["shared"], made["personal"]
    said = (world.prompts, world.completions, world.rankings)
    own = report_people(personal.people, *said)
    alone = report_people(as_shared(shared, list(personal.people.vectors)), *said)
    return described(alone, own) | {
        "shared_seconds": round(shared_seconds, 2),
        "personal_seconds": round(personal_seconds, 2),
        "slower": personal_seconds / shared_seconds,
    }


def described(alone: PersonalReport, own: PersonalReport) -> dict[str, Any]:
    """The figures of a row. `gain`: of the personal scores over the shared one that was learned beside them, with its interval over prompts."""
    gains = np.array([mine.personal - of_all.shared for mine, of_all in zip(own.people, alone.people, strict=True)])
    return {
        "people": len(own.people),
        "preferences": own.num_preferences,
        "shared": alone.shared_accuracy,
        "shared_beside_personal": own.shared_accuracy,
        "personal": own.personal_accuracy,
        **{name: getattr(own, name) for name in ("gain", "gain_low", "gain_high")},
        "people_better_foretold": int((gains > 0).sum()),
        "people_worse_foretold": int((gains < 0).sum()),
    }


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """A line for each world: means over the seeds with Student's interval."""
    lines = []
    for world in dict.fromkeys(row["world"] for row in rows):
        own = [row for row in rows if row["world"] == world]
        if len(own) < 2:
            lines.append(f"{world}: one seed gives no interval")
            continue
        told = [
            "{:.3f} ({:.3f} to {:.3f})".format(*over_seeds([row[name] for row in own]))
            for name in ("shared", "personal")
        ]
        slower = float(np.mean([row["slower"] for row in own]))
        lines.append(
            f"{world}, {len(own)} seeds: shared {told[0]}, personal {told[1]}; takes {slower:.3f} times as long"
        )
    return "\n".join(lines)


def main() -> None:
    """Reads the command line, trains, writes and draws what came out."""
    given = read_command(__doc__, WORLDS)
    for seed in given.seeds:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
            row = row_of(WORLDS[given.world](seed, Path(folder, "base")), seed, Path(folder))
        keep(RESULTS, circumstances() | {"world": given.world, "seed": seed} | row, PLACE)
        print(row, flush=True)
    rows = read_rows(RESULTS)
    draw(rows, PICTURE)
    print(summary(rows))
