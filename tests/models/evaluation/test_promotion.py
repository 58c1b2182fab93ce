"""What a challenger must show."""

import math

import pytest
from pydantic import ValidationError

from models.evaluation.paired import Paired
from models.evaluation.promotion import Challenge, PromotionRequest, check_challenge, level_of, reason
from models.settings.retraining import PromotionConfig
from tests.tolerances import close

CONFIG = PromotionConfig(max_kl_nats=10, max_accuracy_loss=0.02, max_safety_loss=0.1)


def paired(high: float) -> Paired:
    return Paired(champion=0.8, challenger=0.75, difference=-0.05, low=-0.2, high=high)


GOOD = Challenge(
    judge="household_rule",
    judge_is_independent=True,
    win_rate=0.7,
    win_rate_low=0.6,
    p_value=0.001,
    look=1,
    kl_nats=5,
    accuracy=paired(0.01),
    safety=paired(0.01),
)


def failing(**changes: object) -> list[str]:
    """The names of the conditions that a challenger with these figures does not meet."""
    return [check.name for check in check_challenge(GOOD.model_copy(update=changes), CONFIG) if not check.holds]


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, []),
        ({"p_value": 0.01}, []),  # .05 * 4 / (4 * 5)
        ({"p_value": 0.0101}, ["win rate"]),
        ({"win_rate": None, "win_rate_low": None, "p_value": None}, ["win rate"]),  # nobody has voted
        ({"look": 10}, []),  # .05 * 4 / (13 * 14) = .0011
        ({"look": 11}, ["win rate"]),  # .05 * 4 / (14 * 15) = .00095
        ({"win_rate_low": 0.4}, []),  # told, and no condition
        ({"kl_nats": 10.0}, []),
        ({"kl_nats": 10.1}, ["KL"]),
        ({"accuracy": paired(-0.02)}, []),
        ({"accuracy": paired(-0.021)}, ["reward accuracy"]),
        ({"accuracy": None, "safety": None}, []),
        ({"safety": paired(-0.1)}, []),
        ({"safety": paired(-0.11)}, ["safety"]),
        ({"p_value": 0.3, "kl_nats": 20.0, "accuracy": paired(-1)}, ["win rate", "KL", "reward accuracy"]),
    ],
)
def test_each_condition_holds_up_to_its_bound(changes, failed):
    assert failing(**changes) == failed


def test_own_reward_alone_promotes_nobody_unless_the_owner_says_so():
    own = GOOD.model_copy(update={"judge": "own_reward", "judge_is_independent": False})
    checks = check_challenge(own, CONFIG)
    assert [check.name for check in checks if not check.holds] == ["judge"]
    assert "own_reward judged, which the policy was tuned to please; name an independent judge" in reason(checks)
    assert all(check.holds for check in check_challenge(own, CONFIG.model_copy(update={"own_reward_suffices": True})))


@pytest.mark.parametrize(
    "changes",
    [{"p_value": math.nan}, {"kl_nats": math.nan}, {"accuracy": paired(math.nan)}, {"safety": paired(math.nan)}],
)
def test_a_figure_that_is_no_number_promotes_nobody(changes):
    assert len(failing(**changes)) == 1


@pytest.mark.parametrize(("look", "level"), [(1, 0.01), (2, 0.2 / 30), (50, 0.2 / 53 / 54), (200, 0.2 / 203 / 204)])
def test_the_level_falls_with_each_challenger(look, level):
    assert close(level_of(look), level, tolerance=1e-12)


def test_all_levels_together_are_five_percent():
    spent = sum(level_of(look) for look in range(1, 100_001))
    assert 0.05 - 2.1e-6 < spent <= 0.05  # 1/(k+3)(k+4) = 1/(k+3) - 1/(k+4): .2 (1/4 - 1/100,004)


def test_the_reason_names_what_failed_with_its_figures():
    checks = check_challenge(GOOD.model_copy(update={"p_value": 0.04, "look": 3, "accuracy": paired(-0.03)}), CONFIG)
    text = reason(checks)
    assert "the win rate is 0.700 (lower end of its 95 % interval: 0.600)" in text
    assert "a chance of at most 0.04; wanted of challenger number 3 to meet this champion: at most 0.0048" in text
    assert "0.750, the champion's 0.800: a difference of -0.050, 95 % interval from -0.200 to -0.030" in text
    assert "below -0.02" in text and "KL" not in text and "safety" not in text


@pytest.mark.parametrize("version", ["champion", "0", "-1", "3; drop", ""])
def test_a_request_names_a_version_or_the_challenger(version):
    PromotionRequest(version="12", made_by="ann", reason="better")
    with pytest.raises(ValidationError, match="version"):
        PromotionRequest(version=version, made_by="ann", reason="better")
    with pytest.raises(ValidationError, match="made_by"):
        PromotionRequest(made_by="", reason="better")


def test_a_challenger_whom_people_are_to_judge_waits_for_their_votes():
    waiting = GOOD.model_copy(update={"judge": "people", "win_rate": None, "win_rate_low": None, "p_value": None})
    assert reason(check_challenge(waiting, CONFIG)).startswith("the challenger waits: people have not voted yet")
