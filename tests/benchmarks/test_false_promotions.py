"""That challengers who are no better take a champion's place as seldom as is said: benchmarks/false_promotions.py with few repetitions."""

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.false_promotions import KINDS, any_promoted, count_false_promotions, power, refusals
from models.evaluation.intervals import sign_flip_p_value
from models.evaluation.promotion import MAX_FALSE_PROMOTIONS, level_of

NUM_HISTORIES = 60
MOST = binom.isf(1e-4, NUM_HISTORIES, MAX_FALSE_PROMOTIONS)  # 12


@pytest.mark.parametrize("kind", KINDS)
def test_two_hundred_equal_challengers_seldom_have_one_promoted(kind):
    assert count_false_promotions(kind, 50, NUM_HISTORIES, seed=0) <= MOST


def test_the_same_level_at_each_look_would_promote_equal_ones():
    assert count_false_promotions("coin", 50, 20, seed=0, level=lambda look: 0.025) > binom.isf(1e-4, 20, 0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_outcomes_are_one_half_on_average(kind):
    outcomes, num_samples = KINDS[kind]
    drawn = outcomes(np.random.default_rng(0), 200, 400)
    assert drawn.shape == (200, 400) and abs(drawn.mean() - 0.5) < 0.03
    assert np.isin(2 * num_samples**2 * drawn, range(2 * num_samples**2 + 1)).all()


@pytest.mark.parametrize("kind", ["coin", "averages"])
def test_what_is_left_out_unlooked_at_would_not_be_promoted(kind):
    outcomes, num_samples = KINDS[kind]
    drawn = outcomes(np.random.default_rng(2), 40, 12)
    expected = [any(sign_flip_p_value(row, num_samples) <= level_of(1) for row in one) for one in drawn[:, None]]
    assert [any_promoted(one, num_samples) for one in drawn[:, None]] == expected


def test_power_is_the_chance_of_the_wins_that_are_needed():
    # ten prompts and two lost: nine of twelve coins or more have .073, ten .019, eleven .0032: all ten are too few for .01
    assert power(0.9, 10, look=1) == 0
    # 12 and two lost: twelve of fourteen .0065; so all twelve are needed
    assert power(0.9, 12, look=1) == pytest.approx(0.9**12)


def test_an_equally_good_reward_model_is_hardly_ever_refused_by_twenty_prompts_and_a_bad_one_is():
    by_interval, by_difference = refusals(0.0, 20, 100, seed=0)
    assert by_interval <= binom.isf(1e-4, 100, 0.025) / 100
    assert by_difference > 0.1, "the difference itself would refuse many"
    assert refusals(0.4, 20, 20, seed=0)[0] > 0.9
