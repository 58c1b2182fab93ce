"""The configuration: one frozen tree. The text under each field is what the Prefect form, `rein fields` and the JSON schema show.

Loads no torch. models/settings/presets.py reads it from YAML and overrides.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from models.settings.addresses import MirrorAddress, RayAddress, TrackingAddress
from models.settings.batch import BatchConfig, FeedbackConfig
from models.settings.compute import Compute
from models.settings.labels import LabelSource, SimulatedLabels
from models.settings.ppo import PPOConfig
from models.settings.retraining import PromotionConfig, RetrainingConfig
from models.settings.sources import (
    Count,
    DemonstrationSource,
    Fraction,
    FromFeedback,
    Positive,
    PromptSource,
    Settings,
    TextSource,
)


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


class PretrainedBase(Settings):
    """A causal language model to start from."""

    local_fields = ("model",)
    kind: Literal["pretrained"] = "pretrained"
    model: str
    """Name on the Hugging Face hub, or a local folder. `${NAME}` is replaced from the environment."""
    revision: str | None = None
    """Commit or tag on the hub; pin it to make a run repeatable."""
    pad_token: str | None = None
    """An existing token to pad with, for a tokenizer that has none. Must differ from the end-of-sequence token."""
    chat_template: str | None = None
    """Jinja chat template, for a tokenizer that has none (or to replace it)."""


class ScratchBase(Settings):
    """A small Llama-style model with random weights and a tokenizer trained on the pretraining text."""

    kind: Literal["scratch"] = "scratch"
    vocab_size: Annotated[int, Field(ge=300)] = 1024
    """Size of the byte-pair vocabulary."""
    hidden_size: Count = 128
    """Width of the network."""
    num_layers: Count = 4
    """Number of transformer blocks."""
    num_heads: Count = 4
    """Attention heads; must divide the width."""
    context_length: Annotated[int, Field(ge=16)] = 128
    """Longest sequence of tokens the model can read."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "ScratchBase":
        if self.hidden_size % self.num_heads:
            raise ValueError("num_heads must divide hidden_size")
        return self


class Training(Settings):
    """What pretraining, supervised fine-tuning and reward training share."""

    uncounted_fields = ("checkpoint_every",)
    num_epochs: Positive = 1.0
    """Passes over the data; may be a fraction."""
    batch_size: Count = 32
    """Rows (sequences, or prompts with their pairs) per optimizer step."""
    microbatch_tokens: Count = 8192
    """Tokens that fit into memory at once; changes no number."""
    learning_rate: Positive = 3e-4
    """Peak learning rate of AdamW; linear warm-up over 5 % of the steps, then cosine to a tenth."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    """Decoupled weight decay on matrices."""
    max_grad_norm: Positive = 1.0
    """Gradient norm is clipped to this."""
    checkpoint_every: Count = 50
    """Steps after which the state is kept, to go on from after a kill; changes no number."""


class PretrainingConfig(Training):
    """Domain pretraining: causal language modelling on raw text, packed into full sequences."""

    source: TextSource
    """Where the text comes from."""
    sequence_length: Annotated[int, Field(ge=8)] = 64
    """Tokens per training sequence; texts are joined by end-of-sequence tokens and cut to this length."""


class SFTConfig(Training):
    """Supervised fine-tuning on demonstrations; the loss is taken on the completion alone."""

    source: DemonstrationSource
    """Where the demonstrations come from. Those whose prompt is held out are left aside."""


class PromptsConfig(Settings):
    """Prompt sampling: read, de-duplicate, shuffle, take the first ones."""

    source: PromptSource
    """Where the prompts come from."""
    num_prompts: Count = 500
    """How many different prompts to keep."""


class LocalRunner(Settings):
    """Shards one after another, in the process of the run."""

    kind: Literal["local"] = "local"


class RayRunner(Settings):
    """Shards at the same time, on the workers of a Ray cluster. Needs the extra `ray`, and folders that the workers see too."""

    kind: Literal["ray"] = "ray"
    address: RayAddress = "local"
    """`local` starts a Ray on this machine for the stage; `auto`, `host:6379` and `ray://host:10001` are running clusters."""


class GenerationConfig(Settings):
    """Completion generation: several completions per prompt, for people to rank."""

    uncounted_fields = ("runner",)
    num_completions: Annotated[int, Field(ge=2, le=9)] = 4
    """K, completions per prompt. InstructGPT used 4 to 9 (Ouyang et al. 2022, section 3.5)."""
    temperature: Positive = 1.0
    """Sampling temperature."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Sample from the smallest set of tokens that holds this probability; 1 = all."""
    max_new_tokens: Count = 32
    """Length limit of a completion, in tokens."""
    batch_size: Count = 128
    """Sequences generated at once."""
    num_attempts: Count = 3
    """How often an empty or repeated completion is sampled anew before the prompt goes on with fewer."""
    shard_size: Count = 128
    """Prompts that are completed together, by whichever runner; another size changes completions by rounding alone."""
    runner: Annotated[LocalRunner | RayRunner, Field(discriminator="kind")] = LocalRunner()
    """Where the shards are completed; changes nothing in the completions."""


class ConsensusConfig(Settings):
    """How the rankings of several labelers become one order."""

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


class RewardConfig(Training):
    """Reward model: pairwise logistic loss, all pairs of a prompt in one batch element."""

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


class EvaluationConfig(Settings):
    """Base and policy complete the same held-out prompts, and a judge compares."""

    judge: Literal["household_rule", "reward_model"] = "reward_model"
    """household_rule: the rule behind the tiny world; reward_model: the score that PPO was trained on (optimistic)."""
    num_prompts: Count = 200
    """At most this many held-out prompts."""
    num_samples: Count = 2
    """Completions per prompt from each model."""


class TrackingConfig(Settings):
    """Where runs are recorded."""

    place_fields = ("uri",)
    uri: TrackingAddress = "sqlite:///.rein/mlflow.db"
    """MLflow tracking URI: a local database or a server's URL. No passwords here: MLflow reads them from the environment."""
    experiment: str = "rein"
    """MLflow experiment."""
    reward_name: str = "rein-reward"
    """Name of the reward model in the model registry."""
    policy_name: str = "rein-policy"
    """Name of the policy in the model registry."""
    patience_seconds: float = Field(300, gt=0)
    """How long a run waits for MLflow's server or database when it is away, in seconds. Training steps never wait for it."""


class StorageConfig(Settings):
    """Where artifacts and reports lie."""

    place_fields = ("root", "mirror")
    root: str = ".rein"
    """A folder; artifacts go to `artifacts/` in it, reports to `reports/`, checkpoints of what still trains to `checkpoints/`."""
    mirror: MirrorAddress | None = None
    """Artifacts are also copied here, and taken from here when they are missing in `root`: `s3://bucket/folder`, `file:///mnt/share`."""


class PipelineConfig(Settings):
    """Everything a run needs to know."""

    # in the order of the form in Prefect: what people change most stands first
    seed: int = 0
    """Every random choice derives from this number."""
    ppo: PPOConfig = PPOConfig()
    """Policy optimisation."""
    reward: RewardConfig = RewardConfig()
    """Reward model."""
    pairs: PairsConfig = PairsConfig()
    """From orders to pairs."""
    consensus: ConsensusConfig = ConsensusConfig()
    """From several rankings to one order."""
    labels: LabelSource
    """Where rankings come from."""
    prompts: PromptsConfig | None = None
    """Prompt sampling (flows `collect` and `rlhf`)."""
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
    def longest_completion(self) -> int:
        """Tokens that a prompt must leave free in the context."""
        return max(self.generation.max_new_tokens, self.ppo.max_new_tokens)

    @model_validator(mode="after")
    def _stages_fit_together(self) -> "PipelineConfig":
        if isinstance(self.base, ScratchBase) and self.pretraining is None:
            raise ValueError("base.kind scratch needs `pretraining`: random weights cannot write")
        collects = isinstance(self.labels, SimulatedLabels)
        if collects and self.prompts is None:
            raise ValueError("labels.kind simulated needs `prompts` to rank completions of")
        for name, stage in {"pretraining": self.pretraining, "sft": self.sft, "ppo.ptx": self.ppo.ptx}.items():
            if stage is not None and isinstance(stage.source, FromFeedback) and collects:
                raise ValueError(f"{name}.source.kind feedback needs rankings that exist before training")
        rows = {name: stage.batch_size for name in ("pretraining", "sft", "reward") if (stage := getattr(self, name))}
        rows["ppo"] = self.ppo.batch_size // self.ppo.num_minibatches
        if self.ppo.ptx:
            rows["ppo.ptx"] = self.ppo.ptx.batch_size
        for name, num_rows in rows.items():
            if num_rows < self.compute.num_processes:
                raise ValueError(f"compute.num_processes exceeds the {num_rows} rows of an optimizer step of `{name}`")
        if self.ppo.lora is not None and self.compute.sharding != "none":
            raise ValueError(
                "ppo.lora needs compute.sharding none: reference and value model share the policy's weights"
            )
        if isinstance(self.base, ScratchBase):
            if self.longest_completion >= self.base.context_length:
                raise ValueError("base.context_length must exceed generation.max_new_tokens and ppo.max_new_tokens")
            if self.pretraining and isinstance(self.pretraining.source, FromFeedback):
                raise ValueError(
                    "base.kind scratch trains its tokenizer first and cannot take pretraining.source feedback"
                )
            if self.pretraining and self.pretraining.sequence_length > self.base.context_length:
                raise ValueError("pretraining.sequence_length must not exceed base.context_length")
            if self.ppo.ptx and self.ppo.ptx.sequence_length > self.base.context_length:
                raise ValueError("ppo.ptx.sequence_length must not exceed base.context_length")
        return self
