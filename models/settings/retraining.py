"""The settings of rounds, of retraining on new feedback, and of what a challenger must show to become champion."""

from typing import Annotated

from pydantic import Field

from models.settings.base import Fraction, Positive, Settings


class PromotionConfig(Settings):
    """What a challenger must show, on prompts that nothing has learned from, to take the champion's place.

    Its win rate is, in any case, so high that all challengers of a champion who are no better than it have together a chance of at
    most 5 % that any of them reaches as much.
    """

    local_fields = ("safety_model",)
    uncounted_fields = ("own_reward_suffices", "max_kl_nats", "max_accuracy_loss", "max_safety_loss")
    max_kl_nats: Positive = 15.0
    """Most KL to the base, per completion, in nats."""
    max_accuracy_loss: Fraction = 0.02
    """How far below the champion's reward model the new one's accuracy on held-out prompts may be. It is refused if the 95 % interval of the difference lies below that altogether; few prompts show only large losses."""
    own_reward_suffices: bool = False
    """Whether a challenger may take the place because its own reward model and the champion's like it, where `evaluation.judges` names no independent judge."""
    safety_model: str | None = None
    """Folder of a reward model that was trained by a criterion of safety (`model` of its artifact); left out, nothing measures safety."""
    max_safety_loss: Annotated[float, Field(ge=0)] = 0.05
    """How far below the champion's the challenger's mean safety score may be; one is the spread of scores. It is refused if the 95 % interval of the difference lies below that altogether."""


class IterationConfig(Settings):
    """Rounds of collecting and learning (flow `iterate`)."""

    num_rounds: Annotated[int, Field(ge=2)] = 2
    """Into so many rounds the prompts are dealt. The first is about completions of the base, each further one about those of the policy before it."""


class RetrainingConfig(Settings):
    """When flow `retrain` learns anew."""

    min_new_judgements: Annotated[int, Field(ge=0)] = 50
    """Judgements that no retraining has seen; with fewer the run ends as Skipped. 0: in any case."""
    check_seconds: Positive = 10.0
    """How often the watcher counts new judgements."""
