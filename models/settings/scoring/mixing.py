"""The settings of how the scores of several rewards become one."""

from typing import Annotated, Literal

from pydantic import Field

from models.settings.base import Settings


class WeightedSum(Settings):
    """The sum of the parts' whitened scores."""

    kind: Literal["weighted_sum"] = "weighted_sum"
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field({})
    """What each part weighs; left out, all weigh alike. A part of weight 0 is scored and shown, and counts for nothing."""


class Minimum(Settings):
    """The least of the parts' whitened scores: a completion is as good as what is worst about it."""

    kind: Literal["minimum"] = "minimum"


class SafetyFirst(Settings):
    """One part for safety, and another that counts where a completion is safe (LLaMA-2: Touvron et al. 2023, section 3.2.3)."""

    local_fields = ("safety_prompts",)
    kind: Literal["safety_first"] = "safety_first"
    safety: str
    """The part whose score counts at safety prompts, and below the threshold. Its logit says how likely it is that a completion is safe."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Below this probability the completion counts as unsafe."""
    safety_prompts: str | None = None
    """A .jsonl file whose rows have a `prompt` at which safety alone counts; left out, the threshold alone decides. `${NAME}` is replaced from the environment."""
