"""What a model's config alone says: whether its tokens meet in attention, how many it reads, and which head a reward model gets."""

from typing import Any

from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_layers import GenericForSequenceClassification
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_MAPPING,
)

from models.errors import ConfigError

ATTENTION_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}


def require_decoder(config: PreTrainedConfig, name: str) -> None:
    """Raises ConfigError for what is no causal language model, or mixes tokens by something else than attention: encoder-decoders,
    state-space and recurrent networks, convolutions."""
    known = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    layers = set(getattr(config.get_text_config(), "layer_types", None) or ()) - ATTENTION_LAYERS
    if getattr(config, "is_encoder_decoder", False):
        complaint = "has an encoder"
    elif known is None:
        complaint = "is no causal language model"
    elif known._is_stateful or layers:
        complaint = "has layers that keep a state (state-space, recurrent or convolution layers)"
    else:
        return
    raise ConfigError(
        f"base.model {name!r}: {config.model_type} {complaint}; use a decoder whose tokens meet in attention alone, such as "
        "Llama, Qwen, Gemma or GPT-2"
    )


def context_length(config: PreTrainedConfig) -> int:
    """How many tokens a model reads.

    One with LongRoPE (Phi-3, Phi-4) as many as it was first trained on: transformers turns it into another network where any row of a
    batch is longer, so that a text would be read as its neighbours have it (docs/decisions/0040). Raises ConfigError where the
    config does not say.
    """
    config = config.get_text_config()
    names = ("max_position_embeddings", "max_seq_len", "seq_length")  # the others are MPT's and BLOOM's
    limit = next((number for name in names if (number := getattr(config, name, None))), None)
    if limit is None:
        raise ConfigError(
            f"{config.model_type}: its config.json does not say how many tokens it reads; add max_position_embeddings"
        )
    rope = getattr(config, "rope_parameters", None) or {}
    by_kind = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    is_long = (one for one in by_kind if one.get("rope_type") == "longrope")
    return min(limit, *(one["original_max_position_embeddings"] for one in is_long), limit)


def text_alone(model: PreTrainedModel) -> PreTrainedModel:
    """The language model of one that reads pictures or sound as well; any other as it is."""
    config = model.config.get_text_config()
    if config is model.config:
        return model
    alone = AutoModelForCausalLM.from_config(config, dtype=model.dtype)
    for own, given in (
        (alone.base_model, model.get_decoder()),
        (alone.get_output_embeddings(), model.get_output_embeddings()),
    ):
        own.load_state_dict(given.state_dict())
    alone.generation_config = model.generation_config
    return alone.eval()


def offer_reward_head(config: PreTrainedConfig) -> None:
    """Makes `AutoModelForSequenceClassification` load a reward model on a decoder that transformers has no such class for: its
    body, and one linear layer `score` on the last real token, as of the others."""
    if type(config) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        return
    body: Any = MODEL_MAPPING[type(config)]
    family = body.__mro__[body.__mro__.index(PreTrainedModel) - 1]
    name = f"{body.__name__.removesuffix('Model')}ForSequenceClassification"
    told = {"config_class": type(config), "__module__": family.__module__}
    head = type(name, (GenericForSequenceClassification, family), told)
    AutoModelForSequenceClassification.register(type(config), head, exist_ok=True)
