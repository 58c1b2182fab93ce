"""The settings of the evaluation: what compares the policy with its base, and on how much."""

from typing import Annotated, Literal

from models.settings.base import Count, Kind, OneOf, Settings


class JudgeKind(Kind):
    """What says which of two completions is better. Its module promises `knows` and `open_judge` (models/evaluation/judge.py)."""


class HouseholdRule(JudgeKind):
    """The rule behind the tiny world, which no model sees."""

    code = "labeling.worlds.household_judge"
    kind: Literal["household_rule"] = "household_rule"


class OwnReward(JudgeKind):
    """The score that the policy was tuned on: optimistic."""

    code = "models.evaluation.own_reward"
    kind: Literal["reward_model"] = "reward_model"


Judge = Annotated[JudgeKind, OneOf(JudgeKind)]


class EvaluationConfig(Settings):
    """Base and policy complete the same held-out prompts, and a judge compares."""

    judge: Judge = OwnReward()
    """What compares: `household_rule`, or `reward_model` (optimistic)."""
    num_prompts: Count = 200
    """At most this many held-out prompts."""
    num_samples: Count = 2
    """Completions per prompt from each model."""
