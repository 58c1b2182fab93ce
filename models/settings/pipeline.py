"""The configuration: one frozen tree. The text under each field is what `rein fields`, the JSON schema and, where they ask for it, Prefect's forms show.

Loads no torch. models/settings/presets.py reads it from YAML and overrides.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from models.errors import ConfigError
from models.settings.addresses import MirrorAddress, TrackingAddress
from models.settings.asked.labels import asked_models, of_own_completions
from models.settings.base import Fraction, Seed, Settings
from models.settings.batch import BatchConfig, FeedbackConfig
from models.settings.compute import Compute
from models.settings.generation import GenerationConfig, PromptsConfig, SamplingConfig
from models.settings.judges import AIJudge, EvaluationConfig, JudgeKind
from models.settings.labels import LabelSource
from models.settings.retraining import IterationConfig, PromotionConfig, RetrainingConfig
from models.settings.rewards import PairwiseReward, Reward
from models.settings.sources import SourceKind
from models.settings.training import PretrainedBase, PretrainingConfig, ScratchBase, SFTConfig, Training
from models.settings.tuning import PPOConfig, Tuning, TuningKind

PLACES = ("storage.", "tracking.", "feedback.url")
"""Settings of where a run keeps what it makes: they change nothing that it makes."""


class SplitConfig(Settings):
    """How prompts are divided. The side of a prompt depends on its text and the seed alone."""

    validation: Fraction = 0.1
    """Share of prompts kept for validation (early choices, calibration)."""
    test: Fraction = 0.2
    """Share of prompts held out: only the evaluation reads them."""

    @model_validator(mode="after")
    def _leaves_training_prompts(self) -> "SplitConfig":
        if self.validation + self.test >= 1:
            raise ValueError("validation + test must be below 1, or no prompt is left to train on")
        return self


class ConsensusConfig(Settings):
    """How the rankings of several labelers become one order."""

    uncounted_fields = ("held_out_labelers",)  # stage `hold-out` is handed them by themselves
    method: Literal["borda", "bradley_terry"] = "bradley_terry"
    """borda: mean places; bradley_terry: strengths and labeler reliability fitted together (careless labelers lose weight)."""
    tie_width: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    """Two completions are agreed to be tied when the probability of the better one is within this of one half."""
    held_out_labelers: tuple[str, ...] = ()
    """Labelers whose rankings nothing learns from: by theirs alone reward models of champion and challenger are compared (`retrain`)."""


class PairsConfig(Settings):
    """How agreed orders become preference pairs."""

    ties: Literal["soft", "drop"] = "soft"
    """soft: a tie is a pair with label one half; drop: ties make no pair."""
    unusable: Literal["lose", "drop"] = "lose"
    """lose: an unusable completion loses to every usable one; drop: it makes no pair."""
    weight: Literal["uniform", "confidence"] = "uniform"
    """uniform: every pair counts the same; confidence: a strict pair weighs 2p - 1, p the consensus probability of its order."""


def _fit_for_registry(name: str) -> str:
    wrong = sorted(set(name) & set("/:.%\"'"))
    if wrong or not name.strip():
        raise ValueError(f"a name in MLflow's registry has no {' '.join(wrong)}" if wrong else "it is blank")
    return name


ModelName = Annotated[str, AfterValidator(_fit_for_registry)]


class TrackingConfig(Settings):
    """Where runs are recorded."""

    place_fields = ("uri",)
    uri: TrackingAddress = "sqlite:///.rein/mlflow.db"
    """MLflow tracking URI: a local database or a server's URL. No passwords here: MLflow reads them from the environment."""
    experiment: Annotated[str, Field(pattern=r"\S")] = "rein"
    """MLflow experiment."""
    reward_name: ModelName = "rein-reward"
    """Name of the reward model in the model registry."""
    policy_name: ModelName = "rein-policy"
    """Name of the policy in the model registry."""
    patience_seconds: float = Field(300, gt=0)
    """How long a run waits for MLflow's server or database when it is away, in seconds. Training steps never wait for it."""

    @property
    def nothing_registered(self) -> str:
        """What to say where there is no version of the policy at all."""
        return f"{self.uri} has no {self.policy_name} yet: `rein rlhf`, `rein learn` and `rein retrain` register what they tune"

    @model_validator(mode="after")
    def _models_differ(self) -> "TrackingConfig":
        if self.reward_name == self.policy_name:
            raise ValueError(f"reward_name and policy_name are both {self.policy_name}: they are different models")
        return self


class StorageConfig(Settings):
    """Where artifacts and reports lie."""

    place_fields = ("root", "mirror")
    root: str = ".rein"
    """A folder; artifacts go to `artifacts/` in it, reports to `reports/`, checkpoints of what still trains to `checkpoints/`."""
    mirror: MirrorAddress | None = None
    """Artifacts are also copied here, and taken from here when they are missing in `root`: `s3://bucket/folder`, `file:///mnt/share`."""


UNREAD_BY_REWARD = ("tuning", "first_tuning", "evaluation", "promotion")
"""What flow `reward` does not read."""


class PipelineConfig(Settings):
    """Everything a run needs to know."""

    # what people change most stands first
    seed: Seed = 0
    """Every random choice derives from this number."""
    tuning: Tuning = PPOConfig()
    """How the policy is tuned."""
    reward: Reward = PairwiseReward()
    """What scores completions."""
    first_tuning: Tuning | None = None
    """Tuning that comes before: `tuning` goes on from its policy, such as PPO from rejection sampling. Both are compared with the base. Leave out to skip it."""
    pairs: PairsConfig = PairsConfig()
    """From orders to pairs."""
    consensus: ConsensusConfig = ConsensusConfig()
    """From several rankings to one order."""
    labels: LabelSource
    """Where rankings come from."""
    prompts: PromptsConfig | None = None
    """Prompt sampling (flows `collect` and `rlhf`)."""
    sampling: SamplingConfig = SamplingConfig()
    """How long completions may be, and how policy and base are sampled from."""
    generation: GenerationConfig = GenerationConfig()
    """Completion generation (flows `collect` and `rlhf`)."""
    batch: BatchConfig = BatchConfig()
    """What labelers are given (flow `collect`)."""
    base: Annotated[PretrainedBase | ScratchBase, Field(discriminator="kind")]
    """The model that everything starts from."""
    pretraining: PretrainingConfig | None = None
    """Domain pretraining; leave out to skip it."""
    sft: SFTConfig | None = None
    """Supervised fine-tuning; leave out to skip it."""
    split: SplitConfig = SplitConfig()
    """Train, validation and test prompts."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Policy against base on held-out prompts."""
    iteration: IterationConfig = IterationConfig()
    """How many rounds (flow `iterate`)."""
    retraining: RetrainingConfig = RetrainingConfig()
    """When to learn anew (flow `retrain`)."""
    promotion: PromotionConfig = PromotionConfig()
    """What a challenger must show to become champion (flow `retrain`)."""
    compute: Compute = Compute()
    """Device, precision, processes."""
    feedback: FeedbackConfig = FeedbackConfig()
    """Where the feedback store is."""
    storage: StorageConfig = StorageConfig()
    """Where files go."""
    tracking: TrackingConfig = TrackingConfig()
    """Where runs are recorded."""

    @property
    def required_prompts(self) -> PromptsConfig:
        """Where prompts come from. Raises ConfigError where the settings do not say it."""
        if self.prompts is None:
            raise ConfigError("prompts: this flow needs to know where prompts come from")
        return self.prompts

    @property
    def tunings(self) -> dict[str, TuningKind]:
        """Setting -> what tunes the policy, one after the other."""
        first = {} if self.first_tuning is None else {"first_tuning": self.first_tuning}
        return first | {"tuning": self.tuning}

    @property
    def chooser(self) -> JudgeKind | None:
        """The judge that chooses which policy of `tuning` is kept; None: the last one is."""
        return self.chooser_of(self.tuning)

    def chooser_of(self, tuning: TuningKind) -> JudgeKind | None:
        """As above, of any tuning."""
        return self.evaluation.chooser if tuning.keeps_best else None

    @model_validator(mode="after")
    def _stages_fit_together(self) -> "PipelineConfig":
        if isinstance(self.base, ScratchBase) and self.pretraining is None:
            raise ValueError("base.kind scratch needs `pretraining`: random weights cannot write")
        collects = of_own_completions(self.labels)
        if collects and self.prompts is None:
            raise ValueError(f"labels.kind {self.labels.kind} needs `prompts` to rank completions of")
        sources: dict[str, SourceKind | None] = {
            "pretraining.source": self.pretraining.source if self.pretraining else None,
            "sft.source": self.sft.source if self.sft else None,
            **{f"the text of `{name}`": tuning.text_source for name, tuning in self.tunings.items()},
        }
        for name, source in sources.items():
            if source is not None and source.from_feedback and collects:
                raise ValueError(f"{name}, kind {source.kind}, needs rankings that exist before training")
        stages: dict[str, Any] = {name: getattr(self, name) for name in ("pretraining", "sft", "reward")} | self.tunings
        stages |= {f"reward.parts.{name}.reward": part.reward for name, part in self.reward.made_of.items()}
        if judge := self.evaluation.held_out_reward:
            stages["evaluation.judges: held_out_reward.reward"] = judge.reward
        for name, stage in stages.items():
            if isinstance(stage, Training):
                self.compute.require_rows(name, stage.batch_size)
                self._can_learn_through_an_adapter(name, stage)
        for name, tuning in self.tunings.items():
            if getattr(tuning, "stop_after", None) is not None and self.chooser_of(tuning) is None:
                raise ValueError(f"{name}.stop_after needs an independent judge in evaluation.judges")
            tuning.require_fit(self.compute, self.base.context_length if isinstance(self.base, ScratchBase) else None)
        if self.first_tuning is not None and not self.first_tuning.makes_network:
            raise ValueError(
                f"first_tuning: kind {self.first_tuning.kind} makes no network that `tuning` could go on from"
            )
        if isinstance(self.base, ScratchBase):
            self._fits_the_context(self.base.context_length)
        return self

    @model_validator(mode="after")
    def _no_model_judges_what_it_taught(self) -> "PipelineConfig":
        labels = [self.labels, *(part.labels for part in self.reward.made_of.values() if part.labels)]
        taught = {asked.model.named for one in (*labels, self.reward) for asked in asked_models(one)}
        for judge in self.evaluation.judges:
            if isinstance(judge, AIJudge) and judge.model.named in taught:
                raise ValueError(
                    f"evaluation.judges, kind ai: {judge.model.named} labels, or is the reward, too, and cannot judge what comes of it; take another model"
                )
        return self

    def _can_learn_through_an_adapter(self, name: str, stage: Training) -> None:
        if stage.lora is not None and self.compute.sharding != "none":
            raise ValueError(f"{name}.lora needs compute.sharding none: the adapter is merged into whole weights")
        if stage.lora is not None and name == "pretraining" and isinstance(self.base, ScratchBase):
            raise ValueError("pretraining.lora: random weights learn as a whole; leave it out for base.kind scratch")

    def _fits_the_context(self, context_length: int) -> None:
        if self.sampling.max_new_tokens >= context_length:
            raise ValueError("base.context_length must exceed sampling.max_new_tokens")
        if self.pretraining and self.pretraining.source.from_feedback:
            raise ValueError("base.kind scratch trains its tokenizer first and cannot take pretraining.source feedback")
        if self.pretraining and self.pretraining.sequence_length > context_length:
            raise ValueError("pretraining.sequence_length must not exceed base.context_length")
