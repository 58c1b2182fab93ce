"""Sequences of unequal length one after another, without padding, through the decoders of Hugging Face.

Linear layers, norms and activations see one row of N tokens. Attention alone needs to know which of them are a sequence: there the
tokens are laid out as rectangles, a row per sequence, those of about one length together. They are padded on the right, where causality
hides the padding by itself. A network that cannot be read so gets rows that are padded throughout.

What a sequence begins with as the one before it does, such as the prompt of two completions, is there once: a causal network makes the same of it in both.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from models.network.attention import NO_MASK, Rectangles, is_padded, use_attention
from models.network.llama_forward import Below, has_own_pass, llama_hidden_states, llama_states_below
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
    """B sequences, and behind them filler, N tokens in all; of each sequence the places of its tokens among them, some of which may be those of the
    sequence before. Filler is in no sequence, and nothing reads it: with it N is one of few numbers. For each new shape of a product there is code to
    be made first, which takes longer than a small product itself."""

    input_ids: Int[Tensor, " N"]
    places: tuple[list[int], ...]

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> "PackedBatch":
        """The sequences, in their order."""
        tokens: list[int] = []
        places: list[list[int]] = []
        before: Sequence[int] = ()
        own: list[int] = []
        for sequence in sequences:
            num_shared = _num_alike(before, sequence)
            own = [*own[:num_shared], *range(len(tokens), len(tokens) + len(sequence) - num_shared)]
            places.append(own)
            tokens += sequence[num_shared:]
            before = sequence
        tokens += [0] * (rounded_up(len(tokens)) - len(tokens))
        return cls(torch.tensor(tokens, dtype=torch.long).to(device), tuple(places))

    def last(self, counts: Sequence[int]) -> Int[Tensor, " M"]:
        """The places, among the N, of the last `counts[b]` tokens of each sequence b."""
        read = [place for own, count in zip(self.places, counts, strict=True) for place in own[len(own) - count :]]
        return torch.tensor(read, dtype=torch.long).to(self.input_ids.device)

    def laid_out(self, of_sequences: Sequence[Float[Tensor, "_ H"]]) -> Float[Tensor, "N H"]:
        """What is known of each sequence's tokens, in the order of the N; 0 for filler."""
        end, parts = 0, []
        for own, known in zip(self.places, of_sequences, strict=True):
            num_new = max(0, own[-1] + 1 - end)
            parts.append(known[len(own) - num_new :])
            end += num_new
        filler = of_sequences[0].new_zeros(len(self.input_ids) - end, of_sequences[0].shape[1])
        return torch.cat([*parts, filler])

    @cached_property
    def positions(self) -> Int[Tensor, " N"]:
        """Every token's place in its own sequence; 0 for filler."""
        positions = [0] * len(self.input_ids)
        for own in self.places:
            for position, place in enumerate(own):
                positions[place] = position
        return torch.tensor(positions).to(self.input_ids.device)

    @cached_property
    def before(self) -> Int[Tensor, " N"]:
        """Of every token the place of the one before it in its sequence; 0 for the first, and for filler."""
        before = [0] * len(self.input_ids)
        for own in self.places:
            for former, place in pairwise(own):
                before[place] = former
        return torch.tensor(before).to(self.input_ids.device)

    @cached_property
    def rectangles(self) -> Rectangles:
        """How attention lays the tokens out."""
        return Rectangles.of(self.places, len(self.input_ids), self.input_ids.device)


def _num_alike(one: Sequence[int], other: Sequence[int]) -> int:
    """With how many tokens both begin."""
    differs = (number for number, (first, second) in enumerate(zip(one, other, strict=False)) if first != second)
    return next(differs, min(len(one), len(other)))


def hidden_states(
    body: PreTrainedModel, batch: PackedBatch, places: Int[Tensor, " M"], below: Below | None = None
) -> Float[Tensor, "M H"]:
    """The last hidden states at these places; no sequence sees another. What is known from `below` (`states_below`) is not computed again."""
    if has_own_pass(body):
        hidden = llama_hidden_states(body, batch.input_ids, batch.positions, batch.rectangles, filled(places), below)
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


def states_below(body: PreTrainedModel, batch: PackedBatch, num_layers: int) -> Below:
    """What the lowest layers make of each token, without gradient. Of networks with a pass of their own (`has_own_pass`)."""
    return llama_states_below(body, batch.input_ids, batch.positions, batch.rectangles, num_layers)


def _padded_hidden_states(body: PreTrainedModel, batch: PackedBatch) -> Float[Tensor, "_ H"]:
    """The last hidden states at all places, which transformers reads as rows padded on the right."""
    places = [torch.tensor(own).to(batch.input_ids.device) for own in batch.places]
    input_ids = pad_sequence([batch.input_ids[own] for own in places], batch_first=True)
    is_token = pad_sequence([torch.ones_like(own, dtype=torch.bool) for own in places], batch_first=True)
    hidden = body(input_ids=input_ids, attention_mask=is_token.long(), use_cache=False).last_hidden_state[is_token]
    of_place = torch.zeros_like(batch.input_ids)
    of_place[torch.cat(places)] = torch.arange(len(hidden)).to(of_place.device)
    return hidden.index_select(0, of_place)


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
