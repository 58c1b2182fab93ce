"""What the others think, against a plain refit of everybody else's rankings, and in time that grows with the judgements."""

import time

import numpy as np
import pytest
from scipy.special import expit

from models.preferences.labeler_reliability import fit_reliability
from models.preferences.leave_one_out import Others
from models.preferences.vote_table import VoteTable
from models.records import Ranking


def refitted_lead(votes: VoteTable, reliability: np.ndarray) -> np.ndarray:
    """The definition by itself: for each voter Newton's method, dense, over all comparisons of its question but its own."""
    lead = np.zeros(len(votes.sign))
    of_comparison = votes.voter[votes.ranking]
    question = votes.voter_question[of_comparison]
    sharpness = reliability[votes.labeler[votes.ranking]]
    weight, won = 2 / votes.num_entries[votes.ranking], (1 + votes.sign) / 2
    for voter, of in enumerate(votes.voter_question):
        items = np.flatnonzero(votes.item_question == of)
        others, own = (question == of) & (of_comparison != voter), of_comparison == voter
        gaps = (votes.first_item[:, None] == items).astype(float) - (votes.second_item[:, None] == items)
        design, a, w, y = gaps[others], sharpness[others], weight[others], won[others]
        theta, precision = np.zeros(len(items)), 1 / votes.item_variance[items]
        for _ in range(30):
            p = 1 / (1 + np.exp(-a * (design @ theta)))
            slope = design.T @ (w * a * (p - y)) + theta * precision
            curvature = (design.T * (w * a**2 * p * (1 - p))) @ design + np.diag(precision)
            theta = theta - np.linalg.solve(curvature, slope)
        assert np.abs(slope).max() < 1e-9
        lead[own] = gaps[own] @ theta
    return lead


def seen(rng: np.random.Generator, labeler: int, truth: np.ndarray) -> np.ndarray:
    """What a labeler perceives: 0 is upside down; halves are tied."""
    return np.round(
        (-1 if labeler == 0 else 1) * truth + rng.normal(scale=0.7, size=len(truth)), 0 if labeler == 1 else 3
    )


def ranked(prompt: int, labeler: int, items: list[int], view: np.ndarray, session: str = "") -> Ranking:
    levels = [
        [f"{prompt}-{one}" for one in items if view[items.index(one)] == value] for value in sorted(set(view))[::-1]
    ]
    return Ranking.of(f"p{prompt}", f"{labeler:02}", "helpful", levels, session=session)


def whole_rankings(seed: int, num_labelers: int, num_items: int) -> list[Ranking]:
    rng = np.random.default_rng(seed)
    rankings = []
    for prompt in range(8):
        truth = rng.normal(size=num_items)
        rankings += [ranked(prompt, one, list(range(num_items)), seen(rng, one, truth)) for one in range(num_labelers)]
    return rankings


def pair_judgements(seed: int, num_labelers: int, num_items: int, per_pair: int, num_prompts: int = 3) -> list[Ranking]:
    """Every two completions of a prompt, each pair judged by a few of its labelers."""
    rng = np.random.default_rng(seed)
    rankings = []
    for prompt in range(num_prompts):
        truth = rng.normal(size=num_items)
        for first in range(num_items):
            for second in range(first):
                for labeler in rng.choice(num_labelers, per_pair, replace=False):
                    view = seen(rng, labeler, truth[[first, second]])
                    rankings.append(ranked(prompt, labeler, [first, second], view, f"{first}-{second}"))
    return rankings


def one_who_did_half(seed: int) -> list[Ranking]:
    """Fourteen who judge some pairs each, and one who judges as many as they do together."""
    rankings = pair_judgements(seed, 14, 8, 2)
    rng = np.random.default_rng(seed)
    return rankings + [
        Ranking.of(
            one.prompt_id, "14", "helpful", [[name] for name in rng.permutation(sorted(one.places))], session=f"{n}"
        )
        for n, one in enumerate(rankings)
    ]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("world", "mean", "largest"),
    [
        # refitted: as near as the fit's own tolerance
        (lambda seed: whole_rankings(seed, 2, 4), 5e-4, 1e-3),
        (lambda seed: whole_rankings(seed, 3, 4), 5e-4, 1e-3),
        (lambda seed: whole_rankings(seed, 5, 4), 5e-4, 1e-3),
        # stepped to
        (lambda seed: whole_rankings(seed, 9, 5), 2e-3, 0.04),
        (lambda seed: whole_rankings(seed, 20, 5), 3e-4, 0.015),
        (lambda seed: pair_judgements(seed, 15, 10, 2), 8e-4, 0.04),
        (lambda seed: pair_judgements(seed, 30, 10, 5), 5e-4, 0.02),
        (one_who_did_half, 5e-4, 0.02),
    ],
    ids=["2", "3", "5", "9", "20", "pairs by 2", "pairs by 5", "one did half"],
)
def test_near_the_refit_without_each_voter(world, mean, largest, seed):
    """In the probability, by the others, that the first of the two is the better one."""
    votes = VoteTable(world(seed))
    reliability = np.random.default_rng(seed).uniform(0, 1, len(votes.labelers))
    apart = np.abs(expit(Others(votes).lead(reliability)) - expit(refitted_lead(votes, reliability)))
    assert apart.mean() < mean
    assert apart.max() < largest


def test_time_grows_with_the_judgements():
    # 20,000 judgements of 2,000 people on one question: with a refit for each of them 40,000,000 comparisons a round.
    rng = np.random.default_rng(0)
    truth = rng.normal(size=30)
    rankings = []
    for number in range(20_000):
        pair = rng.choice(30, 2, replace=False)
        view = truth[pair] + rng.normal(size=2)
        better, worse = (f"c{one}" for one in pair[np.argsort(-view)])
        rankings.append(Ranking.of("p", f"{number % 2000:04}", "helpful", [[better], [worse]], session=str(number)))
    votes = VoteTable(rankings)
    started = time.process_time()
    fit_reliability(votes, start=np.full(2000, 0.5))
    assert time.process_time() - started < 8  # it takes half a second
