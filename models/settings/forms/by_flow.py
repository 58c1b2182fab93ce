"""The form of each flow: the settings of it that people change most, each with the text that it has where it is declared."""

from typing import Annotated, Any

from pydantic import Field

from models.settings.base import Count, Positive, Settings
from models.settings.forms.form import Form
from models.settings.generation import GenerationConfig, PromptsConfig, SamplingConfig
from models.settings.judges import EvaluationConfig
from models.settings.retraining import IterationConfig, RetrainingConfig
from models.settings.rewards import PairwiseReward
from models.settings.scoring.shaping import FixedKL
from models.settings.tuning import PPOConfig


def _setting(key: str, settings: type[Settings]) -> Any:
    """An empty field for the setting with this dotted key, with the text that it has among its settings."""
    return Field(None, alias=key, description=settings.model_fields[key.rpartition(".")[2]].description)


class _Completing(Form):
    num_prompts: Count | None = _setting("prompts.num_prompts", PromptsConfig)
    num_completions: Annotated[int, Field(ge=2, le=9)] | None = _setting("generation.num_completions", GenerationConfig)


class _Sampling(Form):
    max_new_tokens: Count | None = _setting("sampling.max_new_tokens", SamplingConfig)


class _Rewarding(Form):
    reward_num_epochs: Positive | None = _setting("reward.num_epochs", PairwiseReward)
    reward_learning_rate: Positive | None = _setting("reward.learning_rate", PairwiseReward)


class _Evaluating(Form):
    num_held_out: Count | None = _setting("evaluation.num_prompts", EvaluationConfig)


class _Tuning(_Sampling, _Rewarding, _Evaluating):
    num_updates: Count | None = _setting("tuning.num_updates", PPOConfig)
    tuning_learning_rate: Positive | None = _setting("tuning.learning_rate", PPOConfig)
    kl_coef: Annotated[float, Field(ge=0)] | None = _setting("tuning.kl.coef", FixedKL)


class CollectForm(_Completing, _Sampling):
    """What deployment `collect` asks for."""


class RlhfForm(_Completing, _Tuning):
    """What deployment `rlhf` asks for."""


class IterateForm(RlhfForm):
    """What deployment `iterate` asks for."""

    num_rounds: Annotated[int, Field(ge=2)] | None = _setting("iteration.num_rounds", IterationConfig)


class LearnForm(_Tuning):
    """What deployment `learn` asks for."""


class RewardForm(_Rewarding):
    """What deployment `reward` asks for."""


class RetrainForm(_Tuning):
    """What deployment `retrain` asks for."""

    min_new_judgements: Annotated[int, Field(ge=0)] | None = _setting("retraining.min_new_judgements", RetrainingConfig)


class EvaluateForm(_Sampling, _Evaluating):
    """What deployment `evaluate` asks for."""
