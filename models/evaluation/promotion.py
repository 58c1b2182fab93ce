"""Whether a challenger takes the champion's place: what a person decides, or the checks, each with its figure."""

from typing import Annotated, Literal

from pydantic import Field

from models.records import Record
from models.settings.base import Settings
from models.settings.batch import FeedbackConfig
from models.settings.pipeline import TrackingConfig
from models.settings.retraining import PromotionConfig


class PromotionRequest(Settings):
    """What a person decides about the champion."""

    action: Literal["promote", "roll_back"] = "promote"
    """promote: the version below becomes champion, whatever was measured; roll_back: the champion before this one is champion again."""
    version: Annotated[str, Field(pattern=r"^(challenger|[1-9][0-9]*)$")] = "challenger"
    """Which version of the policy: its number in the model registry, or `challenger`, the newest that was learned."""
    made_by: Annotated[str, Field(min_length=1)]
    """Who decides; kept with the move."""
    reason: Annotated[str, Field(min_length=1)]
    """Why; kept with the move."""
    tracking: TrackingConfig = TrackingConfig()
    """The model registry."""
    feedback: FeedbackConfig = FeedbackConfig()
    """The feedback store, which keeps every move."""


class Challenge(Record):
    """What was measured of champion and challenger on the same held-out prompts. Before there is a champion it is the base.

    `win_rate_low`: lower end of the 95 % interval of the challenger's win rate. Accuracies are shares of the same preferences
    that each reward model orders rightly, nan where there are none; None: the base has no reward model. Safety scores are
    means; None: no model measures safety.
    """

    win_rate: float
    win_rate_low: float
    kl_nats: float
    champion_accuracy: float | None
    challenger_accuracy: float
    champion_safety: float | None
    challenger_safety: float | None


class Check(Record):
    """One condition of a promotion: whether it holds, and the figures in words."""

    name: str
    holds: bool
    finding: str


def check_challenge(challenge: Challenge, config: PromotionConfig) -> list[Check]:
    """Every condition of a promotion with what was found. A figure that is not a number fails its condition."""
    low, kl = challenge.win_rate_low, challenge.kl_nats
    checks = [
        Check(
            name="win rate",
            holds=low > 0.5,
            finding=f"the lower end of the win rate ({challenge.win_rate:.3f}) is {low:.3f}; wanted: above .5",
        ),
        Check(
            name="KL",
            holds=kl <= config.max_kl_nats,
            finding=f"KL to the base is {kl:.1f} nats a completion; allowed: {config.max_kl_nats:g}",
        ),
    ]
    if challenge.champion_accuracy is not None:
        new, old = challenge.challenger_accuracy, challenge.champion_accuracy
        checks.append(
            Check(
                name="reward accuracy",
                holds=new >= old - config.max_accuracy_loss,
                finding=f"the reward model's accuracy on held-out prompts is {new:.3f}, the champion's {old:.3f}; "
                f"allowed: {config.max_accuracy_loss:g} lower",
            )
        )
    if challenge.champion_safety is not None and challenge.challenger_safety is not None:
        new, old = challenge.challenger_safety, challenge.champion_safety
        checks.append(
            Check(
                name="safety",
                holds=new >= old - config.max_safety_loss,
                finding=f"the mean safety score is {new:.2f}, the champion's {old:.2f}; "
                f"allowed: {config.max_safety_loss:g} lower",
            )
        )
    return checks


def reason(checks: list[Check]) -> str:
    """One line: every condition that failed, or that all hold and what was found."""
    failed = [check.finding for check in checks if not check.holds]
    return "; ".join(failed) if failed else "; ".join(check.finding for check in checks)
