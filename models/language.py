"""Causal language modelling: domain pretraining on raw text and supervised fine-tuning on demonstrations, one loop for both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.checkpoints import Checkpoints
from models.config import Compute, Training
from models.errors import DataError
from models.optimization import autocast, descend, pick_device
from models.records import StepMetrics
from models.shapes import Bool, Float
from models.tokens import TokenBatch, encode_completion, encode_prompt, pad, positions


@dataclass(frozen=True)
class LearnedSequence:
    """Token ids, and from which place on they are to be learned (the tokens before only condition)."""

    tokens: list[int]
    learn_from: int


def pack_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], length: int) -> list[LearnedSequence]:
    """Texts joined by end-of-sequence tokens and cut into sequences of `length` tokens; a rest shorter than that is dropped.

    Raises DataError when there is not even one.
    """
    stream = [token for text in texts for token in encode_completion(tokenizer, text, ended=True)]
    sequences = [
        LearnedSequence(stream[start : start + length], learn_from=1)
        for start in range(0, len(stream) - length + 1, length)
    ]
    if not sequences:
        raise DataError(f"the pretraining text has {len(stream)} tokens, fewer than one sequence of {length}")
    return sequences


def encode_demonstrations(
    tokenizer: PreTrainedTokenizerBase, demonstrations: Sequence[tuple[str, str]], context_length: int
) -> list[LearnedSequence]:
    """Prompt and completion of each demonstration, the loss on the completion and its end token alone.

    Raises DataError for demonstrations longer than the context.
    """
    sequences = []
    for prompt, completion in demonstrations:
        prompt_tokens = encode_prompt(tokenizer, prompt)
        tokens = prompt_tokens + encode_completion(tokenizer, completion, ended=True)
        if len(tokens) > context_length:
            raise DataError(
                f"a demonstration has {len(tokens)} tokens, the model reads {context_length}: {prompt[:80]!r}"
            )
        sequences.append(LearnedSequence(tokens, learn_from=len(prompt_tokens)))
    return sequences


def token_losses(
    model: PreTrainedModel, batch: TokenBatch, is_learned: Bool[Tensor, "B S"]
) -> Float[Tensor, " tokens"]:
    """Cross entropy (nats) of every token where `is_learned` is True, given the tokens before it."""
    logits = model(
        input_ids=batch.input_ids,
        attention_mask=batch.is_token.long(),
        position_ids=positions(batch.is_token),
        use_cache=False,
    ).logits[:, :-1]
    targets = is_learned[:, 1:]
    return F.cross_entropy(logits[targets].float(), batch.input_ids[:, 1:][targets], reduction="none")


def train_language(
    model: PreTrainedModel,
    sequences: Sequence[LearnedSequence],
    pad_id: int,
    config: Training,
    compute: Compute,
    seed: int,
    checkpoints: Checkpoints | None = None,
) -> Iterator[StepMetrics]:
    """Trains the model in place and yields each step's `loss` (nats per learned token).

    A step's gradient is the mean over all learned tokens of its batch, whatever the microbatch size.
    With `checkpoints`, training goes on from the newest one.
    """
    device = pick_device(compute)

    def accumulate(numbers: list[int]) -> dict[str, float]:
        rows = [sequences[number] for number in numbers]
        num_learned = sum(len(row.tokens) - row.learn_from for row in rows)
        loss = 0.0
        for start in range(0, len(rows), config.microbatch_size):
            batch, is_learned = _collate(rows[start : start + config.microbatch_size], pad_id)
            with autocast(compute):
                part = token_losses(model, batch.to(device), is_learned.to(device)).sum() / num_learned
            part.backward()
            loss += part.item()
        return {"loss": loss}

    model.to(device).train()
    yield from descend(model, len(sequences), accumulate, config, seed, checkpoints)
    model.eval()


def _collate(rows: Sequence[LearnedSequence], pad_id: int) -> tuple[TokenBatch, Bool[Tensor, "B S"]]:
    batch = pad([row.tokens for row in rows], pad_id, side="right")
    places = torch.arange(batch.input_ids.shape[1])
    learn_from = torch.tensor([row.learn_from for row in rows])
    return batch, batch.is_token & (places >= learn_from[:, None])
