"""The settings of the feedback store and of what is published to labelers."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from models.settings.addresses import DatabaseAddress
from models.settings.base import Count, Positive, Settings


class RankingTask(Settings):
    """All completions of a prompt are put in order, with ties and unusable marks."""

    kind: Literal["ranking"] = "ranking"


class ChoiceTask(Settings):
    """Two completions of a prompt, A against B; every two of its completions make a task."""

    kind: Literal["choice"] = "choice"
    degrees: bool = False
    """Ask, too, by how much it is better: significantly better, better, slightly better or negligibly better."""


class ThumbsTask(Settings):
    """Thumbs up or down to one completion; every completion makes a task."""

    kind: Literal["thumbs"] = "thumbs"


class YesNoTask(Settings):
    """A question about one completion, answered by yes or no; every completion makes a task."""

    kind: Literal["yes_no"] = "yes_no"
    question: Annotated[str, Field(min_length=1)]
    """What is asked, such as: Is this toxic?"""
    wanted: Literal["yes", "no"]
    """The answer that puts a completion into the wanted class (not toxic, say)."""


BatchTask = Annotated[RankingTask | ChoiceTask | ThumbsTask | YesNoTask, Field(discriminator="kind")]


class PromptChoice(Settings):
    """Some of the sampled prompts, by what the members of a reward disagree on."""

    local_fields = ("reward",)
    reward: str
    """The folder `model` of a reward of kind ensemble. `${NAME}` is replaced from the environment."""
    num_prompts: Count
    """How many prompts are handed out; of held-out ones a share by chance, of the others those that the members disagree on most."""


class Qualification(Settings):
    """Gold tasks before the others: who does not put them in order is given none of the batch."""

    num_tasks: Count = 5
    """How many of the prompts of `batch.gold` each labeler begins with."""
    min_agreement: Annotated[float, Field(ge=0, le=1)] = 0.75
    """The least share of pairs of their completions that the first answers order as is known; chance is one half."""


class BatchConfig(Settings):
    """What labelers are given by flow `collect`."""

    local_fields = ("instructions", "gold")
    criterion: Annotated[str, Field(min_length=1)] = "helpfulness"
    """What completions are judged by."""
    instructions: str | None = None
    """A Markdown file that says how to judge. Needed, unless the prompts are those of the tiny world."""
    task: BatchTask = RankingTask()
    """What a labeler does with a prompt."""
    texts: Literal["formatted", "plain"] = "formatted"
    """How prompts and completions are shown first: formatted (their Markdown as a reader would see it), or plain, as they are written. Labelers can switch."""
    labelers_per_prompt: Count = 3
    """How many different labelers judge each prompt (in a choice each pair of completions, in a rating each completion)."""
    lease_minutes: Positive = 30.0
    """A task that is given to a labeler and not judged goes to another after this time."""
    gold: str | None = None
    """JSONL of prompts whose order is known (`prompt`, `completions`, one annotation with `ranks`): they measure labelers, and nothing learns from them."""
    gold_every: Annotated[int, Field(ge=2)] = 10
    """One task in this many is a gold one, while there are any."""
    qualification: Qualification | None = None
    """Gold tasks by which labelers qualify before they are given others; left out, everybody does."""
    completion_code: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Shown to labelers who have judged and have nothing left, for the crowd platform that sent them."""
    choose: PromptChoice | None = None
    """Hand out some of the sampled prompts alone, those on which a reward's members disagree; left out, all."""

    @model_validator(mode="after")
    def _gold_has_an_order(self) -> "BatchConfig":
        if self.gold is not None and self.task.kind != "ranking":
            raise ValueError("gold prompts have a known order: they go with task.kind ranking only")
        if self.qualification is not None and self.gold is None:
            raise ValueError("qualification is by prompts whose order is known: name their file as batch.gold")
        return self


class FeedbackConfig(Settings):
    """Where the feedback store is."""

    place_fields = ("url",)
    url: DatabaseAddress = "sqlite:///.rein/feedback.db"
    """SQLAlchemy URL of the store: an SQLite file, or postgresql+psycopg://user@host/name. No passwords here: PGPASSWORD."""
