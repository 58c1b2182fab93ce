"""Prompts to sampled completions, with our own decode loop: one place decides how tokens are drawn."""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.distributed.collectives import num_ranks
from models.errors import TrainingError
from models.generation.decoding import Decoder, Row
from models.generation.sampler import Sampler
from models.network.architecture import context_length
from models.network.dialogue import decode_completion, encode_prompt, end_tokens
from models.network.memory import free_what_failed, is_out_of_memory
from models.network.tokens import check_lengths
from models.settings.generation import GenerationConfig
from models.shapes import Float, Int

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """One sampled completion: its tokens (the end token included), the log-probabilities (nats, at the temperature, of all tokens)
    that they were drawn with, its text, and whether it ended by itself."""

    tokens: list[int]
    logprobs: list[float] = field(compare=False)  # in other company the same draw is rounded otherwise
    text: str
    ended: bool


@torch.no_grad()
def sample_tokens(
    model: PreTrainedModel | Sampler,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    batch_size: int,
    seed: int,
    numbers: Sequence[int] | None = None,
) -> list[Row]:
    """One completion per prompt, as tokens and their log-probabilities, up to `batch_size` at a time; each stops after an end token or at the limit.

    A row that has ended leaves the batch at once. Once a quarter of the batch is free, waiting prompts take the places.
    What a row draws depends on its prompt, its number (by default its place among the prompts) and the seed, and on nothing
    else but rounding. Raises TrainingError when the model's logits are not finite.
    """
    longest = max(map(len, prompts), default=0)
    num_columns = longest + max_new_tokens * (1 if len(prompts) <= batch_size else 2)
    batch_size = min(batch_size, len(prompts))
    make = model.decoder if isinstance(model, Sampler) else partial(Decoder, model)
    decoder, ends = make(batch_size, longest, num_columns), end_tokens(network_of(model))
    rows = [Row(number, prompt) for number, prompt in zip(numbers or range(len(prompts)), prompts, strict=True)]
    waiting = deque(sorted(rows, key=lambda row: -len(row.prompt)))  # neighbours of one length need no padding
    uniforms = {}
    while waiting or decoder.rows:
        num_free = batch_size - len(decoder.rows)
        if waiting and 4 * num_free >= batch_size:
            joining = [waiting.popleft() for _ in range(min(num_free, len(waiting)))]
            uniforms |= {row.number: _uniforms(seed, row.number, max_new_tokens) for row in joining}
            logits, drawing = decoder.join(joining), joining
        else:
            logits, drawing = decoder.step(), decoder.rows
        chances = torch.tensor([uniforms[row.number][len(row.tokens)] for row in drawing], dtype=torch.float64)
        logits = logits.float() / temperature
        drawn = _draw(logits, top_p, chances.to(logits.device))
        tokens, logprobs = torch.stack(
            [drawn.double(), _logprobs(logits, drawn).double()]
        ).tolist()  # one copy, not two
        if max(tokens) >= logits.shape[-1]:  # nothing to be found among probabilities that are nan
            raise TrainingError(
                "no token can be drawn: the model's logits are not finite; its weights are damaged, or training went too "
                "fast: try a lower learning_rate, or compute.precision float32"
            )
        for row, token, logprob in zip(drawing, tokens, logprobs, strict=True):
            row.tokens.append(int(token))
            row.logprobs.append(logprob)
        ended = [
            place
            for place, row in enumerate(decoder.rows)
            if row.tokens[-1] in ends or len(row.tokens) == max_new_tokens
        ]
        if ended:
            decoder.leave(ended)
    return rows


def network_of(model: PreTrainedModel | Sampler) -> PreTrainedModel:
    """What is sampled from."""
    return model.network if isinstance(model, Sampler) else model


def _uniforms(seed: int, row: int, num: int) -> list[float]:
    """The row's own random numbers in [0, 1), one per step; the first ones are the same for any `num`."""
    return np.random.default_rng([seed % 2**64, row]).random(num).tolist()


def _draw(logits: Float[Tensor, "B V"], top_p: float, uniforms: Float[Tensor, " B"]) -> Int[Tensor, " B"]:
    """One token per row: where the cumulated probabilities pass the row's uniform number.

    With `top_p` below 1 only from the smallest set that holds that probability (Holtzman 2020).
    """
    probabilities = torch.softmax(logits, dim=-1)
    if top_p < 1:
        descending, order = probabilities.sort(dim=-1, descending=True)
        outside = descending.cumsum(dim=-1) - descending >= top_p
        probabilities = probabilities.masked_fill(outside.scatter(-1, order, outside), 0.0)
    cumulated = probabilities.cumsum(dim=-1, dtype=torch.float64)
    return torch.searchsorted(cumulated, (uniforms * cumulated[:, -1]).unsqueeze(-1), right=True).squeeze(-1)


def _logprobs(logits: Float[Tensor, "B V"], tokens: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Of one token a row; of a token that there is not, any number."""
    there = tokens.clamp(max=logits.shape[-1] - 1).unsqueeze(-1)
    return logits.gather(-1, there).squeeze(-1) - logits.logsumexp(dim=-1)


def sample_completions(
    model: PreTrainedModel | Sampler,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    temperature: float,
    batch_size: int,
    seed: int,
    top_p: float = 1.0,
    numbers: Sequence[int] | None = None,
) -> list[Sample]:
    """One completion per prompt text (repeat a prompt to get several), in the order given; `numbers` as in `sample_tokens`.

    Raises DataError for prompts that leave no room in the context for `max_new_tokens`. When memory runs out, half as many are drawn at a time, and
    what is drawn is the same but for rounding; several ranks do not: the others would not know.
    """
    encoded = [encode_prompt(tokenizer, prompt) for prompt in prompts]
    room = context_length(network_of(model).config) - max_new_tokens
    check_lengths(encoded, prompts, room, f"max_new_tokens={max_new_tokens}")
    how = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p}
    rows = None
    while rows is None:
        try:
            rows = sample_tokens(model, encoded, batch_size=batch_size, seed=seed, numbers=numbers, **how)
        except Exception as error:
            if not is_out_of_memory(error) or num_ranks() > 1 or batch_size == 1:
                raise
            batch_size = max(1, min(batch_size, len(prompts)) // 2)
            reason = (str(error) or type(error).__name__).splitlines()[0]
        if rows is None:
            if isinstance(model, Sampler):
                model.forget_decoder()
            free_what_failed()
            _LOGGER.warning("out of memory while sampling (%s); going on with %d at a time", reason, batch_size)
    ends = end_tokens(network_of(model))
    ended = [row.tokens[-1] in ends for row in rows]
    return [
        Sample(
            row.tokens,
            row.logprobs,
            decode_completion(tokenizer, row.tokens[:-1] if is_ended else row.tokens),
            is_ended,
        )
        for row, is_ended in zip(rows, ended, strict=True)
    ]


def sample_distinct(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    config: GenerationConfig,
    max_new_tokens: int,
    seed: int,
    first: int = 0,
) -> list[list[Sample]]:
    """Up to K different, non-empty completions of each prompt, in the order they were drawn.

    What is empty or a repetition is drawn anew, `num_attempts` times in all; then the prompt goes on with fewer. The prompts
    may be part of a longer list, in which the first of them stands at place `first`: draw i of the prompt at place p has the
    number p K + i, at each attempt with a seed of its own. So the other prompts change nothing but rounding.
    """
    kept: list[dict[str, Sample]] = [{} for _ in prompts]
    for attempt in range(config.num_attempts):
        missing = [(row, draw) for row, own in enumerate(kept) for draw in range(config.num_completions - len(own))]
        if not missing:
            break
        samples = sample_completions(
            model,
            tokenizer,
            [prompts[row] for row, _ in missing],
            max_new_tokens=max_new_tokens,
            temperature=config.temperature or model.generation_config.temperature or 1.0,
            top_p=config.top_p or model.generation_config.top_p or 1.0,
            batch_size=config.batch_size,
            seed=seed + attempt,
            numbers=[(first + row) * config.num_completions + draw for row, draw in missing],
        )
        for (row, _), sample in zip(missing, samples, strict=True):
            if sample.text:
                kept[row].setdefault(sample.text, sample)
    return [list(own.values()) for own in kept]
