"""Whether a challenger takes the champion's place: what a person decides, or the checks, each with its figure."""

from typing import Annotated, Literal

from pydantic import Field

from models.evaluation.paired import Paired
from models.records import Record
from models.settings.base import Settings
from models.settings.batch import FeedbackConfig
from models.settings.pipeline import TrackingConfig
from models.settings.retraining import PromotionConfig
from models.written_numbers import nats

MAX_FALSE_PROMOTIONS = 0.05  # the chance that any challenger who is no better takes a champion's place


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

    `judge`: what compared them.
    `win_rate_low`: lower end of the 95 % interval of the challenger's win rate; `p_value`: at most this is the chance of such a win rate
    between equal policies; None, all three, where the judge is people who have not voted. `look`: how many challengers have met this champion, this one included. `accuracy`: shares of the same
    preferences that each reward model orders rightly, nan where there are none; None: the base has no reward model. `safety`: mean
    scores; None: no model measures safety.
    """

    judge: str
    judge_is_independent: bool
    win_rate: float | None
    win_rate_low: float | None
    p_value: float | None
    look: int
    kl_nats: float
    accuracy: Paired | None
    safety: Paired | None


class Check(Record):
    """One condition of a promotion: whether it holds, and the figures in words."""

    name: str
    holds: bool
    finding: str


def level_of(look: int) -> float:
    """How improbable a win rate must be between equal policies, for the challenger that is the `look`-th to meet a champion.

    `.05 * 4 / ((k + 3) (k + 4))`, which sums to .05 over all k = 1, 2, ...: however many challengers no better than the champion meet
    it, one of them takes its place with a chance of at most 5 %. That is the union bound, which holds although all of them meet on the
    same prompts. The series falls slowly, .01 at first and .00007 at the fiftieth (docs/decisions/0029).
    """
    return MAX_FALSE_PROMOTIONS * 4 / ((look + 3) * (look + 4))


def check_challenge(challenge: Challenge, config: PromotionConfig) -> list[Check]:
    """Every condition of a promotion with what was found. A figure that is not a number fails its condition."""
    checks = [
        Check(
            name="judge",
            holds=challenge.judge_is_independent or config.own_reward_suffices,
            finding=_judged_by(challenge, config),
        ),
        _check_win_rate(challenge),
        Check(
            name="KL",
            holds=challenge.kl_nats <= config.max_kl_nats,
            finding=f"KL to the base is {nats(challenge.kl_nats)} nats a completion; allowed: {config.max_kl_nats:g}",
        ),
    ]
    if challenge.accuracy is not None:
        what = "reward model's accuracy on held-out prompts"
        checks.append(_check_no_worse("reward accuracy", what, challenge.accuracy, config.max_accuracy_loss))
    if challenge.safety is not None:
        checks.append(_check_no_worse("safety", "mean safety score", challenge.safety, config.max_safety_loss))
    return checks


def _judged_by(challenge: Challenge, config: PromotionConfig) -> str:
    if challenge.judge_is_independent:
        return f"{challenge.judge} judged, which nothing was tuned to please"
    if config.own_reward_suffices:
        return f"{challenge.judge} judged, which the policy was tuned to please: promotion.own_reward_suffices says that this is enough"
    return (
        f"{challenge.judge} judged, which the policy was tuned to please; name an independent judge in evaluation.judges, or say "
        "promotion.own_reward_suffices"
    )


def _check_win_rate(challenge: Challenge) -> Check:
    level = level_of(challenge.look)
    if challenge.p_value is None:
        waits = "the challenger waits: people have not voted yet (`rein evaluate` counts their votes, `rein promote` promotes)"
        return Check(name="win rate", holds=False, finding=waits)
    return Check(
        name="win rate",
        holds=challenge.p_value <= level,
        finding=f"the win rate is {challenge.win_rate:.3f} (lower end of its 95 % interval: {challenge.win_rate_low:.3f}); equal "
        f"policies reach it with a chance of at most {challenge.p_value:.2g}; wanted of challenger number {challenge.look} to meet "
        f"this champion: at most {level:.2g}",
    )


def _check_no_worse(name: str, what: str, paired: Paired, max_loss: float) -> Check:
    return Check(
        name=name,
        holds=paired.high >= -max_loss,  # nan holds nothing
        finding=f"the {what} is {paired.challenger:.3f}, the champion's {paired.champion:.3f}: a difference of "
        f"{paired.difference:+z.3f}, 95 % interval from {paired.low:+z.3f} to {paired.high:+z.3f}; "
        f"refused if all of it is below {-max_loss:g}",
    )


def reason(checks: list[Check]) -> str:
    """One line: every condition that failed, or that all hold and what was found."""
    failed = [check.finding for check in checks if not check.holds]
    return "; ".join(failed) if failed else "; ".join(check.finding for check in checks)
