"""Sequences of unequal length one after another, without padding, through the decoders of Hugging Face.

Linear layers, norms and activations see one row of N tokens. Attention alone needs to know where a sequence begins: there the
tokens are laid out as rectangles, a row per sequence, those of about one length together. They are padded on the right, where causality
hides the padding by itself. A network that cannot be read so gets rows that are padded throughout.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from models.network.attention import NO_MASK, Rectangles, is_padded, use_attention
from models.network.llama_forward import has_own_pass, llama_hidden_states
from models.network.memory import free_what_failed, is_out_of_memory
from models.shapes import Float, Int

_LOGGER = logging.getLogger(__name__)
Result = TypeVar("Result")


def rounded_up(number: int) -> int:
    """The next number with no more than six binary digits before its zeros: 3 % larger at most."""
    step = 1 << max(0, (number - 1).bit_length() - 6)
    return -(-number // step) * step


def filled(places: Int[Tensor, " M"]) -> Int[Tensor, " F"]:
    """These places, and the first one again until their number is one of few."""
    return torch.cat([places, places[:1].expand(rounded_up(len(places)) - len(places))])


@dataclass(frozen=True)
class PackedBatch:
    """B sequences, and behind them filler, N tokens in all. Filler is in no sequence, and nothing reads it: with it N is one of few
    numbers. For each new shape of a product there is code to be made first, which takes longer than a small product itself."""

    input_ids: Int[Tensor, " N"]
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> "PackedBatch":
        """The sequences, in their order."""
        tokens = [token for sequence in sequences for token in sequence]
        tokens += [0] * (rounded_up(len(tokens)) - len(tokens))
        return cls(torch.tensor(tokens, dtype=torch.long).to(device), tuple(map(len, sequences)))

    def last(self, counts: Sequence[int]) -> Int[Tensor, " M"]:
        """The places, among the N, of the last `counts[b]` tokens of each sequence b."""
        places, end = [], 0
        for length, count in zip(self.lengths, counts, strict=True):
            end += length
            places += range(end - count, end)
        return torch.tensor(places, dtype=torch.long).to(self.input_ids.device)

    @cached_property
    def positions(self) -> Int[Tensor, " N"]:
        """Every token's place in its own sequence; 0 for filler."""
        positions = torch.cat([torch.arange(length) for length in self.lengths])
        return F.pad(positions, (0, len(self.input_ids) - len(positions))).to(self.input_ids.device)

    @cached_property
    def rectangles(self) -> Rectangles:
        """How attention lays the tokens out."""
        return Rectangles.of(self.lengths, len(self.input_ids), self.input_ids.device)


def hidden_states(body: PreTrainedModel, batch: PackedBatch, places: Int[Tensor, " M"]) -> Float[Tensor, "M H"]:
    """The last hidden states at these places; no sequence sees another."""
    if has_own_pass(body):
        hidden = llama_hidden_states(body, batch.input_ids, batch.positions, batch.rectangles, filled(places))
        return hidden[: len(places)]
    use_attention(body)
    if is_padded(body):
        return _padded_hidden_states(body, batch).index_select(0, places)
    return (
        body(
            input_ids=batch.input_ids.unsqueeze(0),
            attention_mask=NO_MASK,
            position_ids=batch.positions.unsqueeze(0),
            use_cache=False,
            rectangles=batch.rectangles,
        )
        .last_hidden_state[0]
        .index_select(0, places)
    )


def _padded_hidden_states(body: PreTrainedModel, batch: PackedBatch) -> Float[Tensor, "_ H"]:
    """The last hidden states of all sequences, which transformers reads as rows padded on the right."""
    lengths = torch.tensor(batch.lengths)
    sequences = batch.input_ids[: lengths.sum()].split(batch.lengths)
    is_token = (torch.arange(lengths.max()) < lengths.unsqueeze(1)).to(batch.input_ids.device)
    input_ids = pad_sequence(list(sequences), batch_first=True)
    return body(input_ids=input_ids, attention_mask=is_token.long(), use_cache=False).last_hidden_state[is_token]


def cut_by_tokens(lengths: Sequence[int], max_tokens: int) -> Iterator[slice]:
    """Consecutive rows with at most `max_tokens` tokens together; a row that alone has more comes alone."""
    start, total = 0, 0
    for row, length in enumerate(lengths):
        if row > start and total + length > max_tokens:
            yield slice(start, row)
            start, total = row, 0
        total += length
    if len(lengths) > start:
        yield slice(start, len(lengths))


_AT_ONCE: ContextVar[int] = ContextVar("tokens_at_once", default=8192)


@contextmanager
def reading_at_once(num_tokens: int) -> Iterator[None]:
    """Meanwhile `read_in_parts` reads no more than so many tokens at a time: what is learned in smaller parts is scored in such, too."""
    token = _AT_ONCE.set(num_tokens)
    try:
        yield
    finally:
        _AT_ONCE.reset(token)


def read_in_parts(lengths: Sequence[int], read: Callable[[slice], Result]) -> list[Result]:
    """What `read` gives for consecutive rows, without gradients: as many at a time as 8,192 tokens hold, or as `reading_at_once` says.

    When memory runs out, the rows that did not fit are read again with half as many tokens at a time, which changes no number but by rounding; a single
    row that does not fit raises as `read` does. From then on no more is tried, until the end of `reading_at_once`.
    """
    results: list[Result] = []
    start = 0
    while start < len(lengths):
        (part,) = islice(cut_by_tokens(lengths[start:], _AT_ONCE.get()), 1)
        rows = slice(start, start + part.stop)
        try:
            results.append(read(rows))
        except Exception as error:
            if not is_out_of_memory(error) or part.stop == 1:
                raise
            reason = (str(error) or type(error).__name__).splitlines()[0]
        else:
            start = rows.stop
            continue
        free_what_failed()
        tried = sum(lengths[rows])
        _AT_ONCE.set(max(1, tried // 2))
        _LOGGER.warning("out of memory reading %d tokens at once (%s); going on with %d", tried, reason, tried // 2)
    return results
