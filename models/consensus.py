"""From the rankings of several labelers to one agreed order per prompt. Loads no torch.

Model (bradley_terry), fitted over all prompts together: P(i above j | labeler l) = sigmoid(a_l (theta_i - theta_j)).
- Each two completions of a ranking of K are one observation of weight 2 / K, so a ranking counts K - 1 comparisons, as many as
  it takes to sort. A tie is half an observation each way. Unusable completions lose to usable ones and tie with each other.
- Strengths: theta ~ N(0, 2 K). The prior variance grows with K as the weight falls, so that within one prompt the answer is that
  of unweighted comparisons under N(0, 4); 2 : 1 for K = 2 gives p = .64, a single strict ranking stays strict up to K = 9.
- Reliability: a_l ~ N(1, .5^2) held to [0, 1]. The upper end fixes the scale (a and theta could trade it otherwise). The lower
  end is 0 and not below: a labeler who ranks upside down loses all weight but is never inverted. What people said is not turned
  round by a guess about what they meant; the report names them, and a person can ask.
- a_l is fitted to how well the *others* (theta without l's ranking) predict l. The joint optimum over theta and a is not used:
  theta adapts to whomever it already trusts, and of two labelers who disagree it believes one in full, by chance of rounding.

Sources: Bradley & Terry 1952; Chen et al. 2013, "Pairwise ranking aggregation in a crowdsourced setting" (labeler quality in
Bradley-Terry); Dawid & Skene 1979 (observer error rates). Borda: mean places, every labeler counts the same.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from models.agreement import AgreementReport, LabelerReport, VoteTable, alpha_of_values, looks_upside_down
from models.config import ConsensusConfig
from models.errors import DataError
from models.records import Consensus, Ranking
from models.shapes import Float, Int

RELIABILITY_SD = 0.5  # of the prior that pulls a labeler's reliability to 1
MAX_ROUNDS = 40
ROUND_TOLERANCE = 2e-3


def agree(rankings: Sequence[Ranking], config: ConsensusConfig) -> tuple[list[Consensus], AgreementReport]:
    """One consensus per (prompt, criterion), sorted by these, and the report on how far labelers agree.

    The order of the input changes nothing. Labelers may have seen different completions of a prompt.
    Raises DataError for no rankings, or for a labeler who ranked one prompt by one criterion twice.
    """
    if not rankings:
        raise DataError("no rankings to agree on")
    votes = VoteTable(rankings)
    taus = votes.tau_with_others()
    agreements = _mean_by_labeler(votes, taus)
    if config.method == "bradley_terry":
        reliability = fit_reliability(votes, start=np.clip(np.nan_to_num(agreements, nan=1.0), 0.05, 1))
        strengths = _fitted_strengths(votes, reliability)
        unusable = _marked_by_majority(votes, reliability)
    else:
        reliability = np.maximum(np.nan_to_num(agreements, nan=1.0), 0)
        strengths = _borda_strengths(votes)
        unusable = _marked_by_majority(votes, np.ones(len(votes.labelers)))
    above = _share_above(votes) if config.method == "borda" else None
    agreed = []
    for question in range(len(votes.questions)):
        items = slice(votes.item_start[question], votes.item_start[question] + votes.num_items[question])
        theta = strengths[items]
        p = expit(theta[:, None] - theta[None, :]) if above is None else above[question]
        agreed.append(_consensus_of(votes, question, theta, p, unusable[items], config.tie_width))
    return agreed, _report(votes, taus, agreements, reliability)


def pair_probability(consensus: Consensus, i: str, j: str) -> float:
    """The probability that completion `i` is better than `j`: sigmoid(strength_i - strength_j).

    For bradley_terry this is the fitted one. For borda, strengths are half the log-odds of smoothed win shares, and this is the
    smoothed share of labelers who put i above j when K = 2, and close to it for larger K. Raises DataError for an unknown id.
    """
    for name in (i, j):
        if name not in consensus.strengths:
            raise DataError(f"prompt {consensus.prompt_id}: its consensus knows no completion {name}")
    return float(expit(consensus.strengths[i] - consensus.strengths[j]))


def fit_strengths(
    first: Int[np.ndarray, " M"],
    second: Int[np.ndarray, " M"],
    won: Float[np.ndarray, " M"],
    sharpness: Float[np.ndarray, " M"],
    weight: Float[np.ndarray, " M"],
    variance: Float[np.ndarray, " I"],
) -> Float[np.ndarray, " I"]:
    """The most probable strengths given how sharply each comparison tells (`won`: 1 first above, .5 tie, 0 below).

    Minimises sum weight [log(1 + e^z) - won z] + sum theta^2 / (2 variance), z = sharpness (theta_first - theta_second).
    Strictly convex, so there is one answer.
    """

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        z = sharpness * (theta[first] - theta[second])
        value = (weight * (np.logaddexp(0, z) - won * z)).sum() + (theta**2 / variance).sum() / 2
        pull = weight * sharpness * (expit(z) - won)
        slope = np.bincount(first, pull, len(theta)) - np.bincount(second, pull, len(theta))
        return value, slope + theta / variance

    start = np.zeros(len(variance))
    return minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-7}).x


def fit_reliability(votes: VoteTable, start: Float[np.ndarray, " L"]) -> Float[np.ndarray, " L"]:
    """Every labeler's reliability a_l in [0, 1]: 1 = as the model says, 0 = unrelated to (or against) what the others say.

    Alternates: strengths from everybody else's rankings of the same question, for each ranking apart; then each a_l from its own
    comparisons under those strengths. Half steps, since a full step can overshoot for ever when all labelers disagree. `start`
    should be each labeler's agreement with the others: an upside-down labeler then does not spoil the first strengths.
    """
    target, source, offset, variance = _others_of_each_ranking(votes)
    slot = offset[votes.ranking] - votes.item_start[votes.question[votes.ranking]]
    first, second = votes.entry_item[votes.first], votes.entry_item[votes.second]
    shift = offset[target] - votes.item_start[votes.question[target]]
    won, weight = (1 + votes.sign) / 2, 2 / votes.num_entries[votes.ranking]
    labeler = votes.labeler[votes.ranking]
    reliability = start
    for _ in range(MAX_ROUNDS):
        theta = fit_strengths(
            first[source] + shift,
            second[source] + shift,
            won[source],
            reliability[labeler[source]],
            weight[source],
            variance,
        )
        gap = theta[first + slot] - theta[second + slot]
        best = _sharpness(labeler, gap, won, weight, reliability)
        if np.abs(best - reliability).max() < ROUND_TOLERANCE:
            reliability = best
            break
        reliability = (reliability + best) / 2
    return np.round(reliability, 3)  # the rounds stop at this precision


def _others_of_each_ranking(votes: VoteTable) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(target, source, offset, variance): comparison `source[m]` tells ranking `target[m]` what another labeler thinks.

    Each ranking has strengths of its own, `num_items` of its question many, from `offset[ranking]` on, with prior `variance`.
    """
    size = votes.num_items[votes.question]
    offset = np.cumsum(size) - size
    pairs = [np.zeros((2, 0), np.int64)]
    for lag in range(1, len(votes.question)):  # rankings are sorted by question
        one = np.flatnonzero(votes.question[lag:] == votes.question[:-lag])
        if not len(one):
            break
        pairs += [np.stack([one, one + lag]), np.stack([one + lag, one])]
    told, teller = np.concatenate(pairs, axis=1)
    count = np.bincount(votes.ranking, minlength=len(votes.rankings))
    begin = np.cumsum(count) - count
    length = count[teller]
    within = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    return np.repeat(told, length), np.repeat(begin[teller], length) + within, offset, np.repeat(2.0 * size, size)


def _sharpness(
    labeler: np.ndarray, gap: np.ndarray, won: np.ndarray, weight: np.ndarray, start: np.ndarray
) -> Float[np.ndarray, " L"]:
    """The most probable a_l of each labeler, given the others' strength gaps of its comparisons."""

    def loss(a: np.ndarray) -> tuple[float, np.ndarray]:
        z = a[labeler] * gap
        value = (weight * (np.logaddexp(0, z) - won * z)).sum() + ((a - 1) ** 2).sum() / (2 * RELIABILITY_SD**2)
        slope = np.bincount(labeler, weight * (expit(z) - won) * gap, len(a))
        return value, slope + (a - 1) / RELIABILITY_SD**2

    bounds = [(0.0, 1.0)] * len(start)
    return minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x


def _fitted_strengths(votes: VoteTable, reliability: np.ndarray) -> Float[np.ndarray, " I"]:
    theta = fit_strengths(
        votes.entry_item[votes.first],
        votes.entry_item[votes.second],
        (1 + votes.sign) / 2,
        reliability[votes.labeler[votes.ranking]],
        2 / votes.num_entries[votes.ranking],
        np.repeat(2.0 * votes.num_items, votes.num_items),
    )
    return np.round(theta, 6)  # the fit knows no more digits


def _borda_strengths(votes: VoteTable) -> Float[np.ndarray, " I"]:
    """Half the log-odds of (n (1 - mean place) + 1/2) / (n + 1), n labelers: for K = 2 the difference is the log-odds of i over j."""
    count = np.bincount(votes.entry_item)
    wins = np.bincount(votes.entry_item, 1 - votes.place)
    return np.round(logit((wins + 0.5) / (count + 1)) / 2, 9)


def _share_above(votes: VoteTable) -> list[np.ndarray]:
    """Per question p[i, j]: the share of labelers who saw both and put i above j, ties half; .5 where nobody saw both."""
    shares = []
    first, second = votes.entry_item[votes.first], votes.entry_item[votes.second]
    bounds = np.searchsorted(votes.question[votes.ranking], np.arange(len(votes.questions) + 1))
    for question, (begin, end) in enumerate(pairwise(bounds.tolist())):
        size, start = votes.num_items[question], votes.item_start[question]
        cell = (first[begin:end] - start) * size + second[begin:end] - start
        seen = np.bincount(cell, minlength=size**2).reshape(size, size)
        wins = np.bincount(cell, (1 + votes.sign[begin:end]) / 2, size**2).reshape(size, size)
        both, wins = seen + seen.T, wins + (seen - wins).T
        shares.append(np.where(both > 0, wins / np.maximum(both, 1), 0.5))
    return shares


def _marked_by_majority(votes: VoteTable, weight: np.ndarray) -> np.ndarray:
    """Per item: whether more than half of the weight of those who saw it marked it unusable (heads count if no one has weight)."""
    of_entry = weight[votes.labeler[votes.entry_ranking]]
    weightless = np.bincount(votes.entry_item, of_entry)[votes.entry_item] <= 0
    of_entry = np.where(weightless, 1.0, of_entry)
    marked = np.bincount(votes.entry_item, of_entry * votes.entry_unusable)
    return marked > np.bincount(votes.entry_item, of_entry) / 2 + 1e-9


def _consensus_of(
    votes: VoteTable, question: int, theta: np.ndarray, p: np.ndarray, unusable: np.ndarray, tie_width: float
) -> Consensus:
    """The consensus on one question, from the strengths theta[K], the probabilities p[K, K] and who is unusable[K]."""
    start = votes.item_start[question]
    names = votes.item_names[start : start + len(theta)]
    i, j = np.triu_indices(len(theta), 1)
    prompt_id, criterion = votes.questions[question]
    return Consensus(
        prompt_id=prompt_id,
        criterion=criterion,
        levels=_levels(names, theta, p, unusable, tie_width),
        unusable=tuple(name for name, marked in zip(names, unusable, strict=True) if marked),
        strengths=dict(zip(names, theta.tolist(), strict=True)),
        confidence=float(np.maximum(p[i, j], 1 - p[i, j]).mean()) if len(i) else 0.5,
        num_labelers=int(votes.num_rankings[question]),
    )


def _levels(
    names: list[str], theta: np.ndarray, p: np.ndarray, unusable: np.ndarray, tie_width: float
) -> tuple[tuple[str, ...], ...]:
    """Best first; a completion starts a new level when the level's first member beats it with more than .5 + tie_width."""
    levels: list[list[int]] = []
    for item in np.argsort(-theta, kind="stable").tolist():
        if unusable[item]:
            continue
        if not levels or p[levels[-1][0], item] > 0.5 + tie_width + 1e-9:
            levels.append([])
        levels[-1].append(item)
    return tuple(tuple(sorted(names[item] for item in level)) for level in levels)


def _mean_by_labeler(votes: VoteTable, taus: np.ndarray) -> Float[np.ndarray, " L"]:
    known, size = ~np.isnan(taus), len(votes.labelers)
    count = np.bincount(votes.labeler[known], minlength=size)
    total = np.bincount(votes.labeler[known], taus[known], size)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _report(votes: VoteTable, taus: np.ndarray, agreements: np.ndarray, reliability: np.ndarray) -> AgreementReport:
    size = len(votes.labelers)
    usable = ~(votes.entry_unusable[votes.first] | votes.entry_unusable[votes.second])
    of_comparison, of_entry = votes.labeler[votes.ranking], votes.labeler[votes.entry_ranking]
    compared = np.bincount(of_comparison[usable], minlength=size)
    tied = np.bincount(of_comparison[usable & (votes.sign == 0)], minlength=size)
    seen, marked = np.bincount(of_entry), np.bincount(of_entry, votes.entry_unusable)
    num_rankings = np.bincount(votes.labeler)
    labelers = tuple(
        LabelerReport(
            labeler=name,
            num_rankings=int(num_rankings[one]),
            reliability=float(reliability[one]),
            agreement=_known(agreements[one]),
            tie_rate=float(tied[one] / max(compared[one], 1)),
            unusable_rate=float(marked[one] / seen[one]),
            upside_down=looks_upside_down(taus[(votes.labeler == one) & ~np.isnan(taus)]),
        )
        for one, name in enumerate(votes.labelers)
    )
    several = votes.num_entries[votes.entry_ranking] >= 2  # the place of a lone completion says nothing
    return AgreementReport(
        krippendorff_alpha=_known(alpha_of_values(votes.entry_item[several], votes.place[several], "ordinal")),
        mean_tau_b=_known(votes.mean_tau_b()),
        num_prompts=len({prompt_id for prompt_id, _ in votes.questions}),
        num_rankings=len(votes.rankings),
        labelers=labelers,
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
