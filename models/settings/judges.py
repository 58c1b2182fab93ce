"""The settings of the evaluation: what compares the policy with its base, and on how much."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from models.settings.asked.judge_models import AskedModel
from models.settings.base import Count, Kind, OneOf, Settings
from models.settings.rewards import PairwiseReward, RewardKind
from models.settings.sources import DemonstrationSource


class JudgeKind(Kind):
    """What says which of two completions is better. Its module promises `knows` and `open_judge` (models/evaluation/judges/judge.py)."""

    is_independent: ClassVar[bool] = True
    """Whether nothing in the run was tuned to please it. One that is not is never the headline, and promotes nothing by itself."""
    grades: ClassVar[bool] = True
    """Whether it grades texts by itself, while the run goes on; one that does not cannot choose which policy is kept."""
    learned_from: ClassVar[str] = "nothing"
    """What it has learned from, in words for the report."""

    @property
    def called(self) -> str:
        """What it goes by among meetings: two judges of one kind that may say different things are called otherwise."""
        return self.kind


class HouseholdRule(JudgeKind):
    """The rule behind the tiny world, which no model sees."""

    code = "labeling.worlds.household_judge"
    kind: Literal["household_rule"] = "household_rule"


class PolitenessRule(JudgeKind):
    """The rule that finds rude completions in the tiny world, which no model sees."""

    code = "labeling.worlds.politeness_judge"
    kind: Literal["politeness_rule"] = "politeness_rule"


class RestaurantFacts(JudgeKind):
    """The rule of the restaurant world (E2E): which facts of the prompt a text states. No model sees it."""

    code = "labeling.worlds.restaurants_judge"
    kind: Literal["restaurant_facts"] = "restaurant_facts"


class HeldOutReward(JudgeKind):
    """A reward model that the run makes to judge alone: of held-out prompts, and of held-out labelers where there are some."""

    learned_from = "rankings of held-out prompts, by held-out labelers alone where there are some"
    code = "models.evaluation.judges.held_out_reward"
    kind: Literal["held_out_reward"] = "held_out_reward"
    reward: Annotated[RewardKind, OneOf(RewardKind, default="pairwise", apart=("mixture", "personal"))] = (
        PairwiseReward()
    )
    """How it is trained."""

    @model_validator(mode="after")
    def _learns_from_pairs(self) -> "HeldOutReward":
        if self.reward.reads_votes:
            raise ValueError(
                f"reward: kind {self.reward.kind} learns from more than pairs, which is all that this judge has"
            )
        if self.reward.num_draws:
            raise ValueError(f"reward: kind {self.reward.kind} draws labelers, which this judge has too few of")
        return self


class OwnReward(JudgeKind):
    """The score that the policy was tuned on: optimistic."""

    is_independent = False
    learned_from = "the rankings that the policy was tuned on: optimistic"
    code = "models.evaluation.judges.own_reward"
    kind: Literal["own_reward"] = "own_reward"


class People(JudgeKind):
    """People, on the labelers' page: which of two texts is better? They are not told who wrote which, and nothing learns from what they say."""

    grades = False
    local_fields = ("instructions",)
    uncounted_fields = ("instructions", "votes_per_prompt")  # what was voted counts, wherever it was asked for
    code = "models.evaluation.judges.people"
    kind: Literal["people"] = "people"
    num_prompts: Count = 50
    """At most this many held-out prompts, each with one text of either model: people's time is dear."""
    votes_per_prompt: Count = 3
    """How many different people are asked about each."""
    criterion: Annotated[str, Field(min_length=1)] = "helpfulness"
    """What they judge by."""
    instructions: str | None = None
    """A Markdown file that says how to judge. Needed, unless the prompts are those of the tiny world."""


class AIJudge(JudgeKind, AskedModel):
    """A language model that is shown a text of either model, in both orders. It must not be the model that labeled, or that is the reward."""

    grades = False
    learned_from = "nothing of this run: a language model, asked which is better"
    code = "models.evaluation.judges.ai"
    kind: Literal["ai"] = "ai"
    criterion: Annotated[str, Field(min_length=1)] = "helpfulness"
    """What it judges by."""

    @property
    def called(self) -> str:
        return f"{self.kind} {self.model.named}"


Judge = Annotated[JudgeKind, OneOf(JudgeKind)]


class EvaluationConfig(Settings):
    """Base and policy complete the same held-out prompts, and judges compare."""

    uncounted_fields = ("references", "best_of")  # the stages that read them are handed them by themselves
    judges: Annotated[tuple[Judge, ...], Field(min_length=1)] = (OwnReward(),)
    """What compares, each by itself. The first one that nothing was tuned to please is the headline, the next such one chooses which policy is kept; `own_reward` is optimistic and never does."""
    num_prompts: Count = 200
    """At most this many held-out prompts."""
    num_samples: Count = 2
    """Completions per prompt from each model."""
    references: DemonstrationSource | None = None
    """What people wrote to held-out prompts: each version of the model is compared with it. Several texts of a prompt all count; leave out to skip it."""
    best_of: Annotated[int, Field(ge=2)] = 16
    """Beside `references`: of so many completions of the base the one that the own reward likes best is compared, too."""

    @property
    def headline(self) -> JudgeKind | None:
        """The judge whose word is the result: fixed here, before anything is known of what it will say. None: no independent one."""
        return next((judge for judge in self.judges if judge.is_independent), None)

    @property
    def chooser(self) -> JudgeKind | None:
        """The judge that chooses among the policies of a tuning: an independent one that is not the headline, or else the headline itself.
        None: there is no independent one that grades."""
        graders = [judge for judge in self.judges if judge.is_independent and judge.grades]
        return next((judge for judge in graders if judge != self.headline), next(iter(graders), None))

    @property
    def held_out_reward(self) -> HeldOutReward | None:
        """The judge that the run has to train; None where there is none."""
        return next((judge for judge in self.judges if isinstance(judge, HeldOutReward)), None)

    @property
    def people(self) -> People | None:
        """The judge that is people, whose votes come in after a run has asked for them. None: nobody is asked."""
        return next((judge for judge in self.judges if isinstance(judge, People)), None)

    @model_validator(mode="after")
    def _each_kind_once(self) -> "EvaluationConfig":
        kinds = [judge.kind for judge in self.judges]
        if len(set(kinds)) < len(kinds):
            raise ValueError("judges: each kind of judge stands there once")
        return self

    @model_validator(mode="after")
    def _references_are_of_held_out_prompts(self) -> "EvaluationConfig":
        if self.references is not None and self.references.from_feedback:
            raise ValueError(f"references, kind {self.references.kind}, gives training prompts alone")
        return self


class Votes(Settings):
    """What people have said so far of a head-to-head: a folder of feedback, frozen, and the batch in the feedback store that asked them."""

    local_fields = ("path",)
    path: str
    """The folder."""
    batch: str
    """The batch."""
