"""Causal language modelling: domain pretraining on raw text and supervised fine-tuning on demonstrations, one loop for both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.conversation import transcript
from models.distributed.collectives import share_of
from models.distributed.fsdp import distribute, in_step
from models.errors import DataError
from models.network.activation_checkpointing import recomputed_activations
from models.network.dialogue import encode_completion, encode_document, encode_prompt
from models.network.logprobs import token_logprobs
from models.network.lora import learning_through_adapter
from models.network.packing import PackedBatch, cut_by_tokens
from models.network.precision import autocast, pick_device
from models.records import StepMetrics
from models.settings.compute import Compute
from models.settings.training import Training
from models.shapes import Float
from models.training.checkpoints import Checkpoints
from models.training.loop import descend


@dataclass(frozen=True)
class LearnedSequence:
    """Token ids, and from which place on they are to be learned (the tokens before only condition)."""

    tokens: list[int]
    learn_from: int

    @property
    def num_learned(self) -> int:
        """How many tokens are to be learned."""
        return len(self.tokens) - self.learn_from


def pack_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], length: int) -> list[LearnedSequence]:
    """Texts joined by end-of-sequence tokens and cut into sequences of `length` tokens; a rest shorter than that is dropped.

    Raises DataError when there is not even one.
    """
    stream = [token for text in texts for token in encode_document(tokenizer, text)]
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
                f"a demonstration has {len(tokens)} tokens, the model reads {context_length}: {transcript(prompt)[:80]!r}"
            )
        sequences.append(LearnedSequence(tokens, learn_from=len(prompt_tokens)))
    return sequences


def language_loss(model: PreTrainedModel, sequences: Sequence[LearnedSequence]) -> Float[Tensor, ""]:
    """Cross entropy (nats) of the learned tokens, each given the tokens before it, summed."""
    batch = PackedBatch.of([sequence.tokens for sequence in sequences], model.device)
    return -token_logprobs(model, batch, batch.last([sequence.num_learned for sequence in sequences])).sum()


def train_language(
    model: PreTrainedModel,
    sequences: Sequence[LearnedSequence],
    config: Training,
    compute: Compute,
    seed: int,
    checkpoints: Checkpoints | None = None,
) -> Iterator[StepMetrics]:
    """Trains the model in place and yields each step's `loss` (nats per learned token).

    With `lora` through an adapter that is merged into it at the end. With `checkpoints`, training goes on from the newest one.
    """

    def accumulate(numbers: list[int], config: Training) -> dict[str, float]:
        rows = [sequences[number] for number in numbers]
        return {"loss": add_gradient(model, rows, config.microbatch_tokens, compute)}

    model.to(pick_device(compute)).train()
    lengths = [len(sequence.tokens) for sequence in sequences]
    with learning_through_adapter(model, config.lora, seed, "model"):
        distribute(model, compute)
        yield from descend(model, lengths, accumulate, config, seed, checkpoints)
    model.eval()


def add_gradient(
    model: PreTrainedModel,
    sequences: Sequence[LearnedSequence],
    microbatch_tokens: int,
    compute: Compute,
    weight: float = 1.0,
) -> float:
    """The mean loss over all learned tokens of a batch (nats), after adding the gradient of `weight` times it to the model.

    Of several ranks each adds, and gives back, its share: the sum is meant. How the batch is cut changes nothing.
    """
    num_learned = sum(sequence.num_learned for sequence in sequences)
    loss = 0.0
    own = share_of(sequences)
    cuts = list(cut_by_tokens([len(sequence.tokens) for sequence in own], microbatch_tokens))
    for part, counts in in_step(model, cuts):
        with autocast(compute), recomputed_activations(compute, model):
            part_loss = language_loss(model, own[part]) / num_learned * counts
        (weight * part_loss).backward()
        loss += part_loss.item()
    return loss
