"""What an update takes on this machine, from a few hundred tokens that the base itself reads, writes and learns from."""

import time
from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from transformers import PreTrainedModel

from models.generation.decoding import Decoder, Row
from models.generation.sampler import sampling_copy
from models.network.activation_checkpointing import recomputed_activations
from models.network.logprobs import token_logprobs
from models.network.lora import add_adapter
from models.network.packing import PackedBatch, states_below
from models.network.precision import autocast, pick_device
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.tuning import PolicyGradient, PPOConfig
from models.tuning.online.upper_layers import learn_in_upper_layers, num_layers_below
from models.tuning.tuner import UpdateCost

NUM_TOKENS, NUM_STEPS, PROMPT_TOKENS = 256, 2, 8


def update_cost(
    base: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    config: PolicyGradient,
    sampling: SamplingConfig,
    compute: Compute,
) -> UpdateCost:
    """Of an update whose completions are all as long as they may be, in one process. The base gets the adapter of `lora`, or what
    `trainable_layers` leaves to learn of it.

    Of B rollouts with prompts of mean length P and completions of T tokens, N = B (P + T), in E epochs of M minibatches:

        seconds = read (B P + (L + 2) N) + write T + learn E (L N + M ptx tokens)

    `read` and `learn` are seconds a token of a forward pass and of one with its backward pass, `write` those of a token for each of the
    B rows. L networks learn: the policy and, in PPO, a value model of its own, all of whose weights do. These, reference and reward read the rollouts; all
    are taken to be as large as the base. `bytes` is, in bfloat16, that of the copy that is sampled from, and the larger (on a GPU the sum) of keys and values and of
    what those that learn keep for their backward passes: for as many tokens as there are at once, and of weights what they are rounded to.
    """
    device = pick_device(compute)
    base.to(device).eval()
    has_critic = isinstance(config, PPOConfig) and config.value_model == "own"
    num_new = sampling.max_new_tokens
    num_prompt_tokens = config.batch_size * sum(map(len, prompts)) / len(prompts)
    num_tokens = num_prompt_tokens + config.batch_size * num_new
    num_ptx = config.num_minibatches * config.ptx.batch_size * config.ptx.sequence_length if config.ptx else 0

    def measured(num_below: int) -> _OfTokens:
        with autocast(compute), recomputed_activations(compute, base):
            return _of_tokens(base, prompts, num_new, num_below)

    critic = measured(0) if has_critic and config.trainable_layers is not None else None
    if config.lora is not None:
        add_adapter(base, config.lora, 0, "policy")
    if config.trainable_layers is not None:
        learn_in_upper_layers(base, config.trainable_layers)
    policy = measured(num_layers_below(base, config.trainable_layers))
    learning = [policy, critic or policy] if has_critic else [policy]
    sampler = sampling_copy(base, compute)
    write, cached, is_kept = _of_a_step(sampler, prompts, config.batch_size)
    copied = 0 if sampler is base else sum(weight.nbytes for weight in sampler.parameters())
    num_at_once = min(config.microbatch_tokens, num_tokens / config.num_minibatches)
    learned = sum(network.kept * num_at_once + network.rounded for network in learning) + policy.below * num_tokens
    # one that is kept has room for a check of more prompts than rows, which join later
    sampled = cached * (max(map(len, prompts)) + (2 if is_kept else 1) * num_new)
    return UpdateCost(
        seconds=policy.read * (num_prompt_tokens + (len(learning) + 2) * num_tokens)
        + write * num_new
        + config.num_epochs * (sum(network.learn for network in learning) * num_tokens + policy.learn * num_ptx),
        bytes=copied + (learned + sampled if is_kept else max(learned, sampled)),
    )


class _OfTokens(NamedTuple):
    """Of a token: seconds of a forward pass and of one with its backward pass, the bytes that it keeps for that and those of what frozen layers
    made of it; and the bytes of weights that are rounded for a pass."""

    read: float
    learn: float
    kept: float
    below: float
    rounded: int


def _of_tokens(base: PreTrainedModel, prompts: Sequence[Sequence[int]], num_new: int, num_below: int) -> _OfTokens:
    """Of a few sequences; `num_below`: of how many frozen layers it is kept what they make of them."""
    prompt = sorted(prompts, key=len)[len(prompts) // 2]
    length = min(NUM_TOKENS, len(prompt) + num_new)
    row = (list(prompt) * length)[:length]
    # none begins as the one before it: what does is read once
    batch = PackedBatch.of(
        [row[number % length :] + row[: number % length] for number in range(NUM_TOKENS // length)], base.device
    )
    places = batch.last([max(1, min(num_new, length - 1))] * len(batch.places))
    own = {weight.untyped_storage().data_ptr() for weight in base.parameters()}
    shapes = {weight.shape for weight in base.parameters()}
    kept: dict[int, int] = {}
    rounded: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            of_weights = {tensor.shape, tensor.shape[::-1]} & shapes
            (rounded if of_weights else kept)[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.no_grad():
        token_logprobs(base, batch, places)  # what is made once for a shape
        read = _seconds(lambda: token_logprobs(base, batch, places))
    below = states_below(base.base_model, batch, num_below) if num_below else None
    learn = _seconds(lambda: token_logprobs(base, batch, places, 1.0, below).sum().backward())
    base.zero_grad(set_to_none=True)
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        logprobs = token_logprobs(base, batch, places, 1.0, below)
    del logprobs
    num_tokens = len(set(chain.from_iterable(batch.places)))
    states = 0 if below is None else below.hidden.nbytes
    of_a_token = (number / num_tokens for number in (read, learn, sum(kept.values()), states))
    return _OfTokens(*of_a_token, sum(rounded.values()))


@torch.no_grad()
def _of_a_step(
    sampler: PreTrainedModel, prompts: Sequence[Sequence[int]], batch_size: int
) -> tuple[float, float, bool]:
    """Seconds of a token for each row of a batch, the bytes of its keys and values, and whether these stay while the policy learns (`Sampler`)."""
    rows = [Row(number, prompts[number % len(prompts)][:PROMPT_TOKENS]) for number in range(batch_size)]
    num_columns = PROMPT_TOKENS + NUM_STEPS + 2
    decoder = Decoder(sampler, batch_size, PROMPT_TOKENS, num_columns)
    decoder.join(rows)

    def write(num_steps: int) -> None:
        for _ in range(num_steps):
            for row in rows:
                row.tokens.append(row.prompt[0])
            decoder.step()

    write(1)
    return _seconds(lambda: write(NUM_STEPS)) / NUM_STEPS, decoder.num_bytes / num_columns, decoder.has_fixed_steps


def _seconds(work: Callable[[], object]) -> float:
    """How long it takes, also where a device works by itself."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - started
