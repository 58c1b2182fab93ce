"""Token sequences in one rectangle, for sampling, and whether they fit. Masks say what True means."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.conversation import transcript
from models.errors import DataError
from models.shapes import Bool, Int


def check_lengths(prompts: Sequence[Sequence[int]], texts: Sequence[str], room: int, setting: str) -> None:
    """Raises DataError naming the prompts that leave no room for a completion in the model's context."""
    too_long = [(len(tokens), text) for tokens, text in zip(prompts, texts, strict=True) if len(tokens) > room]
    if too_long:
        length, text = max(too_long)
        raise DataError(
            f"{len(too_long)} prompts are longer than the {room} tokens that the context leaves beside {setting}; "
            f"the longest has {length} tokens: {transcript(text)[:80]!r}"
        )


@dataclass(frozen=True)
class TokenBatch:
    """Token sequences of unequal length in one rectangle, S the longest."""

    input_ids: Int[Tensor, "B S"]
    is_token: Bool[Tensor, "B S"]

    def to(self, device: torch.device) -> "TokenBatch":
        """The same batch on another device."""
        return TokenBatch(self.input_ids.to(device), self.is_token.to(device))


def pad_left(sequences: Sequence[Sequence[int]]) -> TokenBatch:
    """Sequences that end in the same column. What stands before them is masked, so that any token may stand there: the first one does."""
    width = max(len(sequence) for sequence in sequences)
    input_ids = torch.zeros((len(sequences), width), dtype=torch.long)
    is_token = torch.zeros((len(sequences), width), dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        input_ids[row, width - len(sequence) :] = torch.tensor(sequence, dtype=torch.long)
        is_token[row, width - len(sequence) :] = True
    return TokenBatch(input_ids, is_token)


def positions(is_token: Bool[Tensor, "B S"]) -> Int[Tensor, "B S"]:
    """Position of every token counted from the first real one, so that padding on the left shifts nothing."""
    return (is_token.long().cumsum(dim=-1) - 1).clamp(min=0)
