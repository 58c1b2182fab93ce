"""How far labelers agree: Krippendorff's alpha, Kendall's tau-b, and how often one says what another says. Loads no torch."""

import math
from collections.abc import Iterable, Sequence
from itertools import permutations
from typing import Literal

import numpy as np

from models.preferences.vote_table import VoteTable
from models.records import Ranking
from models.shapes import Float, Int, Real

UPSIDE_DOWN_TAU = -0.2  # weaker disagreement than this may be taste
UPSIDE_DOWN_RANKINGS = 10  # with fewer rankings, bad luck looks like a misread instruction


def krippendorff_alpha(
    ratings: Float[np.ndarray, "raters units"], level: Literal["nominal", "ordinal", "interval"]
) -> float:
    """Krippendorff's alpha of a ratings table with nan for missing: 1 = full agreement, 0 = chance, below 0 = against.

    alpha = 1 - D_o / D_e from the coincidence matrix; units with fewer than two ratings are left out; nan where
    no rating varies or none can be compared. Source: Krippendorff 2011, "Computing Krippendorff's alpha-reliability".
    """
    units, raters = np.nonzero(~np.isnan(ratings.T))
    return alpha_of_values(units, ratings[raters, units], level)


def alpha_of_values(
    units: Int[np.ndarray, " R"], values: Float[np.ndarray, " R"], level: Literal["nominal", "ordinal", "interval"]
) -> float:
    """Krippendorff's alpha of a list of ratings (`values[r]` was given to unit `units[r]`), in time linear in its length.

    Coincidences o_ck = sum_u n_uc (n_uk - [c = k]) / (m_u - 1) and marginals n_c, with distances nominal [c != k], interval
    (c - k)^2, and ordinal (sum_{g=c..k} n_g - (n_c + n_k) / 2)^2. The ordinal one is the interval one between the mid-ranks
    cumsum(n)_c - n_c / 2; sums of squared differences follow from sums and sums of squares, so o is never written out.
    """
    sizes = np.bincount(units)
    kept = sizes[units] >= 2 if len(units) else np.zeros(0, dtype=bool)
    if not kept.any():
        return math.nan
    _, unit = np.unique(units[kept], return_inverse=True)
    distinct, value = np.unique(values[kept], return_inverse=True)
    size, marginal = np.bincount(unit), np.bincount(value)
    total = len(unit)
    if level == "nominal":
        cells, in_cell = np.unique(unit * len(distinct) + value, return_counts=True)
        same = np.bincount(cells // len(distinct), in_cell.astype(float) ** 2)
        observed = ((size**2 - same) / (size - 1)).sum()
        expected = total**2 - (marginal.astype(float) ** 2).sum()
    else:
        scale = distinct if level == "interval" else np.cumsum(marginal) - marginal / 2
        x = (scale - scale[value].mean())[value]  # centred: the difference of large sums would lose digits
        sums, squares = np.bincount(unit, x), np.bincount(unit, x**2)
        observed = (2 * (size * squares - sums**2) / (size - 1)).sum()
        expected = 2 * (total * squares.sum() - sums.sum() ** 2)
    if len(distinct) < 2:
        return math.nan
    return float(1 - observed * (total - 1) / expected)


def shares_of_agreement(
    unit: Int[np.ndarray, " R"], answer: Int[np.ndarray, " R"], who: Int[np.ndarray, " R"]
) -> tuple[float, float]:
    """(percent agreement, leave-one-out agreement) of answers 0, 1, ... that `who[r]` gave to `unit[r]`, as shares; nan where no unit
    was answered by two.

    - Percent agreement: of all pairs of answers by two people to one unit, the share that are equal.
    - Leave-one-out agreement: over all answers to units that others answered too, how often an answer is the mode of the others'.
      Where several answers are the mode, one of them is taken at random: an answer among m of them counts 1 / m.

    A tie is an answer of its own: it agrees with a tie alone. Nobody is compared with themselves. Both take time linear in R.

    Source: "human agreement" in Li et al. 2023, AlpacaEval (github.com/tatsu-lab/alpaca_eval, README), where one of four people has
    65.7 % with the mode of the other three.
    """
    kinds = int(answer.max(initial=0)) + 1
    _, unit = np.unique(unit, return_inverse=True)
    _, voter = np.unique(unit * (int(who.max(initial=0)) + 1) + who, return_inverse=True)
    of_unit, of_voter = (
        np.bincount(group * kinds + answer, minlength=kinds * (group.max(initial=-1) + 1)).reshape(-1, kinds)
        for group in (unit, voter)
    )
    others = of_unit[unit] - of_voter[voter]
    known = others.sum(1) > 0
    if not known.any():
        return math.nan, math.nan
    others, answer = others[known], answer[known]
    each = np.arange(len(answer))
    is_mode = others == others.max(1, keepdims=True)
    percent = others[each, answer].sum() / others.sum()
    return float(percent), float((is_mode[each, answer] / is_mode.sum(1)).mean())


def order_agreement(rankings: Iterable[Ranking], people: Iterable[Ranking]) -> float | None:
    """How often rankings have two completions in the order in which somebody else of these people has them; a tie there is half, and chance
    is half. None where nobody else put any two of them in an order."""
    of_question: dict[tuple[str, str], list[Ranking]] = {}
    for one in people:
        of_question.setdefault((one.prompt_id, one.criterion), []).append(one)
    agreed, compared = 0.0, 0
    for ranking in rankings:
        ours = ranking.places
        for other in of_question.get((ranking.prompt_id, ranking.criterion), ()):
            theirs = other.places
            if other.labeler == ranking.labeler:
                continue
            for better, worse in permutations(ours.keys() & theirs.keys(), 2):
                if theirs[better] < theirs[worse]:
                    agreed += (ours[better] < ours[worse]) + 0.5 * (ours[better] == ours[worse])
                    compared += 1
    return agreed / compared if compared else None


def mean_tau_b(rankings: Sequence[Ranking]) -> float:
    """Mean tau-b over every two labelers of every prompt and criterion, on what both compared; nan if there is none.

    Unusable completions stand last together. Two labelers of whom one ties everything have no tau-b and do not count.
    Raises DataError where one labeler ranked the same completions twice in one session.
    """
    return mean_tau_b_of(VoteTable(rankings))


def mean_tau_b_of(votes: VoteTable) -> float:
    """See `mean_tau_b`. The comparisons of a question are joined on the pair of items they compare."""
    voters, left, right = compared_by_both(votes)
    _, pair = np.unique(voters, return_inverse=True)
    taus = _tau_b(np.bincount(pair, left * right), np.bincount(pair, left != 0), np.bincount(pair, right != 0))
    return float(np.nanmean(taus)) if not np.isnan(taus).all() else math.nan


def compared_by_both(
    votes: VoteTable,
) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"], Int[np.ndarray, " P"]]:
    """(two voters as one number, sign of the one, sign of the other) for all that two labelers both compared.

    The number is the one voter times the number of voters plus the other.
    """
    voter, sign = votes.voter[votes.ranking], votes.sign.astype(np.int8)
    parts = [(np.zeros(0, np.int64), sign[:0], sign[:0])]
    left = np.arange(len(sign))
    for lag in range(1, len(sign)):  # comparisons of the same two items stand together
        left = left[left + lag < len(sign)]
        same = votes.first_item[left + lag] == votes.first_item[left]
        left = left[same & (votes.second_item[left + lag] == votes.second_item[left])]
        if not len(left):
            break
        one = left[voter[left] != voter[left + lag]]  # nobody is compared with themselves
        parts.append((voter[one] * len(votes.voter_labeler) + voter[one + lag], sign[one], sign[one + lag]))
    voters, lefts, rights = zip(*parts, strict=True)
    return np.concatenate(voters), np.concatenate(lefts), np.concatenate(rights)


def tau_with_others(votes: VoteTable) -> Float[np.ndarray, " R"]:
    """Tau-b of each ranking with the mean places that the other labelers gave in its question; nan where undefined."""
    place = votes.voice_mean(votes.place)
    total = np.bincount(votes.voice_item, place)[votes.voice_item]
    others = np.bincount(votes.voice_item)[votes.voice_item] - 1
    mean = np.where(others > 0, (total - place) / np.maximum(others, 1), np.nan)[votes.entry_voice]
    return tau_with_order(
        votes, np.round(mean[votes.second] - mean[votes.first], 9)
    )  # equal means differ by no rounding


def tau_with_order(votes: VoteTable, lead: Float[np.ndarray, " M"]) -> Float[np.ndarray, " R"]:
    """Tau-b of each ranking with another order of the same things: `lead` says of each comparison how far the first stands
    above the second there, nan where that is not known. nan where undefined."""
    known = ~np.isnan(lead)
    ranking, ours, theirs = votes.ranking[known], votes.sign[known], np.sign(lead[known])
    size = votes.num_rankings
    return _tau_b(
        np.bincount(ranking, ours * theirs, size),
        np.bincount(ranking, ours != 0, size),
        np.bincount(ranking, theirs != 0, size),
    )


def _tau_b(
    shared: Real[np.ndarray, " G"], untied: Real[np.ndarray, " G"], other_untied: Real[np.ndarray, " G"]
) -> Float[np.ndarray, " G"]:
    """Concordant less discordant pairs over the root of the numbers of untied ones; nan where one side is all ties."""
    product = untied * other_untied
    return np.where(product > 0, shared / np.sqrt(np.maximum(product, 1)), np.nan)


def looks_upside_down(taus: Float[np.ndarray, " R"]) -> bool:
    """Whether a labeler's tau-b values with the others are clearly negative: at least 10, mean below -.2, and the upper end
    of the mean's 95 % interval (mean + 1.96 standard errors) below 0."""
    if len(taus) < UPSIDE_DOWN_RANKINGS:
        return False
    upper = taus.mean() + 1.96 * taus.std(ddof=1) / math.sqrt(len(taus))
    return bool(taus.mean() < UPSIDE_DOWN_TAU and upper < 0)
