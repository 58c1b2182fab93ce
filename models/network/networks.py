"""The networks: policy (a causal language model), reward model and value model. Build, save, load.

Everything is an ordinary Hugging Face model underneath; weights are only ever read from safetensors, and code that comes with
a checkpoint is never run.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers import models as tokenizer_models
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.modeling_layers import GradientCheckpointingLayer

from models.distributed.collectives import this_rank
from models.distributed.fsdp import forward_pass, whole
from models.errors import ConfigError
from models.network.architecture import offer_reward_head
from models.network.dialogue import PLAIN_CHAT_TEMPLATE, pad_token, written_completion
from models.network.model_folder import (
    CLASSIFIER_README,
    POLICY_README,
    REWARD_README,
    write_network,
    write_readme,
    write_tokenizer,
)
from models.network.packing import PackedBatch, hidden_states
from models.network.precision import round_like
from models.settings.training import ScratchBase
from models.shapes import Float, Int


def train_tokenizer(texts: list[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with `<s>`, `</s>` and `<pad>`, trained on the texts (the same texts give the same one)."""
    tokenizer = Tokenizer(tokenizer_models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        chat_template=PLAIN_CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def build_policy(config: ScratchBase, tokenizer: PreTrainedTokenizerBase, seed: int) -> LlamaForCausalLM:
    """A Llama-style model with random weights (drawn from the seed) and tied embeddings."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            intermediate_size=3 * config.hidden_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            max_position_embeddings=config.context_length,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def save_policy(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    learned_from: Path | None = None,
    seed: int = 0,
) -> None:
    """Writes a folder that plain `AutoModelForCausalLM.from_pretrained` loads. All ranks together; the first one writes.

    The weights lose nothing, unless they have been `learned_from` another folder's: then they, here too, are rounded to the type of
    those, so that nobody goes on with other weights than the ones that are saved.
    """
    model = whole(model)
    if this_rank() == 0:
        if learned_from is not None:
            round_like(model, learned_from, seed)
        write_network(folder, model)
        write_tokenizer(folder, tokenizer)
        write_readme(folder, POLICY_README, model)


def load_policy(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """What `save_policy` wrote, in float32 and in evaluation mode (no dropout)."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
    return learning_every_token(model).eval(), AutoTokenizer.from_pretrained(folder)


def learning_every_token(model: PreTrainedModel) -> PreTrainedModel:
    """The same model, whose embedding gives no row up to padding: where a model's pad token is the end of its turns, that would never be learned."""
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.padding_idx = None
    return model


def freeze(model: nn.Module) -> nn.Module:
    """The same model, without gradients and without dropout, to compare against."""
    return model.requires_grad_(False).eval()


def layers_of(network: nn.Module) -> list[GradientCheckpointingLayer]:
    """The layers that a decoder is a stack of, from the lowest up."""
    return [module for module in network.modules() if isinstance(module, GradientCheckpointingLayer)]


def weight_sharing_copy(model: PreTrainedModel) -> PreTrainedModel:
    """A second network over the very same weights: layers added to one are not in the other, and nothing is held twice."""
    return copy.deepcopy(model, {id(weight): weight for weight in model.parameters()})


class RewardModel(nn.Module):
    """One score per completion: a causal model's body and a linear head on the last real token.

    `score = (logit - mean) / std`, where mean and std of the logit on the training completions are fixed at the end of
    training and live in the checkpoint's config (`score_mean`, `score_std`).
    """

    readme: ClassVar[str] = REWARD_README

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    @forward_pass
    def logits(self, batch: PackedBatch) -> Float[Tensor, " B"]:
        """The raw logit of each sequence, read at its last token alone."""
        last = batch.last([1] * len(batch.places))
        hidden = hidden_states(self.model.base_model, batch, last)
        return self.model.score(hidden).float().sum(dim=-1)  # of one column; FSDP2 must not be given a view

    def scores(self, batch: PackedBatch) -> Float[Tensor, " B"]:
        """The normalised score of each sequence."""
        return (self.logits(batch) - self.model.config.score_mean) / self.model.config.score_std

    def set_normalisation(self, mean: float, std: float) -> None:
        """Fixes what `scores` subtracts and divides by."""
        self.model.config.score_mean = mean
        self.model.config.score_std = std

    def save(self, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        """Writes a folder that plain `AutoModelForSequenceClassification.from_pretrained` loads. As `save_policy` does.

        transformers reads the score of a padded row before the last tokens that are padding, so that no turn may end with that one.
        """
        model = whole(self).model
        if this_rank() == 0:
            tokenizer = copy.deepcopy(tokenizer)
            tokenizer.pad_token = pad_token(tokenizer)
            model.config.pad_token_id = tokenizer.pad_token_id
            self.describe_labels(model)
            write_network(folder, model)
            write_tokenizer(folder, tokenizer)
            write_readme(folder, self.readme, model, written_completion(tokenizer, "Open a window."))

    @staticmethod
    def describe_labels(model: PreTrainedModel) -> None:
        """Tells the config what a pipeline is to make of the logits: here, to give the one as it is."""
        model.config.problem_type = "regression"
        model.config.id2label, model.config.label2id = {0: "logit"}, {"logit": 0}

    @classmethod
    def start(cls, base: Path, seed: int, zero_head: bool = True, num_labels: int = 1) -> "RewardModel":
        """A reward model on the body of a base model; the head starts at zero, so every score starts equal, or is drawn from the seed."""
        torch.manual_seed(seed)
        offer_reward_head(AutoConfig.from_pretrained(base))
        model = AutoModelForSequenceClassification.from_pretrained(
            base, num_labels=num_labels, dtype=torch.float32, use_safetensors=True
        )
        cls.require_head(model)
        if zero_head:
            nn.init.zeros_(model.score.weight)
        reward_model = cls(learning_every_token(model))
        reward_model.set_normalisation(mean=0.0, std=1.0)
        return reward_model

    @classmethod
    def over(cls, policy: PreTrainedModel) -> "RewardModel":
        """A reward model over the policy's very own body, to look at how it reads; its head adds up what it is given."""
        if policy.base_model is policy:
            raise ConfigError(f"{type(policy).__name__} has no body that a reward model could be built on")
        offer_reward_head(policy.config)
        config = copy.deepcopy(policy.config)
        config.num_labels = 1
        with torch.device("meta"):
            model = AutoModelForSequenceClassification.from_config(config)
        cls.require_head(model)
        model.score = nn.Linear(model.score.in_features, 1, bias=False)
        nn.init.ones_(model.score.weight)
        setattr(model, model.base_model_prefix, policy.base_model)
        return cls(model).eval()

    @staticmethod
    def require_head(model: PreTrainedModel) -> None:
        """Raises ConfigError for a network whose score is made by more than one linear layer."""
        if not isinstance(getattr(model, "score", None), nn.Linear):
            raise ConfigError(f"{type(model).__name__} has no linear `score` head; use a decoder such as Llama or Qwen")

    @classmethod
    def load(cls, folder: Path) -> tuple["RewardModel", PreTrainedTokenizerBase]:
        """What `save` wrote, in evaluation mode."""
        offer_reward_head(AutoConfig.from_pretrained(folder))
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
        return cls(model).eval(), AutoTokenizer.from_pretrained(folder)


class Classifier(RewardModel):
    """A logit for each class, of which that of the class that is wanted scores: the column `wanted_class` of the checkpoint's config."""

    readme = CLASSIFIER_README

    @forward_pass
    def class_logits(self, batch: PackedBatch) -> Float[Tensor, "B C"]:
        """The raw logits of each sequence, read at its last token alone."""
        hidden = hidden_states(self.model.base_model, batch, batch.last([1] * len(batch.places)))
        return self.model.score(hidden).float()

    def logits(self, batch: PackedBatch) -> Float[Tensor, " B"]:
        """That of the wanted class."""
        return self.class_logits(batch)[:, self.model.config.wanted_class]

    @staticmethod
    def describe_labels(model: PreTrainedModel) -> None:
        """As above: to give the probability of each class."""
        model.config.problem_type = "single_label_classification"

    @classmethod
    def of_classes(cls, base: Path, seed: int, names: Sequence[str], wanted: str, reads_prompt: bool) -> "Classifier":
        """A classifier on the body of a base model, whose head starts at zero, with a column for each class."""
        model = RewardModel.start(base, seed, num_labels=len(names)).model
        model.config.id2label = dict(enumerate(names))
        model.config.label2id = {name: place for place, name in enumerate(names)}
        model.config.wanted_class, model.config.reads_prompt = names.index(wanted), reads_prompt
        return cls(model)

    @classmethod
    def load(cls, folder: Path) -> tuple["Classifier", PreTrainedTokenizerBase]:
        """What `save` wrote, in evaluation mode."""
        reward_model, tokenizer = RewardModel.load(folder)
        return cls(reward_model.model).eval(), tokenizer

    @property
    def names(self) -> tuple[str, ...]:
        """What the columns are called."""
        return tuple(self.model.config.id2label[place] for place in range(self.model.config.num_labels))

    def of_wanted(self) -> RewardModel:
        """A reward model over the very same body, whose one logit is that of the wanted class."""
        model = weight_sharing_copy(self.model)
        model.score = nn.Linear(model.score.in_features, 1, bias=False)
        model.score.weight = nn.Parameter(self.model.score.weight[[model.config.wanted_class]].detach().clone())
        return RewardModel(model).eval()


class ValueModel(nn.Module):
    """One value per token, in units of normalised score: what PPO's policy gradient is measured against."""

    def __init__(self, body: PreTrainedModel, head: nn.Linear, mean: float, std: float) -> None:
        super().__init__()
        self.body, self.head, self.mean, self.std = body, head, mean, std

    @classmethod
    def from_reward(cls, reward_model: RewardModel, share_body: bool = False) -> "ValueModel":
        """Starts as a copy of the reward model, read at every token instead of the last (Ouyang et al. 2022).

        With `share_body` the body's weights are the reward model's own, for a value model that learns through an adapter.
        """
        model = reward_model.model
        head = copy.deepcopy(model.score).requires_grad_(True)
        return cls(_body(model, share_body), head, model.config.score_mean, model.config.score_std)

    @classmethod
    def from_policy(cls, policy: PreTrainedModel, share_body: bool = False) -> "ValueModel":
        """Starts as a copy of the policy's body with a zero head. With `share_body` the body's weights are the policy's own."""
        head = nn.Linear(policy.config.hidden_size, 1, bias=False)
        nn.init.zeros_(head.weight)
        return cls(_body(policy, share_body), head, mean=0.0, std=1.0)

    def forward(self, batch: PackedBatch, places: Int[Tensor, " M"]) -> Float[Tensor, " M"]:
        """Value of the state in which the token at each of these places is chosen, i.e. read at the place before it."""
        hidden = hidden_states(self.body, batch, batch.before[places])
        return (self.head(hidden).squeeze(-1).float() - self.mean) / self.std


def _body(model: PreTrainedModel, shared: bool) -> PreTrainedModel:
    """The network below the head: over the same weights, or a copy that learns."""
    body = model.base_model
    return weight_sharing_copy(body) if shared else copy.deepcopy(body).requires_grad_(True)
