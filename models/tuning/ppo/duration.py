"""About how long an update of PPO takes on this machine, from a few hundred tokens that the base itself reads, writes and learns from."""

import time
from collections.abc import Callable, Sequence

import torch
from transformers import PreTrainedModel

from models.generation.decoding import Decoder, Row
from models.generation.sampling import sampling_copy
from models.network.logprobs import token_logprobs
from models.network.lora import add_adapter
from models.network.packing import PackedBatch
from models.network.precision import autocast, pick_device
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.tuning import PPOConfig

NUM_TOKENS, NUM_STEPS, PROMPT_TOKENS = 256, 2, 8


def update_seconds(
    base: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    config: PPOConfig,
    sampling: SamplingConfig,
    compute: Compute,
) -> float:
    """Seconds of an update whose completions are all as long as they may be, in one process. The base gets the adapter of `lora`.

    Of B rollouts with prompts of mean length P and completions of T tokens, N = B (P + T), in E epochs of M minibatches:

        seconds = read (B P + 4 N) + write T + learn (2 E N + E M ptx tokens)

    `read` and `learn` are seconds a token of a forward pass and of one with its backward pass, `write` those of a token for each of the
    B rows. Policy, reference, value model and reward read the rollouts, policy and value model learn; all are taken to be as large as
    the base.
    """
    device = pick_device(compute)
    base.to(device).eval()
    if config.lora is not None:
        add_adapter(base, config.lora, 0, "policy")
    num_new = sampling.max_new_tokens
    num_prompt_tokens = config.batch_size * sum(map(len, prompts)) / len(prompts)
    num_tokens = num_prompt_tokens + config.batch_size * num_new
    num_learned = 2 * config.num_epochs * num_tokens
    if config.ptx:
        num_learned += config.num_epochs * config.num_minibatches * config.ptx.batch_size * config.ptx.sequence_length
    with autocast(compute):
        read, learn = _paces(base, prompts, num_new)
    write = _step_seconds(sampling_copy(base, compute), prompts, config.batch_size)
    return read * (num_prompt_tokens + 4 * num_tokens) + write * num_new + learn * num_learned


def _paces(base: PreTrainedModel, prompts: Sequence[Sequence[int]], num_new: int) -> tuple[float, float]:
    """Seconds a token of a forward pass, and of one with its backward pass."""
    length = min(NUM_TOKENS, len(prompts[0]) + num_new)
    row = (list(prompts[0]) * length)[:length]
    batch = PackedBatch.of([row] * (NUM_TOKENS // length), base.device)
    places = batch.last([max(1, min(num_new, length - 1))] * len(batch.lengths))

    def learn() -> None:
        token_logprobs(base, batch, places).sum().backward()

    with torch.no_grad():
        token_logprobs(base, batch, places)  # what is made once for a shape
        read = _seconds(lambda: token_logprobs(base, batch, places))
    learned = _seconds(learn)
    base.zero_grad(set_to_none=True)
    return read / sum(batch.lengths), learned / sum(batch.lengths)


@torch.no_grad()
def _step_seconds(sampler: PreTrainedModel, prompts: Sequence[Sequence[int]], batch_size: int) -> float:
    """Seconds of a token for each row of a batch."""
    rows = [Row(number, prompts[number % len(prompts)][:PROMPT_TOKENS]) for number in range(batch_size)]
    decoder = Decoder(sampler, batch_size, PROMPT_TOKENS, PROMPT_TOKENS + NUM_STEPS + 2)
    decoder.join(rows)

    def write(num_steps: int) -> None:
        for _ in range(num_steps):
            for row in rows:
                row.tokens.append(row.prompt[0])
            decoder.step()

    write(1)
    return _seconds(lambda: write(NUM_STEPS)) / NUM_STEPS


def _seconds(work: Callable[[], object]) -> float:
    """How long it takes, also where a device works by itself."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - started
