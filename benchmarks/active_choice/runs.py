"""Labels needed for the same held-out accuracy, where the next ones are chosen by what a reward or the people are unsure of, and at random.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.active_choice tiny --seeds 0 1 2 3 4
    REIN_DATA=/path/to/data OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.active_choice e2e --seeds 0 1 2 3 4

All begin with the same judgements. Then, round by round,

- `random`: any completions that somebody has not been heard on yet are as likely as others;
- `disagreement`: those completions are asked about next that five rewards, each of another draw of what is known, disagree on most
  (models/evaluation/rewards/acquisition.py);
- `doubt`: those that the consensus of what is known leaves most open; what nobody has judged yet is one half, and so comes first.

Each set of completions gets one more judgement a round. The reward (benchmarks/active_choice/learner.py) and the held-out preferences are the
same for all. Writes rows to benchmarks/results/active_choice.json, where others stay, and docs/pictures/active_choice.svg.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy.special import expit

from benchmarks.active_choice.learner import Features, fit, fit_members
from benchmarks.active_choice.picture import draw
from benchmarks.active_choice.worlds import WORLDS, Pool
from benchmarks.trials import PROJECT, circumstances, keep, read_command, read_rows, student_interval
from models.evaluation.rewards.acquisition import disagreement
from models.preferences.consensus import agree
from models.records import Ranking
from models.settings.pipeline import ConsensusConfig

RESULTS = PROJECT / "benchmarks" / "results" / "active_choice.json"
PICTURE = PROJECT / "docs" / "pictures" / "active_choice.svg"
PLACE = ("world", "seed", "chosen_by")
BUDGETS = (50, 75, 110, 165, 250, 375, 560, 840, 1260)
"""Judgements after each round: half as many again."""

Unsure = Callable[[Pool, Features, list[Ranking], np.random.Generator], np.ndarray]
"""What is known -> how unsure something is about each set of completions."""


def at_random(pool: Pool, features: Features, known: list[Ranking], generator: np.random.Generator) -> np.ndarray:
    """Of nothing."""
    return generator.random(len(pool.items))


def by_disagreement(pool: Pool, features: Features, known: list[Ranking], generator: np.random.Generator) -> np.ndarray:
    """Of rewards of other draws of what is known."""
    members = fit_members(features, known, generator)
    sets = [list(said[0].places) for said in pool.items]
    places = [features.place[name] for names in sets for name in names]
    found = disagreement(members[:, places], [str(number) for number, names in enumerate(sets) for _ in names])
    return np.array([found.get(str(number), 0.0) for number in range(len(sets))])


def by_doubt(pool: Pool, features: Features, known: list[Ranking], generator: np.random.Generator) -> np.ndarray:
    """Of the consensus of what is known; equal doubts come in any order."""
    agreed, _ = agree(known, ConsensusConfig())
    strengths = [(one.prompt_id, one.strengths) for one in agreed]
    group = {(prompt, name): number for number, (prompt, own) in enumerate(strengths) for name in own}
    value = {(prompt, name): theta for prompt, own in strengths for name, theta in own.items()}

    def of_pair(prompt: str, one: str, other: str) -> float:
        ends = (prompt, one), (prompt, other)
        met = ends[0] in group and group[ends[0]] == group.get(ends[1])
        return float(expit(-abs(value[ends[0]] - value[ends[1]]))) if met else 0.5

    doubts = [
        np.mean([of_pair(said[0].prompt_id, *pair) for pair in combinations(said[0].places, 2)]) for said in pool.items
    ]
    return np.array(doubts) + 1e-9 * generator.random(len(doubts))


CHOICES: dict[str, Unsure] = {"random": at_random, "disagreement": by_disagreement, "doubt": by_doubt}


def curve(pool: Pool, features: Features, unsure: Unsure, seed: int, budgets: Sequence[int]) -> list[float]:
    """Held-out accuracy after each round; the last ones are missing where there are not so many judgements."""
    generator = np.random.default_rng(seed)
    taken = np.zeros(len(pool.items), dtype=int)
    left = np.array([len(said) for said in pool.items])
    order = np.arange(len(pool.items))  # the pool is shuffled
    accuracies: list[float] = []
    for budget in budgets:
        if budget > left.sum():
            break
        while missing := budget - taken.sum():
            known = known_of(pool, taken)
            if known:
                order = unsure(pool, features, known, generator).argsort()[::-1]
            open_ones = [number for number in order if taken[number] < left[number]][:missing]
            taken[open_ones] += 1
        accuracies.append(accuracy(features, fit(features, known_of(pool, taken)), pool.held_out))
    return accuracies


def known_of(pool: Pool, taken: np.ndarray) -> list[Ranking]:
    """The judgements that were uncovered, so many of each set."""
    return [one for said, count in zip(pool.items, taken, strict=True) for one in said[:count]]


def accuracy(features: Features, logits: np.ndarray, held_out: Sequence[tuple[str, str]]) -> float:
    """Share of these preferences whose first has the higher logit; equal ones count one half."""
    better, worse = ([logits[features.place[pair[side]]] for pair in held_out] for side in (0, 1))
    return float(np.mean((1 + np.sign(np.subtract(better, worse))) / 2))


def labels_needed(budgets: Sequence[int], accuracies: Sequence[float], wanted: float) -> float:
    """How many judgements the curve, as the best so far and straight between its points over the logarithm of their number, takes to reach the wanted accuracy;
    infinite where it does not."""
    best = np.maximum.accumulate(accuracies)
    if best[-1] < wanted:
        return float("inf")
    place = int(np.argmax(best >= wanted))
    if place == 0:
        return float(budgets[0])
    share = (wanted - best[place - 1]) / (best[place] - best[place - 1])
    return float(np.exp(np.interp(share, [0, 1], np.log(budgets[place - 1 : place + 1]))))


def rows_of(world: str, seed: int) -> list[dict[str, Any]]:
    """A row for each way to choose. `labels_needed`: for what random choice reaches with half of all its judgements."""
    pool = WORLDS[world](seed)
    features = Features(pool.texts)
    curves = {name: curve(pool, features, unsure, seed, BUDGETS) for name, unsure in CHOICES.items()}
    used = list(BUDGETS[: len(curves["random"])])
    wanted = float(np.interp(np.log(used[-1] / 2), np.log(used), np.maximum.accumulate(curves["random"])))
    return [
        {
            "world": world,
            "seed": seed,
            "chosen_by": name,
            "labels": used,
            "accuracy": accuracies,
            "wanted": wanted,
            "labels_needed": round(needed) if np.isfinite(needed := labels_needed(used, accuracies, wanted)) else None,
        }
        for name, accuracies in curves.items()
    ]


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """A line for each world and choice: how the area under its curve, the mean accuracy over all rounds, differs from that of random choice."""
    lines = []
    for world in dict.fromkeys(row["world"] for row in rows):
        own = {(row["seed"], row["chosen_by"]): row for row in rows if row["world"] == world}
        seeds = sorted({seed for seed, _ in own})
        for name in CHOICES:
            needed = [own[seed, name]["labels_needed"] for seed in seeds]
            gains = [np.subtract(own[seed, name]["accuracy"], own[seed, "random"]["accuracy"]).mean() for seed in seeds]
            told = f"{world}, {name}: labels needed {needed}"
            if len(seeds) > 1 and name != "random":
                told += ", mean accuracy {:+.4f} ({:+.4f} to {:+.4f}) over random".format(*student_interval(gains))
            lines.append(told)
    return "\n".join(lines)


def main() -> None:
    """Reads the command line, runs, writes and draws what came out."""
    given = read_command(__doc__, WORLDS)
    for seed in given.seeds:
        for row in rows_of(given.world, seed):
            keep(RESULTS, circumstances() | row, PLACE)
            print({name: row[name] for name in ("world", "seed", "chosen_by", "accuracy", "labels_needed")}, flush=True)
    rows = read_rows(RESULTS)
    draw(rows, PICTURE)
    print(summary(rows))
