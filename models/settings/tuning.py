"""The settings of tuning: a kind for each way to tune the policy."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from models.settings.base import Count, Fraction, Kind, OneOf, Positive
from models.settings.compute import Compute
from models.settings.generation import PromptsConfig
from models.settings.scoring.shaping import AdaptiveKL, FixedKL, MissingEnd
from models.settings.sources import TextSourceKind
from models.settings.training import LoRA, PTXConfig, Training, TuningLoRA


class TuningKind(Kind):
    """A way to tune the policy. Its module promises `tune` (models/tuning/tuner.py)."""

    reads_pairs: ClassVar[bool] = False
    """Whether it learns from the pairs themselves; one that does not has nothing to do again where they alone are others."""
    makes_network: ClassVar[bool] = True
    """Whether its policy is a network by itself, on top of which another tuning can go on."""
    uncounted_fields: ClassVar[tuple[str, ...]] = ("min_reward_accuracy",)
    prompts: PromptsConfig | None = None
    """Prompts to tune on; left out, the training prompts of the feedback. Those that the feedback holds out are left aside."""
    min_reward_accuracy: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Tuning is not started when the reward's held-out accuracy is below this."""

    @property
    def keeps_best(self) -> bool:
        """Whether a judge is to choose the policy that is kept."""
        return False

    @property
    def text_source(self) -> TextSourceKind | None:
        """Where text comes from that is read before anything is trained, and handed to `tune`; None where it needs none."""
        return None

    def require_fit(self, compute: Compute, context_length: int | None) -> None:
        """Raises ValueError when it does not go with where it runs, or with how much the base reads (None: not known yet)."""


class CheckedTuning(TuningKind):
    """What all kinds share whose policy is looked at on its way."""

    batch_size: Count = 64
    """What an update learns from together; at a check as many completions are sampled at once."""
    sample_every: Count = 5
    """Updates between checks: the policy completes validation prompts (of the feedback), and judges compare. It learns nothing from them."""
    keep: Literal["best", "last"] = "best"
    """best: the policy of the check that an independent judge likes best; without such a judge or validation prompts, and with last: the last."""
    stop_after: Count | None = None
    """Stop after so many checks at which the choosing judge found nothing better."""

    @property
    def keeps_best(self) -> bool:
        """As above."""
        return self.keep == "best"

    @model_validator(mode="after")
    def _somebody_says_stop(self) -> "CheckedTuning":
        if self.stop_after is not None and self.keep == "last":
            raise ValueError("stop_after goes with keep best: it is the choosing judge who finds nothing better")
        return self


class OnlineTuning(TuningKind):
    """What all kinds share that sample from the policy and score what it wrote, update after update."""

    uncounted_fields = (*TuningKind.uncounted_fields, "microbatch_tokens", "checkpoint_every")
    num_updates: Count = 40
    """How many times a batch is sampled and learned from."""
    kl: Annotated[FixedKL | AdaptiveKL, Field(discriminator="kind")] = FixedKL()
    """The leash to the frozen starting model: `fixed` at `coef`, or `adaptive`, steered to `target_nats`."""
    kl_budget_nats: Positive | None = None
    """Stop when the mean KL of an update's completions exceeds this."""
    learning_rate: Positive = 3e-6
    """Peak learning rate of the policy (Adam, eps 1e-5), falling linearly to a tenth. Small models take more."""
    max_grad_norm: Positive = 1.0
    """Gradient norm is clipped to this, for each network by itself."""
    score_clip: Positive | None = None
    """Scores (after `missing_end`) are clipped to within this distance of 0 before they become rewards; the curves show them unclipped."""
    missing_end: MissingEnd = MissingEnd()
    """For completions cut off at the length limit."""
    microbatch_tokens: Count = 8192
    """Tokens (of prompts and completions) that fit into memory at once; changes no number."""
    checkpoint_every: Count = 5
    """Updates after which the state is kept, to go on from after a kill; changes no number."""


class PolicyGradient(CheckedTuning, OnlineTuning):  # settings of the latter stand first in lists
    """What all kinds share that learn from a batch by gradient, over several passes where that is asked for."""

    kl_in_reward: ClassVar[bool] = True
    """Whether the KL penalty is a part of the reward; else it stands in the loss."""
    batch_size: Count = 64
    """Rollouts per update."""
    num_epochs: Count = 1
    """Passes over each batch."""
    num_minibatches: Count = 1
    """Optimizer steps per pass; must divide batch_size."""
    target_kl: Positive | None = None
    """End an update early: no optimizer step on a minibatch whose policy/approxkl_avg (nats per token) is above 1.5 times this, nor on those after it."""
    clip: Positive = 0.2
    """eps of the policy loss."""
    policy_ema: Fraction | None = None
    """Decay per optimizer step of a moving average of the policy's weights, which is what is saved. Ouyang et al. 2022 (appendix C.4): .992."""
    ptx: PTXConfig | None = None
    """Pretraining text that the policy goes on learning from; leave out to learn from the score alone."""
    lora: LoRA | None = None
    """Learn through a LoRA adapter, at learning rates some ten to a hundred times higher; leave out to change all weights."""
    trainable_layers: Count | None = None
    """How many of the policy's upper layers learn, and nothing else of it: less memory, and what the lower ones make of a batch is computed once; leave out to change all weights."""

    @property
    def text_source(self) -> TextSourceKind | None:
        """The source of `ptx`."""
        return self.ptx.source if self.ptx else None

    def require_fit(self, compute: Compute, context_length: int | None) -> None:
        """As above."""
        compute.require_rows("tuning", self.batch_size // self.num_minibatches)
        if self.ptx:
            compute.require_rows("tuning.ptx", self.ptx.batch_size)
            if context_length is not None and self.ptx.sequence_length > context_length:
                raise ValueError("tuning.ptx.sequence_length must not exceed base.context_length")
        if self.lora is not None and compute.sharding != "none":
            raise ValueError("tuning.lora needs compute.sharding none: other networks share the policy's weights")
        if self.trainable_layers is not None and compute.sharding != "none":
            raise ValueError(
                "tuning.trainable_layers needs compute.sharding none: the reference shares the policy's weights"
            )

    @model_validator(mode="after")
    def _settings_fit(self) -> "PolicyGradient":
        if self.batch_size % self.num_minibatches:
            raise ValueError("num_minibatches must divide batch_size")
        if self.score_clip and self.missing_end.kind == "fixed" and abs(self.missing_end.score) > self.score_clip:
            raise ValueError("score_clip would clip the fixed missing_end.score; bring that within it")
        if self.lora is not None and self.trainable_layers is not None:
            raise ValueError("lora and trainable_layers say two ways of what learns; leave one of them out")
        return self


class PPOConfig(PolicyGradient):
    """PPO on score - beta * KL. Defaults from Ouyang et al. 2022, Stiennon et al. 2020 and Schulman et al. 2017."""

    code = "models.tuning.ppo.tune"
    kind: Literal["ppo"] = "ppo"
    num_epochs: Count = 4
    """Passes over each batch (Stiennon et al. 2020: 4)."""
    num_minibatches: Count = 4
    """Optimizer steps per pass; must divide batch_size."""
    value_learning_rate: Positive = 1e-5
    """Peak learning rate of the value model, same schedule."""
    gamma: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Discount per token."""
    lam: Annotated[float, Field(ge=0, le=1)] = 0.95
    """lambda of generalized advantage estimation (Schulman et al. 2016)."""
    value_clip: Positive = 0.2
    """eps_v: how far a value may move from the one at sampling time before its loss is clipped."""
    value_coef: Positive = 0.1
    """Weight of the value loss."""
    whiten_rewards: bool = False
    """Divide the batch's token rewards, KL penalty included, by their standard deviation around their mean, which stays (Ziegler et al. 2019)."""
    whiten_advantages: bool = True
    """Bring advantages to mean 0 and variance 1 over the real tokens of the batch."""
    value_model: Literal["own", "shared"] = "own"
    """own: a network by itself; shared: a head on the policy's body, whose gradient changes that too: an update takes two thirds of the time."""
    value_start: Literal["reward", "policy"] | None = None
    """What the value model starts as: the reward model (needs the same tokenizer), or the policy's body with a zero head. Left out: the reward, if it is a network."""
    value_warmup_updates: Annotated[int, Field(ge=0)] = 0
    """Updates at the start in which the value model alone learns, so that the policy never follows a value model that knows nothing."""
    lora: TuningLoRA | None = None
    """Learn through a LoRA adapter, at learning rates some ten to a hundred times higher; leave out to change all weights."""

    @model_validator(mode="after")
    def _settings_of_the_value_model_fit(self) -> "PPOConfig":
        if self.value_warmup_updates >= self.num_updates:
            raise ValueError("value_warmup_updates must be below num_updates, or the policy never learns")
        if self.value_model == "shared" and self.value_start == "reward":
            raise ValueError("value_model shared reads what the policy reads; leave value_start out")
        if self.value_model == "shared" and self.lora and not self.lora.value_model:
            raise ValueError("value_model shared learns through the policy's adapter; leave lora.value_model out")
        return self

    def require_fit(self, compute: Compute, context_length: int | None) -> None:
        """As above."""
        super().require_fit(compute, context_length)
        if self.value_model == "shared" and compute.sharding != "none":
            raise ValueError("tuning.value_model shared needs compute.sharding none: two heads read one network")


class CriticFree(PolicyGradient):
    """What all kinds share that hold a completion against others of the same prompt, where PPO has a value model."""

    num_samples: Annotated[int, Field(ge=2)] = 4
    """K: completions of each prompt in a batch; must divide batch_size. More make a steadier baseline, of fewer prompts."""

    @model_validator(mode="after")
    def _samples_divide_batch(self) -> "CriticFree":
        if self.batch_size % self.num_samples:
            raise ValueError("num_samples must divide batch_size: each prompt of a batch gets as many completions")
        return self


class RLOOConfig(CriticFree):
    """REINFORCE with the other completions' mean reward as baseline (RLOO: Ahmadian et al. 2024), on score - beta * KL."""

    code = "models.tuning.critic_free.rloo"
    kind: Literal["rloo"] = "rloo"
    clip: Positive = 0.2
    """eps of the policy loss, around a ratio of 1 of whole completions; it matters from the second optimizer step of an update on."""


class GRPOConfig(CriticFree):
    """Group relative policy optimization (GRPO: Shao et al. 2024): scores in units of their prompt's own spread; the KL stands in the loss."""

    code = "models.tuning.critic_free.grpo"
    kind: Literal["grpo"] = "grpo"
    kl_in_reward: ClassVar[bool] = False
    num_samples: Annotated[int, Field(ge=2)] = 8
    """K: completions of each prompt in a batch; must divide batch_size. Shao et al. 2024 took 64."""
    kl: Annotated[FixedKL | AdaptiveKL, Field(discriminator="kind")] = FixedKL(coef=0.04)
    """The leash to the frozen starting model: beta weighs the KL of a token in the loss, where advantages are near 1 (Shao et al. 2024: .04)."""
    scale_by_std: bool = True
    """Divide a prompt's advantages by the standard deviation of its scores; false: do not, which favours no prompt (Liu et al. 2025)."""
    length_norm: bool = True
    """Divide a completion's loss by its own length (Shao et al. 2024); false: by sampling.max_new_tokens, so that length spares nothing (Liu et al. 2025)."""


class DPOConfig(CheckedTuning, Training):
    """DPO: straight from the pairs, without a reward and without sampling (Rafailov et al. 2023)."""

    code = "models.tuning.dpo"
    reads_pairs = True
    uncounted_fields = (*TuningKind.uncounted_fields, *Training.uncounted_fields)
    kind: Literal["dpo"] = "dpo"
    beta: Positive = 0.1
    """How strongly the policy is held to its start: the larger, the less it moves for the same pairs. Rafailov et al. 2023 took 0.1."""
    batch_size: Count = 16
    """Prompts per optimizer step, each with all its pairs."""
    learning_rate: Positive = 1e-6
    """Peak learning rate of AdamW; linear warm-up over 5 % of the steps, then cosine to a tenth. Small models take more."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled weight decay on matrices."""
    sample_every: Count = 25
    """Optimizer steps between checks: the policy completes validation prompts (of the feedback), and judges compare."""

    @model_validator(mode="after")
    def _prompts_are_those_of_the_pairs(self) -> "DPOConfig":
        if self.prompts is not None:
            raise ValueError("dpo learns from the prompts of the pairs; leave `prompts` out")
        return self


class RejectionSamplingConfig(CheckedTuning):
    """Rejection sampling: fine-tuning on the best of the policy's own completions (Touvron et al. 2023, section 3.2.3)."""

    code = "models.tuning.rejection_sampling"
    kind: Literal["rejection_sampling"] = "rejection_sampling"
    num_iterations: Count = 3
    """How many times completions are sampled and learned from. Each goes on with the policy of the one before."""
    num_samples: Annotated[int, Field(ge=2)] = 8
    """K, completions of each prompt an iteration: among the more the best one is chosen, the further the policy moves."""
    choose: Literal["best", "random"] = "best"
    """best: the one with the highest score of all iterations so far; random: any of them, the matched control."""
    sft: Training = Training()
    """The fine-tuning of each iteration, on a completion of every prompt."""
    batch_size: Count = 128
    """Completions sampled at once."""
    sample_every: Count = 1
    """Iterations between checks: the policy completes validation prompts (of the feedback), and judges compare."""

    def require_fit(self, compute: Compute, context_length: int | None) -> None:
        """As above."""
        compute.require_rows("tuning.sft", self.sft.batch_size)
        if compute.sharding != "none":
            raise ValueError(
                "tuning.kind rejection_sampling needs compute.sharding none: it samples from whole weights"
            )


class BestOfNConfig(TuningKind):
    """Best of n: nothing learns; of n completions by the base the policy writes the one that the reward likes best."""

    code = "models.tuning.best_of_n"
    makes_network = False
    kind: Literal["best_of_n"] = "best_of_n"
    n: Annotated[int, Field(ge=2)] = 16
    """Completions to choose from, whenever one is asked for. They cost n times as much, and move it `log n - (n - 1) / n` nats at most."""

    @model_validator(mode="after")
    def _nothing_is_tuned_on(self) -> "BestOfNConfig":
        if self.prompts is not None:
            raise ValueError("best_of_n learns from no prompts; leave `prompts` out")
        return self


Tuning = Annotated[TuningKind, OneOf(TuningKind, default="ppo")]
