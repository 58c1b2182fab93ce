"""Elo ratings from head-to-heads: of policies, of their versions, of the completions of one prompt. Loads no torch.

Model: P(i beats j) = 1 / (1 + 10^((R_j - R_i) / 400)), a draw counting as half a win, so 400 points are odds of 10 : 1 (Elo 1978,
"The Rating of Chessplayers"). It is the Bradley-Terry model with R = anchor + 400 / ln 10 * theta, and theta is fitted to all
matches at once (Zermelo 1929; Bradley & Terry 1952), as Chatbot Arena does it (Chiang et al. 2024). Elo's own update, which
adds K (result - expected) after each match, is for players whose strength changes: there the last matches count most, and the
same matches in another order give other ratings. Policies and texts do not change, so here the order of the matches does not count.

Prior: theta ~ N(0, ln(10)^2), each rating within 400 points (one standard deviation) of the anchor. It tells less than one match
between equals (precision .19 against .25), and keeps whoever won or lost everything at a finite rating.
"""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import cg
from scipy.special import expit

from models.errors import DataError
from models.records import Authorship, Ranking, Record
from models.shapes import Float, Int

POINTS = 400 / math.log(10)  # per unit of theta, the natural logarithm of the odds
PRIOR_SD_POINTS = 400
PRIOR_PRECISION = (POINTS / PRIOR_SD_POINTS) ** 2  # of theta
Z_95 = 1.959964

HeadToHead = tuple[str, str, float | int]  # first, second, result: 1 = the first won, .5 = a draw, 0 = the second won


class EloRating(Record):
    """A player's rating, its 95 % interval against the mean of all players, and in how many matches it was seen."""

    name: str
    rating: float
    low: float
    high: float
    num_matches: int


def head_to_heads(rankings: Sequence[Ranking]) -> list[HeadToHead]:
    """Each two completions of each ranking as one match, so that completions get Elo ratings.

    Ties are draws, an unusable completion loses to every usable one, two unusable ones have no match. The criterion is not looked
    at: hand in rankings by one. Completions of different prompts never meet; rated prompt by prompt or all at once they get the
    same ratings, but only the former gives intervals within a prompt. A ranking of K counts K (K - 1) / 2 matches though K - 1
    would sort it, so the intervals are too narrow here, for strict rankings by a factor of about sqrt(K / 2).
    """
    matches: list[HeadToHead] = []
    for ranking in rankings:
        unusable = len(ranking.levels) + 1
        for (a, of_a), (b, of_b) in combinations(ranking.places.items(), 2):
            if min(of_a, of_b) < unusable:
                matches.append((a, b, (1 + (of_a < of_b) - (of_a > of_b)) / 2))
    return matches


def meetings_of_systems(rankings: Sequence[Ranking], systems: Sequence[Authorship]) -> list[HeadToHead]:
    """Each two completions of each ranking as matches between the systems that wrote them, as far as that is known.

    A text that several systems wrote stands for each of them; a system has no match against itself.
    """
    wrote: dict[str, list[str]] = {}
    for one in systems:
        wrote.setdefault(one.completion_id, []).append(one.system)
    return [
        (first, second, result)
        for a, b, result in head_to_heads(rankings)
        for first in wrote.get(a, ())
        for second in wrote.get(b, ())
        if first != second
    ]


def elo_ratings(matches: Sequence[HeadToHead], anchor: float = 1500.0) -> list[EloRating]:
    """One rating per player, best first (equal ones by name), the mean at `anchor`. The order of the matches changes nothing.

    Maximises sum log P(result) - sum (R - anchor)^2 / (2 * 400^2); see the model above. The interval is R ± 1.96 standard errors
    of R minus the mean of all players, from the inverse Hessian at the optimum (Laplace's approximation); with many draws it is,
    if anything, too wide. Players whom no chain of matches connects are compared by the prior alone: each group's mean is the
    anchor, and the intervals are wider by what is not known of the group as a whole.
    Memory grows with the square of the largest connected group: .7 GB and 4 seconds of one core for 5,000 players.
    Raises DataError naming the match of a result other than 1, .5 or 0, of a player against itself, and for no matches.
    """
    _check(matches)
    names = sorted({name for first, second, _ in matches for name in (first, second)})
    number = {name: index for index, name in enumerate(names)}
    players = np.array([(number[first], number[second]) for first, second, _ in matches], dtype=np.int64)
    results = np.array([result for _, _, result in matches], dtype=np.float64)
    fit = _BradleyTerry(players, results, len(names))
    theta = fit.strengths()
    half = Z_95 * np.sqrt(fit.variance_against_mean(theta))
    points = np.round(anchor + POINTS * np.stack([theta, theta - half, theta + half], axis=1), 6)  # the fit's digits
    num_matches = np.bincount(players.ravel())
    rated = [
        EloRating(name=name, rating=rating, low=low, high=high, num_matches=count)
        for name, (rating, low, high), count in zip(names, points.tolist(), num_matches.tolist(), strict=True)
    ]
    return sorted(rated, key=lambda one: -one.rating)  # names were in order


def _check(matches: Sequence[HeadToHead]) -> None:
    if not matches:
        raise DataError("no matches to rate players by")
    for place, (first, second, result) in enumerate(matches):
        if result not in (0, 0.5, 1):
            raise DataError(f"match {place}, {first} against {second}: the result must be 1, 0.5 or 0, found {result}")
        if first == second:
            raise DataError(f"match {place}: {first} stands against itself; give the two sides different names")


class _BradleyTerry:
    """All matches of N players, joined to one row per two players who met; the sums of halves are exact in any order.

    `first[M]` < `second[M]` are the two, `count[M]` their matches, `won[M]` the first one's wins, draws half.
    """

    def __init__(self, players: Int[np.ndarray, "matches 2"], results: Float[np.ndarray, " matches"], num_players: int):
        self.num_players = num_players
        low, high = players.min(axis=1), players.max(axis=1)
        pairs, pair = np.unique(low * num_players + high, return_inverse=True)
        self.first, self.second = pairs // num_players, pairs % num_players
        self.count = np.bincount(pair)
        self.won = np.bincount(pair, np.where(players[:, 0] == low, results, 1 - results))

    def strengths(self) -> Float[np.ndarray, " N"]:
        """The most probable theta, by Newton's method from 0; its sum is 0 in every connected group.

        A Newton step v that changes the largest gap theta_i - theta_j by `reach` is shortened by ln(1 + reach) / reach. The
        third derivative of the loss along v is at most `reach` times the second, so each such step lowers the loss, and near
        the optimum it is a full one. Source: Sun & Tran-Dinh 2019, "Generalized self-concordant functions", nu = 2.
        """
        theta = np.zeros(self.num_players)
        reach = math.inf
        while reach > 1e-8:
            surplus = (self.count - self.won) * expit(self._gaps(theta)) - self.won * expit(-self._gaps(theta))
            slope = np.bincount(self.first, surplus, self.num_players) + PRIOR_PRECISION * theta
            slope -= np.bincount(self.second, surplus, self.num_players)
            hessian = self._hessian(theta)
            step, _ = cg(hessian, -slope, M=diags_array(1 / hessian.diagonal()))
            reach = np.abs(self._gaps(step)).max()
            theta += step * (math.log1p(reach) / reach if reach else 1)
        return theta

    def variance_against_mean(self, theta: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
        """Var(theta_i - mean theta) = S_ii - 1 / (prior precision * N), S the inverse Hessian.

        Since H 1 = prior precision * 1, the mean has the same covariance, 1 / (prior precision * N), with every theta_i.
        """
        hessian = self._hessian(theta)
        _, group = connected_components(hessian, directed=False)
        order = np.argsort(group, kind="stable")
        diagonal = np.empty(self.num_players)
        for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
            diagonal[members] = _inverse_diagonal(hessian[members][:, members].toarray())
        return diagonal - 1 / (PRIOR_PRECISION * self.num_players)

    def _gaps(self, theta: np.ndarray) -> Float[np.ndarray, " M"]:
        return theta[self.first] - theta[self.second]

    def _hessian(self, theta: np.ndarray) -> csr_array:
        """The Laplacian of the graph of matches, each two players' edge count * p * (1 - p), plus the prior's precision."""
        edge = self.count * expit(self._gaps(theta)) * expit(-self._gaps(theta))
        diagonal = PRIOR_PRECISION + sum(np.bincount(end, edge, self.num_players) for end in (self.first, self.second))
        every = np.arange(self.num_players)
        rows = np.concatenate([every, self.first, self.second])
        columns = np.concatenate([every, self.second, self.first])
        values = np.concatenate([diagonal, -edge, -edge])
        return coo_array((values, (rows, columns)), shape=(self.num_players, self.num_players)).tocsr()


def _inverse_diagonal(matrix: Float[np.ndarray, "K K"]) -> Float[np.ndarray, " K"]:
    """The diagonal of the inverse of a positive definite matrix L L^T: the sums of squares of the columns of L^-1."""
    inverse_factor, _ = lapack.dtrtri(np.linalg.cholesky(matrix), lower=1)
    return np.einsum("ij,ij->j", inverse_factor, inverse_factor)
