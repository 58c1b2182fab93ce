"""The settings of how a score becomes a reward: the leash to the frozen starting model, and what an end that is missing costs."""

from typing import Annotated, Literal

from pydantic import Field

from models.settings.base import Positive, Settings


class FixedKL(Settings):
    """A KL penalty with one coefficient throughout."""

    kind: Literal["fixed"] = "fixed"
    coef: Annotated[float, Field(ge=0)] = 0.05
    """beta: what a nat of KL to the base costs, in score units. Stiennon et al. 2020 used .05."""


class AdaptiveKL(Settings):
    """A KL penalty steered towards a target (Ziegler et al. 2019, section 2.2)."""

    kind: Literal["adaptive"] = "adaptive"
    coef: Annotated[float, Field(gt=0)] = 0.05
    """beta at the start."""
    target_nats: Positive = 6.0
    """Mean KL per completion to steer to."""
    horizon: Positive = 10000.0
    """Completions over which beta adapts: beta *= 1 + clip(KL/target - 1, -.2, .2) * batch_size / horizon."""


class MissingEnd(Settings):
    """What a completion gets that did not end by itself."""

    kind: Literal["fixed", "penalty"] = "fixed"
    """fixed: its score is replaced by `score`; penalty: `score` is added to it."""
    score: float = -3.0
    """In units of normalised score (standard deviations of the reward model on its training completions)."""
