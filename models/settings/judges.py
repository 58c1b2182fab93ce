"""The settings of the evaluation: what compares the policy with its base, and on how much."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from models.settings.base import Count, Kind, OneOf, Settings


class JudgeKind(Kind):
    """What says which of two completions is better. Its module promises `knows` and `open_judge` (models/evaluation/judge.py)."""

    is_independent: ClassVar[bool] = True
    """Whether nothing in the run was tuned to please it. One that is not is never the headline, and promotes nothing by itself."""
    learned_from: ClassVar[str] = "nothing"
    """What it has learned from, in words for the report."""


class HouseholdRule(JudgeKind):
    """The rule behind the tiny world, which no model sees."""

    code = "labeling.worlds.household_judge"
    kind: Literal["household_rule"] = "household_rule"


class RestaurantFacts(JudgeKind):
    """The rule of the restaurant world (E2E): which facts of the prompt a text states. No model sees it."""

    code = "labeling.worlds.restaurants_judge"
    kind: Literal["restaurant_facts"] = "restaurant_facts"


class OwnReward(JudgeKind):
    """The score that the policy was tuned on: optimistic."""

    is_independent = False
    learned_from = "the rankings that the policy was tuned on: optimistic"
    code = "models.evaluation.own_reward"
    kind: Literal["own_reward"] = "own_reward"


Judge = Annotated[JudgeKind, OneOf(JudgeKind)]


class EvaluationConfig(Settings):
    """Base and policy complete the same held-out prompts, and judges compare."""

    judges: Annotated[tuple[Judge, ...], Field(min_length=1)] = (OwnReward(),)
    """What compares, each by itself. The first one that nothing was tuned to please is the headline; `own_reward` is optimistic and never is."""
    num_prompts: Count = 200
    """At most this many held-out prompts."""
    num_samples: Count = 2
    """Completions per prompt from each model."""

    @property
    def headline(self) -> JudgeKind | None:
        """The judge whose word is the result: fixed here, before anything is known of what it will say. None: no independent one."""
        return next((judge for judge in self.judges if judge.is_independent), None)

    @model_validator(mode="after")
    def _each_kind_once(self) -> "EvaluationConfig":
        kinds = [judge.kind for judge in self.judges]
        if len(set(kinds)) < len(kinds):
            raise ValueError("judges: each kind of judge stands there once")
        return self
