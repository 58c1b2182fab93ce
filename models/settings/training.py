"""The settings of the base model, and of what makes it ready: pretraining and supervised fine-tuning."""

import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from models.settings.base import Count, Positive, Settings
from models.settings.sources import DemonstrationSource, TextSource


class PretrainedBase(Settings):
    """A causal language model to start from."""

    local_fields = ("model",)
    kind: Literal["pretrained"] = "pretrained"
    model: str
    """Name on the Hugging Face hub, or a local folder. `${NAME}` is replaced from the environment."""
    revision: str | None = None
    """Commit or tag on the hub; pin it to make a run repeatable."""
    chat_template: str | None = None
    """Jinja chat template, for a tokenizer that has none (or to replace it)."""
    template_arguments: dict[str, str | bool | int | float] = Field({})
    """What the template may be told, such as {enable_thinking: false}."""
    system_prompt: str | None = None
    """What opens conversations that have no system prompt of their own."""
    date: datetime.date | None = None
    """The day that a template writes down which asks for today's; left out, that on which a run first loads the model."""
    end_tokens: tuple[str, ...] | None = None
    """Tokens that end a completion; left out, those of the model's generation config and the one that its template ends turns with."""


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


class LoRA(Settings):
    """Learning through low-rank matrices beside the frozen ones (Hu et al. 2021): much less memory, and checkpoints of megabytes.

    There is no dropout on them: two passes over the same tokens would give a probability ratio other than 1.
    """

    rank: Count = 16
    """Rows of the matrix A, columns of B: what an adapted layer can learn is of this rank."""
    alpha: Positive = 32.0
    """An adapted layer computes W x + alpha / rank * B A x."""
    target_modules: Literal["all-linear"] | Annotated[tuple[str, ...], Field(min_length=1)] = "all-linear"
    """Names of the layers that get an adapter, such as [q_proj, v_proj]; all-linear: every linear layer but the output's."""


class TuningLoRA(LoRA):
    """The same for tuning, where two networks learn."""

    value_model: bool = True
    """Whether the value model learns through an adapter as well (its head always learns), on the weights that it starts from."""


class Training(Settings):
    """What pretraining, supervised fine-tuning and reward training share."""

    uncounted_fields: ClassVar[tuple[str, ...]] = ("microbatch_tokens", "checkpoint_every")
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
    lora: LoRA | None = None
    """Learn through a LoRA adapter, at learning rates some ten times higher, which is merged in the end; leave out to change all weights."""


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


class PTXConfig(Settings):
    """Pretraining text that the policy goes on learning from (PPO-ptx: Ouyang et al. 2022, equation 2)."""

    source: TextSource
    """Where the text comes from. Best is text like that of the base model's own pretraining: it is what PPO makes it forget."""
    coef: Positive
    """gamma: weight of the mean loss of the next token, beside PPO's mean over tokens. Begin near 1; Ouyang et al. 2022 (appendix C.4) used 27.8."""
    batch_size: Count = 32
    """Sequences of text per optimizer step. Ouyang et al. 2022 took 8 for each rollout of a minibatch."""
    sequence_length: Annotated[int, Field(ge=8)] = 64
    """Tokens per sequence; texts are joined by end-of-sequence tokens and cut to this length."""
