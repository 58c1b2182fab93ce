"""The settings of rewards: a kind for each way to give a completion its score."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from models.class_votes import UNWANTED, WANTED, ClassVotes
from models.errors import DataError
from models.labeler_names import LabelerName
from models.settings.asked.judge_models import AskedModel
from models.settings.base import Count, Kind, OneOf, Positive, Settings
from models.settings.labels import LabelSource
from models.settings.scoring.functions import allowed_functions, not_allowed
from models.settings.scoring.mixing import Minimum, SafetyFirst, WeightedSum
from models.settings.training import Training


class RewardKind(Kind):
    """What scores completions. Its module promises `train` and `load` (models/rewards/scorer.py)."""

    reads_rankings: ClassVar[bool] = False
    """Whether it learns from each labeler's own rankings, besides the pairs that all of them give together."""
    reads_votes: ClassVar[bool] = False
    """Whether it learns from what was said of single texts (thumbs, yes and no, votes for classes), so that it can do without pairs."""
    reads_own_pairs: ClassVar[bool] = False
    """Whether it learns from each labeler's own pairs, so that it can do without those that all of them give together."""

    @property
    def num_draws(self) -> int:
        """How many draws of the labelers it learns from, besides the pairs of all of them together."""
        return 0

    @property
    def made_of(self) -> Mapping[str, "RewardPart"]:
        """The rewards that it is made of, by name, each of which is trained before it."""
        return {}

    def require_votes(self, votes: Sequence[ClassVotes]) -> None:
        """Raises DataError when it cannot learn from these votes, of all sides of the split. Asked before anything is trained."""


class PairwiseTraining(RewardKind, Training):
    """What the rewards share that learn from pairs: all pairs of a prompt in one batch element."""

    num_epochs: Positive = 2.0
    """Passes over the prompts. InstructGPT trained one; small models take more."""
    batch_size: Count = 16
    """Prompts per optimizer step."""
    learning_rate: Positive = 1e-4
    """Peak learning rate of AdamW; linear warm-up over 5 % of the steps, then cosine to a tenth."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decoupled weight decay on matrices."""
    centering: Annotated[float, Field(ge=0)] = 0.01
    """Weight of mean (s_chosen + s_rejected)^2, which keeps scores near zero (Eisenstein et al. 2023); 0 = off."""


class LogisticTraining(PairwiseTraining):
    """What the rewards share that learn which one of a pair is better: the pairwise logistic loss."""

    margin_coef: Annotated[float, Field(ge=0)] = 1.0
    """Lead asked of a completion that people call significantly better than the other; of a better one 2/3 of it, slightly 1/3, negligibly 0 (Llama 2: 1 or 3)."""


class PairwiseReward(LogisticTraining):
    """A reward model with one scalar, which learns from pairs."""

    code = "models.rewards.pairwise"
    kind: Literal["pairwise"] = "pairwise"


class EnsembleReward(LogisticTraining):
    """Several pairwise reward models, each learned from another draw of the labelers, as one reward (Coste et al. 2023)."""

    code = "models.rewards.ensemble"
    kind: Literal["ensemble"] = "ensemble"
    num_members: Annotated[int, Field(ge=2)] = 5
    """Reward models. Each begins with another head, sees the prompts in another order, and learns from labelers drawn with replacement."""
    aggregate: Literal["mean", "minimum", "mean_minus_variance"] = "mean"
    """How their scores become one: `minimum` is the worst case; mean_minus_variance marks down what the members disagree on."""
    variance_coef: Annotated[float, Field(ge=0)] | None = None
    """What the variance weighs in mean_minus_variance; left out, 0.1, which Coste et al. 2023 took for PPO."""

    @property
    def num_draws(self) -> int:
        return self.num_members

    @property
    def variance_weight(self) -> float:
        """`variance_coef`, or what stands for it."""
        return 0.1 if self.variance_coef is None else self.variance_coef

    @model_validator(mode="after")
    def _coefficient_has_a_use(self) -> "EnsembleReward":
        if self.variance_coef is not None and self.aggregate != "mean_minus_variance":
            raise ValueError("variance_coef is for aggregate mean_minus_variance; leave it out")
        return self


class RegressionReward(PairwiseTraining):
    """A reward model with one scalar, fitted to how strong the rankings say that completions are: by how much one is better, not only which."""

    reads_rankings = True
    code = "models.rewards.regression"
    kind: Literal["regression"] = "regression"
    targets: Literal["elo", "bradley_terry"] = "elo"
    """elo: ratings from every labeler's rankings, all alike; bradley_terry: strengths that count labelers by how far they can be relied on."""


class PersonalReward(LogisticTraining):
    """A reward model that tells people apart: what all share, and beside it what sets each person apart, learned from their own rankings."""

    reads_own_pairs = True
    code = "models.rewards.personal"
    kind: Literal["personal"] = "personal"
    person: LabelerName | None = None
    """Whose score it gives, and the policy is tuned on: a labeler or a group; left out, the score that all share."""
    groups: dict[LabelerName, Annotated[tuple[LabelerName, ...], Field(min_length=1)]] = Field({})
    """Group -> the labelers who count as one person; all others stand for themselves."""
    rank: Count = 8
    """In how many ways people can differ: as many numbers are learned of each person."""
    shrinkage: Annotated[float, Field(ge=0)] = 1.0
    """How strongly people are held to what all share: the mean square of what a person adds to a lead costs this much, whatever the number of their judgements."""

    @property
    def made_of(self) -> Mapping[str, "RewardPart"]:
        """For one person, the reward of everybody, which is trained once whoever is asked for."""
        everybody = self.model_copy(update={"person": None})
        return {} if self.person is None else {"everybody": RewardPart(reward=everybody)}

    def person_of(self, labeler: str) -> str:
        """The group that the labeler is in, or the labeler."""
        return next((group for group, names in self.groups.items() if labeler in names), labeler)

    @model_validator(mode="after")
    def _each_in_one_group(self) -> "PersonalReward":
        named = Counter(name for names in self.groups.values() for name in set(names))
        if twice := sorted(name for name, count in named.items() if count > 1):
            raise ValueError(f"groups: {', '.join(twice)} stands in more than one group")
        return self


class FunctionReward(RewardKind):
    """A Python function of yours as reward: `def reward(prompts, completions) -> list[float]`, called by keyword as TRL does."""

    code = "models.rewards.function"
    kind: Literal["function"] = "function"
    function: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")]
    """`module:name`, where Python finds it. The environment variable REIN_FUNCTIONS must name it too: no preset and no form has code imported."""

    @property
    def module(self) -> str:
        """The module that the function stands in."""
        return self.function.partition(":")[0]

    @property
    def modules(self) -> tuple[str, ...]:
        return (self.code, self.module)

    @field_validator("function")
    @classmethod
    def _is_allowed(cls, function: str) -> str:
        if function not in allowed_functions():
            raise ValueError(not_allowed(function))
        return function


class JudgeReward(RewardKind, AskedModel):
    """What a language model thinks of each completion, without a reward model: the grade that it expects, from -1 to 1 (direct RLAIF, Lee et al. 2023)."""

    counts_whole = True
    needs_probabilities = True
    code = "models.rewards.judge"
    kind: Literal["judge"] = "judge"
    criterion: Annotated[str, Field(min_length=1)] = "helpfulness"
    """What it grades by."""


class RewardPart(Settings):
    """One of several rewards."""

    reward: Annotated[RewardKind, OneOf(RewardKind, default="pairwise", apart=("mixture", "personal"))] = (
        PairwiseReward()
    )
    """What scores completions; of any kind but mixture and personal."""
    labels: LabelSource | None = None
    """Where the rankings come from that it learns from; left out, those of the run."""


class MixtureReward(RewardKind):
    """Several rewards as one, one per task or criterion, each learned from its own labels."""

    code = "models.rewards.mixture"
    uncounted_fields = ("parts",)  # the stages that make them are handed them by themselves
    kind: Literal["mixture"] = "mixture"
    parts: Annotated[dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], RewardPart], Field(min_length=2)]
    """Name -> `reward` (of any kind but mixture and personal; by default pairwise) and `labels` (left out: those of the run)."""
    combine: Annotated[WeightedSum | Minimum | SafetyFirst, Field(discriminator="kind")] = WeightedSum()
    """How their scores become one."""

    @property
    def made_of(self) -> Mapping[str, RewardPart]:
        return self.parts

    @model_validator(mode="after")
    def _combine_names_the_parts(self) -> "MixtureReward":
        rule = self.combine
        named = {rule.safety} if isinstance(rule, SafetyFirst) else set(getattr(rule, "weights", ()))
        if unknown := sorted(named - self.parts.keys()):
            raise ValueError(f"combine names {', '.join(unknown)}, but the parts are {', '.join(self.parts)}")
        if isinstance(rule, SafetyFirst) and len(self.parts) != 2:
            raise ValueError("combine, kind safety_first, goes with two parts: the one for safety, and another")
        if isinstance(rule, WeightedSum) and rule.weights:
            if missing := sorted(self.parts.keys() - named):
                raise ValueError(
                    f"combine.weights says nothing of {', '.join(missing)}; a part of weight 0 counts for nothing"
                )
            if not any(rule.weights.values()):
                raise ValueError("combine.weights are all 0")
        return self


class ThumbsReward(RewardKind, Training):
    """A reward model with one scalar, which learns from thumbs up and down on single completions, and from rankings where there are some."""

    code = "models.rewards.thumbs"
    kind: Literal["thumbs"] = "thumbs"
    reads_votes = True
    num_epochs: Positive = 2.0
    """Passes over the prompts."""
    batch_size: Count = 16
    """Prompts per optimizer step."""
    learning_rate: Positive = 1e-4
    """Peak learning rate of AdamW; linear warm-up over 5 % of the steps, then cosine to a tenth."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decoupled weight decay on matrices."""

    def require_votes(self, votes: Sequence[ClassVotes]) -> None:
        counts: Counter[str] = Counter()
        for one in votes:
            if one.split == "train":
                counts.update(one.votes)
        if others := sorted(counts.keys() - {WANTED, UNWANTED}):
            raise DataError(
                f"reward.kind thumbs learns from yes and no, and not from classes such as {others[0]!r}; take classifier"
            )
        for name, thumb in ((WANTED, "up"), (UNWANTED, "down")):
            if not counts[name]:
                told = f"{counts.total()} thumbs on completions of training prompts"
                raise DataError(f"reward.kind thumbs: of {told} none is {thumb}, so that nothing tells good from bad")
        require_held_out(votes)


class ClassifierReward(RewardKind, Training):
    """A classifier, which learns from how many people put a text into each class; the logit of the class that is wanted is the score."""

    code = "models.rewards.classifier"
    kind: Literal["classifier"] = "classifier"
    reads_votes = True
    wanted: str = WANTED
    """The class whose logit is the score. Thumbs, and yes and no, make the classes `wanted` and `unwanted`."""
    reads_prompt: bool = True
    """Whether a completion is read behind its prompt; false: by itself, as texts that were labelled without a prompt are."""
    num_epochs: Positive = 2.0
    """Passes over the texts."""
    batch_size: Count = 32
    """Texts per optimizer step."""
    learning_rate: Positive = 1e-4
    """Peak learning rate of AdamW; linear warm-up over 5 % of the steps, then cosine to a tenth."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decoupled weight decay on matrices."""

    def require_votes(self, votes: Sequence[ClassVotes]) -> None:
        if not votes:
            raise DataError(
                "reward.kind classifier learns from yes and no, thumbs or votes for classes; this feedback has none"
            )
        known, held_out = (
            {name for one in votes if one.split == side for name in one.votes} for side in ("train", "test")
        )
        named = ", ".join(sorted(known))
        if self.wanted not in known:
            raise DataError(f"reward.wanted: no training text is of class {self.wanted!r}; there are {named or 'none'}")
        if len(known) < 2:
            raise DataError(
                f"reward.kind classifier: every training text is {named}, so that nothing tells classes apart"
            )
        if unseen := sorted(held_out - known):
            raise DataError(
                f"class {unseen[0]!r} is that of held-out texts alone, so that it cannot be learned; hold fewer out, see split"
            )
        if self.reads_prompt and any(one.prompt is None for one in votes):
            raise DataError(
                "these texts were labelled without a prompt; set reward.reads_prompt=false, so that completions are read so, too"
            )
        require_held_out(votes)


def require_held_out(votes: Sequence[ClassVotes]) -> None:
    """Raises DataError when no vote is of the test split."""
    if not any(one.split == "test" for one in votes):
        raise DataError(
            f"none of {len(votes)} texts with votes is held out, so that nothing could tell how good a reward model is; hold "
            "more out, see split"
        )


Reward = Annotated[RewardKind, OneOf(RewardKind, default="pairwise")]
