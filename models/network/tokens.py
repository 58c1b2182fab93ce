"""Templates, and prompts padded for sampling. Everywhere else a prompt or completion is text, or a plain list of token ids.

Masks say what True means.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from models.errors import ConfigError, DataError
from models.shapes import Bool, Int

PLAIN_CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ message['content'] }}\n"
    "{% else %}{{ message['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)

"""The template of models trained from scratch: the prompt, a line break, the completion."""


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Raises ConfigError, saying which key to set, when a tokenizer cannot serve training.

    Padding must differ from end-of-sequence: with pad = eos the end of a completion cannot be told from padding.
    """
    if tokenizer.eos_token_id is None:
        raise ConfigError(f"base model {name}: its tokenizer has no end-of-sequence token, so no completion could end")
    if tokenizer.pad_token_id is None:
        raise ConfigError(f"base model {name}: its tokenizer has no pad token; set base.pad_token to a token it has")
    if tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise ConfigError(
            f"base model {name}: its pad token is its end-of-sequence token {tokenizer.eos_token!r}; "
            "set base.pad_token to another token it has"
        )
    if not tokenizer.chat_template:
        raise ConfigError(f"base model {name}: its tokenizer has no chat template; set base.chat_template")


def encode_prompt(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a prompt in the tokenizer's chat template, up to where the completion begins.

    Raises DataError when the text holds one of the tokenizer's special tokens: it would end or pad the prompt from inside.
    """
    if special := [token for token in tokenizer.all_special_tokens if token in text]:
        raise DataError(f"a prompt holds the special token {special[0]!r}: {text[:80]!r}")
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
    )
    return tokenizer(rendered, add_special_tokens=False).input_ids


def encode_completion(tokenizer: PreTrainedTokenizerBase, text: str, ended: bool) -> list[int]:
    """Token ids of a completion; with the end-of-sequence token when it `ended` by itself.

    Encoded apart from its prompt, so that the same text gives the same tokens in every stage. A special token's name in the
    text stays text: nothing that a completion says can end it.
    """
    tokens = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
    return [*tokens, tokenizer.eos_token_id] if ended else tokens


def decode_completion(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    """The text of a completion's tokens, special tokens left out, outer white space stripped."""
    return tokenizer.decode(tokens, skip_special_tokens=True).strip()


def check_lengths(prompts: Sequence[Sequence[int]], texts: Sequence[str], room: int, setting: str) -> None:
    """Raises DataError naming the prompts that leave no room for a completion in the model's context."""
    too_long = [(len(tokens), text) for tokens, text in zip(prompts, texts, strict=True) if len(tokens) > room]
    if too_long:
        length, text = max(too_long)
        raise DataError(
            f"{len(too_long)} prompts are longer than the {room} tokens that the context leaves beside {setting}; "
            f"the longest has {length} tokens: {text[:80]!r}"
        )


@dataclass(frozen=True)
class TokenBatch:
    """Token sequences of unequal length in one rectangle, S the longest."""

    input_ids: Int[Tensor, "B S"]
    is_token: Bool[Tensor, "B S"]

    def to(self, device: torch.device) -> "TokenBatch":
        """The same batch on another device."""
        return TokenBatch(self.input_ids.to(device), self.is_token.to(device))


def pad(sequences: Sequence[Sequence[int]], pad_id: int, side: str) -> TokenBatch:
    """Sequences padded to the longest on the `left` (prompts, before sampling) or the `right` (everything else)."""
    width = max(len(sequence) for sequence in sequences)
    input_ids = torch.full((len(sequences), width), pad_id, dtype=torch.long)
    is_token = torch.zeros((len(sequences), width), dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        span = slice(width - len(sequence), width) if side == "left" else slice(0, len(sequence))
        input_ids[row, span] = torch.tensor(sequence, dtype=torch.long)
        is_token[row, span] = True
    return TokenBatch(input_ids, is_token)


def positions(is_token: Bool[Tensor, "B S"]) -> Int[Tensor, "B S"]:
    """Position of every token counted from the first real one, so that padding on the left shifts nothing."""
    return (is_token.long().cumsum(dim=-1) - 1).clamp(min=0)
