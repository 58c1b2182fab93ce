"""Reliability: where each labeler's own best value stands still, and what must not decide it."""

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar

import models.preferences.leave_one_out
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


def everybody(seed: int, num_labelers: int, num_prompts: int = 40) -> list[Ranking]:
    """So many labelers who all rank each prompt; 0 is upside down."""
    rng = np.random.default_rng(seed)
    rankings = []
    for prompt in range(num_prompts):
        truth = rng.normal(size=4)
        for labeler in range(num_labelers):
            seen = (-1 if labeler == 0 else 1) * truth + rng.normal(scale=0.7, size=4)
            order = [[f"{prompt}-{index}"] for index in np.argsort(-seen)]
            rankings.append(Ranking.of(f"p{prompt}", f"{labeler:02}", "helpful", order))
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


@pytest.mark.parametrize("per_prompt", [3, 12])
def test_how_many_are_taken_together_changes_nothing(monkeypatch, per_prompt):
    votes = VoteTable(crowd(1) if per_prompt == 3 else everybody(1, 12))
    start = np.full(len(votes.labelers), 0.5)
    whole = fit_reliability(votes, start).reliability
    monkeypatch.setattr(models.preferences.leave_one_out, "BLOCK", 25)
    assert fit_reliability(votes, start).reliability == pytest.approx(whole, abs=2e-3)


def test_each_of_many_labelers_stands_near_where_the_others_put_it():
    # With twelve to a prompt nobody is refitted: reliability may be .02 off.
    rankings = everybody(3, 12)
    votes = VoteTable(rankings)
    found = dict(zip(votes.labelers, fit_reliability(votes, np.full(12, 0.5)).reliability.tolist(), strict=True))
    for labeler in ("00", "01", "11"):
        assert best_answer(rankings, labeler, found) == pytest.approx(found[labeler], abs=0.02)


@pytest.mark.parametrize("num_labelers", [3, 5, 9, 30])
def test_one_who_is_upside_down_loses_all_weight_among_few_and_many(num_labelers):
    votes = VoteTable(everybody(2, num_labelers))
    start = np.full(num_labelers, 0.5)
    start[0] = 0.05  # as its agreement with the others tells
    reliability = fit_reliability(votes, start).reliability
    assert reliability[0] == 0
    assert reliability[1:].min() > 0.4


def test_one_labelers_other_rankings_are_nobody_elses():
    # ann contradicts herself over several parts of each prompt. Nobody else was there: nothing speaks against her.
    rankings = []
    for prompt in range(20):
        rankings += [
            Ranking.of(f"p{prompt}", "ann", "helpful", levels) for levels in (["a", "b"], ["b", "c"], ["c", "a"])
        ]
    assert fit_reliability(VoteTable(rankings), start=np.ones(1)).reliability.tolist() == [1]


@pytest.mark.parametrize(
    "orders", [["abc", "cba"], ["abc", "abc", "cba", "cba"], ["abc", "bca", "cab"], ["abc"] * 6 + ["cba"] * 6]
)
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
