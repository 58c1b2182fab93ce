"""Elo ratings against closed forms, first-order conditions written out, simulated tournaments, and what must change nothing."""

import math
import random
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import DataError
from models.preferences.elo import EloRating, elo_ratings, head_to_heads
from models.records import Ranking
from tests.tolerances import close

PLAYERS = "abcdef"
exact = settings(max_examples=60, deadline=None, derandomize=True)
games = st.lists(
    st.tuples(st.permutations(list(PLAYERS)), st.sampled_from([1.0, 0.5, 0.0])).map(
        lambda one: (one[0][0], one[0][1], one[1])
    ),
    min_size=1,
    max_size=30,
)


def by_name(rated: list[EloRating]) -> dict[str, EloRating]:
    return {one.name: one for one in rated}


def width(one: EloRating) -> float:
    return one.high - one.low


def expected_result(difference: float) -> float:
    return 1 / (1 + 10 ** (-difference / 400))


def tournament(skills: dict[str, float], rounds: int, chance: random.Random) -> list[tuple[str, str, float]]:
    """Everyone meets everyone so often; who wins is drawn."""
    return [
        (a, b, float(chance.random() < expected_result(skills[a] - skills[b])))
        for _ in range(rounds)
        for a, b in combinations(skills, 2)
    ]


def slope_per_point(ratings: np.ndarray, matches: list, names: list[str]) -> np.ndarray:
    """The derivative of log P(results) - sum (R - 1500)^2 / (2 * 400^2) by each rating, match by match."""
    slope = -(ratings - 1500) / 400**2
    for first, second, result in matches:
        i, j = names.index(first), names.index(second)
        surplus = (result - expected_result(ratings[i] - ratings[j])) * math.log(10) / 400
        slope[i] += surplus
        slope[j] -= surplus
    return slope


@pytest.mark.parametrize(("won", "played"), [(3, 4), (1, 1), (0, 7), (200, 200), (100_000, 100_000)])
def test_two_players_by_bisection(won, played):
    # theta and -theta, with n sigmoid(2 theta) - w + theta / ln(10)^2 = 0, whose left side rises with theta.
    low, high = -20.0, 20.0
    for _ in range(100):
        theta = (low + high) / 2
        if played / (1 + math.exp(-2 * theta)) - won + theta / math.log(10) ** 2 < 0:
            low = theta
        else:
            high = theta
    # H = [[c + e, -e], [-e, c + e]], c = 1 / ln(10)^2, e = n p (1 - p): (theta_a - theta_b) / 2 has variance 1 / (2 (c + 2 e))
    p = 1 / (1 + math.exp(-2 * theta))
    error = 1 / math.sqrt(2 * (1 / math.log(10) ** 2 + 2 * played * p * (1 - p)))
    scale = 400 / math.log(10)
    rated = by_name(elo_ratings([("a", "b", 1)] * won + [("a", "b", 0)] * (played - won)))
    assert close(rated["a"].rating, 1500 + scale * theta, 2e-6)
    assert close(rated["b"].rating, 1500 - scale * theta, 2e-6)
    assert close(rated["a"].high - rated["a"].rating, 1.959964 * scale * error, 1e-5)
    assert close(rated["a"].rating - rated["a"].low, 1.959964 * scale * error, 1e-5)
    assert rated["a"].num_matches == rated["b"].num_matches == played


def test_four_hundred_points_are_odds_of_ten_to_one():
    # The prior pulls the difference d with d / (2 * 400^2) = .00125 against a curvature of 110,000 * 10/121 * (ln 10 / 400)^2 =
    # .301, so by .004 points.
    rated = by_name(elo_ratings([("a", "b", 1)] * 100_000 + [("a", "b", 0)] * 10_000))
    assert close(rated["a"].rating - rated["b"].rating, 400, 0.02)


@exact
@given(games)
def test_ratings_fulfil_the_first_order_conditions(matches):
    # The objective is strictly concave, so this is the one optimum. A rating off by 1e-5 would show as at least 1e-5 / 400^2.
    rated = elo_ratings(matches)
    slope = slope_per_point(np.array([one.rating for one in rated]), matches, [one.name for one in rated])
    assert close(slope, np.zeros(len(rated)), 1e-5 / 400**2)
    assert close(np.mean([one.rating for one in rated]), 1500, 1e-5)
    assert [one.rating for one in rated] == sorted((one.rating for one in rated), reverse=True)


def test_lopsided_matches_are_fitted():
    # Long chains of players who nearly always lose, joined by few matches: full Newton steps never settle on these.
    table = [
        *[("a", "e", 8, 0), ("b", "f", 0, 678), ("b", "g", 7788, 0), ("c", "f", 0, 4383)],
        *[("d", "e", 230, 0), ("d", "g", 137, 0), ("e", "f", 6, 7), ("f", "g", 146, 0)],
    ]
    matches = [(a, b, one) for a, b, won, lost in table for one in [1.0] * won + [0.0] * lost]
    rated = elo_ratings(matches)
    slope = slope_per_point(np.array([one.rating for one in rated]), matches, [one.name for one in rated])
    assert close(slope, np.zeros(7), 1e-9)  # ratings are given to 1e-6, and some curvatures are near 2e-4


@exact
@given(games)
def test_intervals_come_from_the_curvature_of_what_was_maximised(matches):
    rated = elo_ratings(matches)
    names, ratings, step = [one.name for one in rated], np.array([one.rating for one in rated]), 0.1
    curvature = [
        (slope_per_point(ratings - shift, matches, names) - slope_per_point(ratings + shift, matches, names))
        / (2 * step)
        for shift in step * np.eye(len(rated))
    ]
    against_mean = np.eye(len(rated)) - 1 / len(rated)
    variance = np.diag(against_mean @ np.linalg.inv(np.array(curvature)) @ against_mean)
    assert close([width(one) for one in rated], 2 * 1.959964 * np.sqrt(variance), 1e-2)


def test_the_order_of_matches_changes_nothing():
    chance = random.Random(0)
    matches = tournament({"ann": 100, "bob": 0, "cem": -50, "dan": -50}, rounds=5, chance=chance)
    matches += [("ann", "dan", 0.5), ("dan", "bob", 0.5)]
    rated = elo_ratings(matches)
    for _ in range(10):
        assert elo_ratings(chance.sample(matches, len(matches))) == rated


def test_playing_everything_twice_narrows_the_intervals_by_sqrt_2():
    matches = tournament(dict(zip(PLAYERS, range(-100, 200, 50), strict=False)), rounds=40, chance=random.Random(1))
    once, twice = by_name(elo_ratings(matches)), by_name(elo_ratings(matches * 2))
    for name, one in once.items():
        # Each has 200 matches of information about 1/4 against the prior's .19: it moves ratings by some 1/250 of their height.
        assert abs(twice[name].rating - one.rating) < 1
        assert width(one) / width(twice[name]) == pytest.approx(math.sqrt(2), rel=0.005)
        assert abs(twice[name].rating - 1500) > abs(one.rating - 1500), "the prior weighs less"
        assert twice[name].num_matches == 2 * one.num_matches == 400


def test_intervals_hold_the_truth_as_often_as_they_say():
    # 300 tournaments of 8 players: 2,400 intervals; a share of .95 would scatter by about .0045.
    skills = {f"player {number}": 100.0 * number - 350 for number in range(8)}
    chance, held = random.Random(2), 0
    for _ in range(300):
        rated = elo_ratings(tournament(skills, rounds=10, chance=chance))
        held += sum(one.low <= 1500 + skills[one.name] <= one.high for one in rated)
    assert 0.92 <= held / 2400 <= 0.98


def test_a_draw_is_half_a_win_each():
    twice_drawn = elo_ratings([("a", "b", 0.5), ("b", "a", 0.5), ("a", "c", 1)])
    assert twice_drawn == elo_ratings([("a", "b", 1), ("a", "b", 0), ("c", "a", 0)])
    assert [one.rating for one in elo_ratings([("a", "b", 0.5)])] == [1500, 1500]


def test_players_who_never_met_are_compared_by_the_prior_alone():
    one, other = [("a", "b", 1), ("b", "c", 1)], [("x", "y", 1), ("x", "y", 1)]
    joint, alone = by_name(elo_ratings(one + other)), by_name(elo_ratings(one) + elo_ratings(other))
    for name, player in joint.items():
        assert close(player.rating, alone[name].rating, 1e-5)
        # The mean of a group of n has variance 400^2 / n, the mean of all five 400^2 / 5; their difference 400^2 (1/n - 1/5).
        offset = 400**2 * (1 / (3 if name in "abc" else 2) - 1 / 5)
        assert close(width(player), 2 * math.hypot(width(alone[name]) / 2, 1.959964 * math.sqrt(offset)), 1e-4)


@exact
@given(games, st.permutations(list(PLAYERS)))
def test_renaming_players_and_swapping_sides_change_nothing(matches, names):
    renamed = dict(zip(PLAYERS, names, strict=True))
    original, swapped = elo_ratings(matches), elo_ratings([(b, a, 1 - result) for a, b, result in matches])
    other = by_name(elo_ratings([(renamed[a], renamed[b], result) for a, b, result in matches]))
    assert swapped == original
    for one in original:
        same = other[renamed[one.name]]
        assert close([same.rating, same.low, same.high], [one.rating, one.low, one.high], 5e-6)
        assert same.num_matches == one.num_matches


@exact
@given(games)
def test_the_anchor_moves_everyone(matches):
    for one, other in zip(elo_ratings(matches), elo_ratings(matches, anchor=0.0), strict=True):
        assert one.name == other.name
        assert close([one.rating, one.low, one.high], [other.rating + 1500, other.low + 1500, other.high + 1500], 5e-6)


def test_equal_players_stand_by_name_whatever_the_rounding():
    for seed in range(10):
        circle = random.Random(seed).sample("abcdefg", 7)
        matches = [(first, second, 1) for first, second in zip(circle, circle[1:] + circle[:1], strict=True)]
        matches += [(player, "aa", 1) for player in circle]
        assert [one.name for one in elo_ratings(matches)] == [*"abcdefg", "aa"]


@pytest.mark.parametrize(
    ("match", "complaint"),
    [
        (("a", "b", 2), "match 1, a against b: the result must be 1, 0.5 or 0, found 2"),
        (("a", "b", math.nan), "match 1, a against b: the result must be 1, 0.5 or 0, found nan"),
        (("a", "a", 0.5), "match 1: a stands against itself"),
    ],
)
def test_wrong_matches_are_named(match, complaint):
    with pytest.raises(DataError, match=complaint):
        elo_ratings([("a", "b", 1), match])


def test_no_matches():
    with pytest.raises(DataError, match="no matches"):
        elo_ratings([])


def test_rankings_as_head_to_heads():
    ranking = Ranking.of("p", "ann", "helpful", ["b", "ac"], unusable="de")
    assert head_to_heads([ranking]) == [
        *[("b", "a", 1), ("b", "c", 1), ("b", "d", 1), ("b", "e", 1)],
        *[("a", "c", 0.5), ("a", "d", 1), ("a", "e", 1)],
        *[("c", "d", 1), ("c", "e", 1)],  # d and e, both unusable, do not meet
    ]
    assert head_to_heads([]) == head_to_heads([Ranking.of("p", "ann", "helpful", [], unusable="de")]) == []


def test_completions_get_ratings_from_the_rankings_of_several_people():
    people = [
        Ranking.of("p", "ann", "helpful", ["a", "b", "c"]),
        Ranking.of("p", "bob", "helpful", ["a", "bc"]),
        Ranking.of("p", "cem", "helpful", ["b", "a"], unusable="c"),
    ]
    rated = elo_ratings(head_to_heads(people))
    # wins: a 2 + 2 + 1, b 1 + 1/2 + 2, c 0 + 1/2 + 0, each of 6
    assert [one.name for one in rated] == ["a", "b", "c"]
    assert [one.num_matches for one in rated] == [6, 6, 6]
