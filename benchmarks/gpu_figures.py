"""What is measured on a GPU (gpu.py), a function for each figure, and the sizes.

Each figure is the median of some repetitions after a warm-up, the GPU being waited for before the clock starts and before it stops.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from benchmarks.own.matrix_rate import square_product
from benchmarks.own.ppo import start_training
from benchmarks.scenario import build_prompts, build_tokenizer, text_of
from models.generation.sampler import Sampler
from models.generation.sampling import Sample, sample_tokens
from models.network.networks import RewardModel, ValueModel
from models.rewards.scorer import Scorer
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.tuning import PPOConfig
from models.tuning.online.loop import shuffled_minibatches
from models.tuning.online.rollout import evaluate_samples
from models.tuning.ppo.minibatch import learn_minibatch, learning_targets


@dataclass(frozen=True)
class Size:
    """How large everything is. `model` are changes to the model of benchmarks/scenario.py."""

    model: dict[str, int]
    batch_sizes: tuple[int, ...]
    prompt_tokens: int
    completion_tokens: tuple[int, ...]
    copied_bytes: int
    matrix_width: int

    @property
    def settings(self) -> Iterator[tuple[int, int]]:
        """Batch size and completion tokens of each setting, the smallest first."""
        return ((batch, length) for batch in self.batch_sizes for length in self.completion_tokens)


DIMENSIONS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
)
FULL = Size(
    model=dict(zip(DIMENSIONS, (32768, 2048, 8192, 16, 32, 8, 1024), strict=True)),
    batch_sizes=(64, 256),
    prompt_tokens=128,
    completion_tokens=(128, 512),
    copied_bytes=2**33,
    matrix_width=16384,
)
TINY = Size(
    model=dict(zip(DIMENSIONS, (64, 32, 64, 2, 4, 2, 64), strict=True)),
    batch_sizes=(4, 8),
    prompt_tokens=8,
    completion_tokens=(16, 32),
    copied_bytes=2**20,
    matrix_width=64,
)


@dataclass(frozen=True)
class Bench:
    """What every figure needs."""

    size: Size
    compute: Compute
    device: torch.device
    repetitions: int
    microbatch_tokens: int

    def seconds(self, work: Callable[[], object]) -> float:
        """The median time of some work, after a warm-up."""
        work()
        return statistics.median(self.timed(work) for _ in range(self.repetitions))

    def timed(self, work: Callable[[], object]) -> float:
        """The time of some work, all that it has asked of the GPU included."""
        self.wait()
        started = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - started

    def wait(self) -> None:
        """Returns when the GPU has nothing left to do."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def prompts(self, num_prompts: int) -> list[list[int]]:
        """Prompts of random tokens."""
        return build_prompts(num_prompts, self.size.prompt_tokens, self.size.model["vocab_size"])

    def config(self, batch_size: int) -> PPOConfig:
        """PPO as `make bench` has it: 4 epochs of 4 minibatches."""
        return PPOConfig(
            num_updates=1 + self.repetitions,
            batch_size=batch_size,
            microbatch_tokens=self.microbatch_tokens,
            num_epochs=4,
            num_minibatches=4,
            learning_rate=1e-7,
            value_learning_rate=1e-7,
        )


def measure_copy(bench: Bench) -> dict[str, float]:
    """Bytes read and written per second by a large copy on the device."""
    source = torch.zeros(bench.size.copied_bytes, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    seconds = bench.seconds(lambda: target.copy_(source))
    return {"seconds": seconds, "bytes_per_second": 2 * len(source) / seconds}


def measure_matrix(bench: Bench) -> dict[str, float]:
    """FLOP/s of a product of two large square bfloat16 matrices: `2 width^3` operations."""
    multiply, num_operations = square_product(bench.size.matrix_width, torch.bfloat16, bench.device)
    seconds = bench.seconds(multiply)
    return {"seconds": seconds, "flops_per_second": num_operations / seconds}


def decode_bytes(policy: PreTrainedModel, batch_size: int, prompt_tokens: int, completion_tokens: int) -> float:
    """Bytes that a step of decoding must read, on average over the T - 1 steps after the prompt P has been read.

    Of the weights all but the input embedding, of which only B rows are read; of keys and values those of the P + t tokens
    that stand there at step t, on average `P + T / 2`. The block of models/generation/decoding.py may read more: what is not in use yet.
    """
    config, weights = policy.config, list(policy.parameters())
    table = policy.get_input_embeddings().weight
    read_weights = sum(weight.numel() for weight in weights) - table.numel()
    bytes_of_key = (
        4 if policy.device.type == "cpu" else table.element_size()
    )  # models/generation/decoding.py keeps float32 on a CPU
    elements_of_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    keys = batch_size * (prompt_tokens + completion_tokens / 2) * elements_of_token
    return read_weights * table.element_size() + keys * bytes_of_key


def num_weights(module: nn.Module) -> int:
    """Of a network or a part of it."""
    return sum(weight.numel() for weight in module.parameters())


def learning_flops(
    policy: PreTrainedModel, value_model: ValueModel, batch_size: int, prompt_tokens: int, completion_tokens: int
) -> int:
    """FLOP of learning from a batch once: `6 weights tokens`, summed over both networks.

    Weights of the body (without the embedding, which multiplies nothing) meet all tokens, those of the head, and of the last layer
    after attention, the completion's alone.
    Neither attention's products of queries and keys count, nor what is computed again (log-probabilities, checkpointed activations).
    """
    tokens, answers = batch_size * (prompt_tokens + completion_tokens), batch_size * completion_tokens
    total = 0
    for body, head in ((policy.base_model, policy.get_output_embeddings()), (value_model.body, value_model.head)):
        last = body.layers[-1]
        of_answers = sum(num_weights(module) for module in (last.self_attn.o_proj, last.mlp, head))
        of_all = num_weights(body) + num_weights(head) - num_weights(body.get_input_embeddings()) - of_answers
        total += of_all * tokens + of_answers * answers
    return 6 * total


def measure_decoding(
    bench: Bench, policy: PreTrainedModel, batch_size: int, completion_tokens: int, bytes_per_second: float
) -> dict[str, float]:
    """Completions that never end, on a decoder that is kept, as in tuning. The time of the prompt (a completion of one token) does not count as that of
    steps."""
    prompts = bench.prompts(batch_size)
    sampler = Sampler(policy, bench.compute)

    def sample(max_new_tokens: int) -> None:
        sample_tokens(
            sampler,
            prompts,
            max_new_tokens=max_new_tokens,
            temperature=1.0,
            top_p=1.0,
            batch_size=batch_size,
            seed=0,
        )

    prompt_seconds = bench.seconds(lambda: sample(1))
    seconds = bench.seconds(lambda: sample(completion_tokens))
    bytes_per_step = decode_bytes(sampler.network, batch_size, bench.size.prompt_tokens, completion_tokens)
    step_seconds = (seconds - prompt_seconds) / (completion_tokens - 1)
    return {
        "seconds": seconds,
        "prompt_seconds": prompt_seconds,
        "step_seconds": step_seconds,
        "tokens_per_second": batch_size * completion_tokens / seconds,
        "bytes_per_step": bytes_per_step,
        "bytes_per_second": bytes_per_step / step_seconds,
        "share_of_copy": bytes_per_step / step_seconds / bytes_per_second,
    }


def measure_learning(
    bench: Bench,
    policy: PreTrainedModel,
    reward_model: RewardModel,
    batch_size: int,
    completion_tokens: int,
    flops_per_second: float,
) -> dict[str, float]:
    """Gradients of all minibatches of one epoch, from completions of random tokens; optimizer steps are not in it."""
    config = bench.config(batch_size).model_copy(update={"num_epochs": 1})
    value_model = ValueModel.from_reward(reward_model)
    prompts = bench.prompts(batch_size)
    answers = build_prompts(batch_size, completion_tokens, bench.size.model["vocab_size"])
    rollout = evaluate_samples(
        policy,
        policy,
        value_model,
        Scorer(lambda prompts, completions: torch.zeros(len(prompts))),
        [text_of(prompt) for prompt in prompts],
        [Sample(answer, [0.0] * len(answer), text_of(answer), ended=False) for answer in answers],
        [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)],
        config,
        1.0,
        bench.compute,
    )
    targets = learning_targets(rollout, kl_coef=0.05, config=config)

    def learn() -> None:
        for rows in shuffled_minibatches(config, torch.Generator().manual_seed(0)):
            learn_minibatch(policy, value_model, rollout, targets, rows, config, 1.0, bench.compute)
            for network in (policy, value_model):
                network.zero_grad(set_to_none=True)

    seconds = bench.seconds(learn)
    flops = learning_flops(policy, value_model, batch_size, bench.size.prompt_tokens, completion_tokens)
    return {
        "seconds": seconds,
        "flops": flops,
        "flops_per_second": flops / seconds,
        "share_of_matrix": flops / seconds / flops_per_second,
    }


def measure_update(
    bench: Bench, policy: PreTrainedModel, reward_model: RewardModel, batch_size: int, completion_tokens: int
) -> dict[str, float]:
    """One whole update of `train_ppo`; the first one is the warm-up."""
    steps = start_training(
        policy,
        reward_model,
        build_tokenizer(bench.size.model["vocab_size"]),
        [text_of(prompt) for prompt in bench.prompts(batch_size)],
        bench.config(batch_size),
        SamplingConfig(max_new_tokens=completion_tokens),
        bench.compute,
    )
    seconds = bench.seconds(lambda: next(steps))
    return {"seconds": seconds, "episodes_per_second": batch_size / seconds}
