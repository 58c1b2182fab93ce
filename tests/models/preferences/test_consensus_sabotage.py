"""Sabotage: of 20 simulated labelers 3 rank upside down and 3 at random. The order survives, and who did it is seen.

Simulated, not people. A prompt's completions have true strengths ~ N(0, 1); an honest labeler sees each with an error ~ N(0, .72^2)
and orders what it sees. Two such labelers agree on 1/2 + asin(1 / (1 + .72^2)) / pi = 73 % of pairs, as the trained labelers of
Ouyang et al. 2022 (section 5.3, 72.6 +- 1.5 %) do. The noise was set by that before any result was seen.
"""

import math
from itertools import combinations

import numpy as np
import pytest

from models.preferences.consensus import agree
from models.records import Consensus, Ranking
from models.settings.pipeline import ConsensusConfig

NOISE_SD = 0.72
UPSIDE_DOWN = ("00", "01", "02")
AT_RANDOM = ("03", "04", "05")
HONEST = tuple(f"{number:02}" for number in range(6, 20))
NUM_PROMPTS, NUM_COMPLETIONS = 1000, 5


def crowd(seed: int) -> tuple[np.ndarray, list[Ranking]]:
    """True strengths [1000, 5], and of each prompt the rankings of three labelers drawn at random."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(NUM_PROMPTS, NUM_COMPLETIONS))
    people = np.array([*UPSIDE_DOWN, *AT_RANDOM, *HONEST])
    rankings = []
    for prompt in range(NUM_PROMPTS):
        for labeler in rng.choice(people, 3, replace=False).tolist():
            seen = truth[prompt] + rng.normal(scale=NOISE_SD, size=NUM_COMPLETIONS)
            best_first = np.argsort(seen if labeler in UPSIDE_DOWN else -seen)
            if labeler in AT_RANDOM:
                best_first = rng.permutation(NUM_COMPLETIONS)
            levels = [[f"{prompt}-{index}"] for index in best_first]
            rankings.append(Ranking.of(f"p{prompt}", labeler, "helpful", levels))
    return truth, rankings


def share_right(truth: np.ndarray, agreed: list[Consensus]) -> float:
    """Of all pairs of completions, the share that the consensus orders as the truth does; a tie counts half."""
    points = []
    for one in agreed:
        true = truth[int(one.prompt_id[1:])]
        place = {int(name.partition("-")[2]): number for number, level in enumerate(one.levels) for name in level}
        for i, j in combinations(range(NUM_COMPLETIONS), 2):
            points.append(0.5 if place[i] == place[j] else float((place[i] < place[j]) == (true[i] > true[j])))
    assert len(points) == NUM_PROMPTS * 10
    return float(np.mean(points))


def agreement_of_honest(rankings: list[Ranking]) -> float:
    """The share of pairs on which two honest labelers agree, from the rankings themselves."""
    by_prompt: dict[str, list[Ranking]] = {}
    for one in rankings:
        if one.labeler in HONEST:
            by_prompt.setdefault(one.prompt_id, []).append(one)
    same = [
        (a.places[i] < a.places[j]) == (b.places[i] < b.places[j])
        for together in by_prompt.values()
        for a, b in combinations(together, 2)
        for i, j in combinations(sorted(a.places), 2)
    ]
    return float(np.mean(same))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sabotage_is_seen_and_costs_little(seed):
    truth, rankings = crowd(seed)
    borda, _ = agree(rankings, ConsensusConfig(method="borda"))
    weighted, report = agree(rankings, ConsensusConfig(method="bradley_terry"))
    assert share_right(truth, weighted) > share_right(truth, borda) + 0.05
    assert tuple(one.labeler for one in report.labelers if one.upside_down) == UPSIDE_DOWN
    reliability = {one.labeler: one.reliability for one in report.labelers}
    assert max(reliability[name] for name in (*UPSIDE_DOWN, *AT_RANDOM)) < 0.1
    assert min(reliability[name] for name in HONEST) > 0.3


def test_the_honest_labelers_are_as_noisy_as_said():
    _, rankings = crowd(0)
    expected = 0.5 + math.asin(1 / (1 + NOISE_SD**2)) / math.pi
    assert agreement_of_honest(rankings) == pytest.approx(expected, abs=0.02)
