"""The settings of labels by language models, by themselves or beside people."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from models.errors import ConfigError
from models.labeler_names import LabelerName
from models.settings.asked.judge_models import AskedModel
from models.settings.base import OneOf, Settings
from models.settings.labels import LabelKind, SimulatedLabels, StoredFeedback


class AILabeler(AskedModel):
    """A language model that is asked which completion is better, in both orders."""

    name: LabelerName
    """How it appears in rankings and reports, where it is no person's name."""
    asks: Literal["pairs", "lists"] = "pairs"
    """pairs: about every two completions of a prompt; lists: for the order of all of them at once, which is fewer questions."""
    tie_width: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    """Two completions are tied when the probability of the better one is within this of one half."""


class AILabels(LabelKind):
    """Labels by language models: of what the run itself generates (flow `rlhf`), or of what people have judged already (flow `learn`)."""

    uncounted_fields = ("beside",)  # the stage that asks is handed what people said by itself
    kind: Literal["ai"] = "ai"
    labelers: Annotated[tuple[AILabeler, ...], Field(min_length=1)]
    """Which models are asked, each as a labeler of its own."""
    criterion: str = "helpfulness"
    """What they judge by, as written into each ranking; beside people the criterion of these."""
    beside: Annotated[LabelKind, OneOf(LabelKind, apart=("ai", "simulated"))] | None = None
    """People's feedback: the models judge the same completions, and how far they agree with people is told. Left out: the run's own."""

    @model_validator(mode="after")
    def _names_differ(self) -> "AILabels":
        if len({labeler.name for labeler in self.labelers}) < len(self.labelers):
            raise ValueError("two labelers have the same name")
        return self


def of_own_completions(labels: LabelKind) -> bool:
    """Whether these labels are of completions that the run itself generates, by labelers that are no people."""
    return isinstance(labels, SimulatedLabels) or (isinstance(labels, AILabels) and labels.beside is None)


def require_existing(labels: LabelKind) -> None:
    """Raises ConfigError for labels that are no rankings yet."""
    if of_own_completions(labels):
        raise ConfigError(
            f"labels.kind {labels.kind} has no rankings to start from; use flow rlhf, or labels of people"
        )


def require_at_once(labels: LabelKind) -> None:
    """Raises ConfigError for labels that exist already, or that are waited for."""
    if not of_own_completions(labels):
        raise ConfigError(f"labels.kind {labels.kind} cannot answer at once; use flows collect and learn")


def require_rounds(labels: LabelKind) -> None:
    """Raises ConfigError for labels that nobody can be asked for again."""
    if not (of_own_completions(labels) or isinstance(labels, StoredFeedback)):
        raise ConfigError(f"labels.kind {labels.kind}: rounds need labelers to ask, or kind store, for people")


def require_stored(labels: LabelKind) -> StoredFeedback:
    """The labels, which are those of the feedback store. Raises ConfigError for others."""
    if not isinstance(labels, StoredFeedback):
        raise ConfigError(f"labels.kind {labels.kind}: retraining learns from the feedback store; say kind: store")
    return labels


def asked_models(settings: Settings) -> Iterator[AskedModel]:
    """Everyone among these settings who asks a model; of a reward that is made of parts not those who label for them."""
    if isinstance(settings, AskedModel):
        yield settings
        return
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
        for one in inside:
            if isinstance(one, Settings) and not isinstance(one, LabelKind):
                yield from asked_models(one)
