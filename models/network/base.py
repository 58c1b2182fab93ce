"""The base model: a causal language model of somebody else, read as its makers meant it."""

import datetime
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from models.errors import ConfigError
from models.network.architecture import require_decoder, text_alone
from models.network.dialogue import check_tokenizer, end_token, end_tokens, fixed_template
from models.network.networks import build_policy, train_tokenizer
from models.settings.training import PretrainedBase, ScratchBase


def open_base(
    config: PretrainedBase | ScratchBase, texts: Sequence[str], seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base that the config asks for, before any training; one from scratch has random weights and a tokenizer trained on the texts."""
    if isinstance(config, PretrainedBase):
        return load_base(config)
    tokenizer = train_tokenizer(list(texts), config.vocab_size)
    return build_policy(config, tokenizer, seed), tokenizer


def load_base(config: PretrainedBase) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model and its tokenizer, from the hub or a folder, ready for training.

    Its tokenizer's template holds what the config says of it, and its generation config every token that ends a completion.
    Of a model that reads pictures as well it is the language model. Raises ConfigError when it cannot be found, has no safetensors, needs
    code of its own, is an adapter alone, is no decoder whose tokens meet in attention alone, or has no usable chat template.
    """
    require_known(config)
    try:
        tokenizer = AutoTokenizer.from_pretrained(config.model, revision=config.revision, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            config.model,
            revision=config.revision,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise _not_loaded(config, error) from None
    model = text_alone(model)
    if template := config.chat_template or _own_template(tokenizer):
        date = config.date or datetime.date.today()
        tokenizer.chat_template = fixed_template(template, config.template_arguments, config.system_prompt, date)
    check_tokenizer(tokenizer, config.model)
    model.generation_config.eos_token_id = _ends(config, model, tokenizer)
    return model, tokenizer


def require_known(config: PretrainedBase) -> None:
    """Raises ConfigError where what lies beside the weights says that they cannot serve: an adapter alone, or an architecture that is not learned."""
    if (Path(config.model) / "adapter_config.json").exists():  # it names another model, which would be loaded unasked
        raise ConfigError(f"base.model {config.model!r} is an adapter; merge it into its model first")
    try:
        own = AutoConfig.from_pretrained(config.model, revision=config.revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _not_loaded(config, error) from None
    require_decoder(own, config.model)


def _not_loaded(config: PretrainedBase, error: Exception) -> ConfigError:
    return ConfigError(f"base.model {config.model!r} cannot be loaded: {str(error).splitlines()[0]}")


def _own_template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The template for conversations without tools."""
    own = tokenizer.chat_template
    return own.get("default") if isinstance(own, dict) else own


def _ends(config: PretrainedBase, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Every token that ends a completion."""
    if config.end_tokens is None:
        known = [*end_tokens(model), end_token(tokenizer), tokenizer.eos_token_id]
        return list(dict.fromkeys(token for token in known if token is not None))
    vocabulary = tokenizer.get_vocab()
    if unknown := [token for token in config.end_tokens if token not in vocabulary]:
        raise ConfigError(f"base.end_tokens: {unknown[0]!r} is not a token of {config.model}")
    if not config.end_tokens:
        raise ConfigError("base.end_tokens is empty, so that no completion could end; leave it out")
    return [vocabulary[token] for token in config.end_tokens]
