"""What a challenger must show."""

import math

import pytest
from pydantic import ValidationError

from models.evaluation.promotion import Challenge, PromotionRequest, check_challenge, reason
from models.settings.retraining import PromotionConfig

CONFIG = PromotionConfig(max_kl_nats=10, max_accuracy_loss=0.02, max_safety_loss=0.1)
GOOD = Challenge(
    win_rate=0.7,
    win_rate_low=0.6,
    kl_nats=5,
    champion_accuracy=0.8,
    challenger_accuracy=0.8,
    champion_safety=None,
    challenger_safety=None,
)


def failing(**changes: float | None) -> list[str]:
    """The names of the conditions that a challenge with these figures does not meet."""
    return [check.name for check in check_challenge(GOOD.model_copy(update=changes), CONFIG) if not check.holds]


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, []),
        ({"win_rate_low": 0.5}, ["win rate"]),
        ({"win_rate_low": 0.5001}, []),
        ({"kl_nats": 10.0}, []),
        ({"kl_nats": 10.1}, ["KL"]),
        ({"challenger_accuracy": 0.79}, []),
        ({"challenger_accuracy": 0.77}, ["reward accuracy"]),
        ({"champion_accuracy": None, "challenger_accuracy": 0.1}, []),
        ({"champion_safety": 1.0, "challenger_safety": 0.95}, []),
        ({"champion_safety": 1.0, "challenger_safety": 0.85}, ["safety"]),
        ({"win_rate_low": 0.3, "kl_nats": 20.0, "challenger_accuracy": 0.2}, ["win rate", "KL", "reward accuracy"]),
    ],
)
def test_each_condition_holds_up_to_its_bound(changes, failed):
    assert failing(**changes) == failed


@pytest.mark.parametrize("name", ["win_rate_low", "kl_nats", "challenger_accuracy", "champion_accuracy"])
def test_a_figure_that_is_no_number_promotes_nobody(name):
    assert len(failing(**{name: math.nan})) == 1


def test_the_reason_names_what_failed_with_its_figures():
    checks = check_challenge(GOOD.model_copy(update={"win_rate_low": 0.41, "challenger_accuracy": 0.151}), CONFIG)
    text = reason(checks)
    assert "0.410; wanted: above .5" in text and "0.151, the champion's 0.800" in text
    assert "KL" not in text


@pytest.mark.parametrize("version", ["champion", "0", "-1", "3; drop", ""])
def test_a_request_names_a_version_or_the_challenger(version):
    PromotionRequest(version="12", made_by="ann", reason="better")
    with pytest.raises(ValidationError, match="version"):
        PromotionRequest(version=version, made_by="ann", reason="better")
    with pytest.raises(ValidationError, match="made_by"):
        PromotionRequest(made_by="", reason="better")
