"""Reliability: where each labeler's own best value stands still, and what must not decide it."""

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar

import models.preferences.labeler_reliability
from models.preferences.labeler_reliability import fit_reliability
from models.preferences.vote_table import VoteTable
from models.records import Ranking


def crowd(seed: int, num_prompts: int = 40) -> list[Ranking]:
    """Six labelers of whom three see each prompt, two of them a part of it; 0 is upside down, 1 ranks at random."""
    rng = np.random.default_rng(seed)
    rankings = []
    for prompt in range(num_prompts):
        truth = rng.normal(size=4)
        for number, labeler in enumerate(rng.choice(6, 3, replace=False)):
            seen = (-1 if labeler == 0 else 0 if labeler == 1 else 1) * truth + rng.normal(scale=0.7, size=4)
            order = [f"{prompt}-{index}" for index in np.argsort(-seen)]
            rankings.append(Ranking.of(f"p{prompt}", str(labeler), "helpful", [[one] for one in order[number:]]))
    return rankings


def best_answer(rankings: list[Ranking], labeler: str, reliability: dict[str, float]) -> float:
    """What the definition says of one labeler, term by term: strengths of the others by a general minimiser, then a by another."""
    told = []  # (gap of the others' strengths, won, weight)
    for mine in (one for one in rankings if one.labeler == labeler):
        same = [one for one in rankings if one.prompt_id == mine.prompt_id]
        names = sorted({name for one in same for name in one.places})
        sizes = {name: [len(one.places) for one in same if name in one.places] for name in names}
        variance = np.array([2 * np.mean(sizes[name]) for name in names])

        def loss(theta, same=same, names=names, variance=variance):
            total = (theta**2 / variance).sum() / 2
            for one in same:
                for first, second in combinations(one.places, 2) if one.labeler != labeler else ():  # first is above
                    gap = theta[names.index(first)] - theta[names.index(second)]
                    total += 2 / len(one.places) * np.log1p(np.exp(-reliability[one.labeler] * gap))
            return total

        theta = minimize(loss, np.zeros(len(names)), method="BFGS").x
        told += [
            (theta[names.index(first)] - theta[names.index(second)], 2 / len(mine.places))
            for first, second in combinations(mine.places, 2)
        ]
    gap, weight = np.array(told).T

    def cost(a: float) -> float:
        return (weight * np.log1p(np.exp(-a * gap))).sum() + (a - 1) ** 2 / (2 * 0.5**2)

    return float(minimize_scalar(cost, bounds=(0, 1), method="bounded", options={"xatol": 1e-6}).x)


def test_each_labeler_stands_where_the_others_put_it():
    rankings = crowd(0, num_prompts=80)
    votes = VoteTable(rankings)
    start = np.array([0.05, 0.2, 0.5, 0.5, 0.5, 0.5])  # as their agreement with the others would tell
    found = dict(zip(votes.labelers, fit_reliability(votes, start).reliability.tolist(), strict=True))
    for labeler, value in found.items():
        assert best_answer(rankings, labeler, found) == pytest.approx(value, abs=3e-3)
    assert found["0"] == 0
    assert found["1"] < 0.1 < min(found[name] for name in "2345")


def test_how_many_are_taken_together_changes_nothing(monkeypatch):
    votes = VoteTable(crowd(1))
    whole = fit_reliability(votes, start=np.full(6, 0.5)).reliability
    monkeypatch.setattr(models.preferences.labeler_reliability, "BLOCK", 25)
    assert fit_reliability(votes, start=np.full(6, 0.5)).reliability == pytest.approx(whole, abs=2e-3)


def test_one_labelers_other_rankings_are_nobody_elses():
    # ann contradicts herself over several parts of each prompt. Nobody else was there: nothing speaks against her.
    rankings = []
    for prompt in range(20):
        rankings += [
            Ranking.of(f"p{prompt}", "ann", "helpful", levels) for levels in (["a", "b"], ["b", "c"], ["c", "a"])
        ]
    assert fit_reliability(VoteTable(rankings), start=np.ones(1)).reliability.tolist() == [1]


@pytest.mark.parametrize("orders", [["abc", "cba"], ["abc", "abc", "cba", "cba"], ["abc", "bca", "cab"]])
def test_equal_camps_keep_equal_weight(orders):
    # Nothing in the data says who is right, and no rounding may.
    rankings = [
        Ranking.of(f"p{prompt}", str(labeler), "helpful", order)
        for prompt in range(40)
        for labeler, order in enumerate(orders)
    ]
    found = fit_reliability(VoteTable(rankings), start=np.full(len(orders), 0.05)).reliability
    assert np.ptp(found) == 0
    assert found.max() < 0.1
