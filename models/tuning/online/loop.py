"""The loop of all tuners that learn from the policy's own samples: PPO and those without a critic say what a batch teaches (`Lesson`).

An update:
1. sample completions of the batch's prompts from the policy;
2. score them, and take log-probabilities of policy and (frozen) reference, with a critic values too, all without gradient: a `Rollout`;
3. what it teaches, once: a `Lesson`;
4. for some epochs, in random minibatches: the lesson's gradient, one optimizer step each;
5. move the KL coefficient, keep a checkpoint when one is due, yield the update's numbers.

Where the settings ask for it: in the first updates the critic learns alone; pretraining text adds to the policy's gradient
(PPO-ptx); an update ends when the policy has moved too far; a moving average of the policy's weights is the result.
"""

import copy
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.distributed.collectives import gather_rows, share_of
from models.distributed.fsdp import distribute
from models.errors import ConfigError
from models.generation.sampler import Sampler
from models.generation.sampling import sample_completions
from models.network.architecture import context_length
from models.network.dialogue import encode_prompt
from models.network.lora import add_adapter
from models.network.networks import ValueModel, freeze, layers_of, weight_sharing_copy
from models.network.precision import pick_device, round_frozen
from models.records import StepMetrics
from models.rewards.scorer import Scorer
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.tuning import PolicyGradient
from models.training.checkpoints import Checkpointed, Checkpoints, Trained
from models.training.loop import EpochBatches
from models.training.optimizer import require_finite
from models.training.out_of_memory import MemoryBudget
from models.tuning.online.kl_control import KLBudget, KLControl, moved_too_far
from models.tuning.online.optimizer import Critic, OnlineOptimizer
from models.tuning.online.pretraining_mix import PretrainingMix
from models.tuning.online.rollout import (
    Rollout,
    describe_rollout,
    evaluate_samples,
    require_finite_rollout,
    what_teaches_nothing,
)
from models.tuning.online.start import require_equal_start, require_one_policy, require_ratio_one
from models.tuning.online.upper_layers import learn_in_upper_layers
from models.tuning.online.weight_average import WeightAverage
from models.tuning.progress import Progress

Config = TypeVar("Config", bound=PolicyGradient)


@dataclass(frozen=True)
class Lesson(Generic[Config]):
    """What a rollout teaches."""

    learn: Callable[[list[int], Config], tuple[dict[str, float], float]]
    """Adds the gradient of these rows to whatever learns; gives their numbers, and the largest distance of a probability ratio from 1."""
    numbers: dict[str, float]
    """Those of the whole batch."""


def train_online(
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    scorer: Scorer,
    prompts: Sequence[str],
    config: Config,
    sampling: SamplingConfig,
    compute: Compute,
    seed: int,
    lesson_of: Callable[[Rollout, float], Lesson[Config]],
    *,
    num_samples: int = 1,
    critic: Critic | None = None,
    checkpoints: Checkpoints | None = None,
    ptx_texts: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Iterator[StepMetrics]:
    """Tunes the policy (and the critic) in place; yields one `StepMetrics` per update.

    `lesson_of(rollout, KL coefficient)` says what a batch teaches. A batch has `num_samples` completions of each of its prompts, which stand
    together. The reference is a frozen copy of the policy as it comes in; with `lora` set, the policy's own frozen weights without the
    adapter that is added to it here, and only adapters and the critic's head learn; with `trainable_layers` set, only so many of the policy's
    upper layers. With `kl_budget_nats` set, training ends
    when a batch's completions exceed it, and the policy that is left is the last one whose completions did not. With `policy_ema`
    set, the policy has its averaged weights at the end. `ptx_texts` are the texts that `ptx` asks for. `progress`
    looks at the policy (with `policy_ema` at its average) before some updates and at the end, and may end training and choose the policy that is left. With `checkpoints`, training goes on from the newest one; all else that is handed in must be as it was when the run began.

    Raises TrainingError when the first minibatch shows a ratio other than 1 or a KL other than 0 (something computes
    log-probabilities in two different ways), when a number is not finite, or when half of what did not fit into memory does not
    fit either; ConfigError for `ptx` without texts, texts without `ptx`, or sequences of text longer than the policy reads.
    """
    device = pick_device(compute)
    policy.to(device).eval()  # no dropout: sampling and learning must see one and the same network
    value_model = critic.model.to(device).eval() if critic else None
    if config.trainable_layers is not None:
        learn_in_upper_layers(policy, config.trainable_layers)
    reference = _frozen_start(policy, config, compute)
    if config.lora is not None:
        add_adapter(policy, config.lora, seed, "policy")
    if critic and critic.lora is not None and isinstance(critic.model, ValueModel):
        add_adapter(critic.model.body, critic.lora, seed, "value model")
    learning = [policy] if value_model is None else [policy, value_model]
    for model in (*learning, reference):
        distribute(model, compute)
    sampler, learned = Sampler(policy, compute), Trained(policy)
    optimizer = OnlineOptimizer(policy, config, critic)
    generator = torch.Generator().manual_seed(seed)
    prompt_batches = EpochBatches(len(prompts), config.batch_size // num_samples, generator)
    kl_control, kl_budget = KLControl(config.kl), KLBudget(config.kl_budget_nats)
    average = None if config.policy_ema is None else WeightAverage(policy, config.policy_ema)
    mix = _pretraining_mix(policy, tokenizer, ptx_texts, config, compute, seed)

    def check(progress: Progress, update: int) -> None:
        with average.lent() if average else nullcontext():
            progress.check(update, sampler.follow(), learned)

    def roll_out(update: int) -> Rollout:
        asked = [prompts[number] for number in next(prompt_batches) for _ in range(num_samples)]
        own = share_of(range(len(asked)))
        samples = sample_completions(
            sampler.follow(),
            tokenizer,
            [asked[row] for row in own],
            numbers=own,
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            batch_size=config.batch_size,
            seed=int(torch.randint(2**31, (1,), generator=generator)),
        )
        samples = gather_rows(samples)
        sequences = [
            encode_prompt(tokenizer, prompt) + sample.tokens for prompt, sample in zip(asked, samples, strict=True)
        ]
        num_tokens = sum(map(len, sequences))
        given = (policy, reference, value_model, scorer, asked, samples, sequences)
        rollout = memory.fitting(
            num_tokens, lambda config: evaluate_samples(*given, config, sampling.temperature, compute)
        )
        require_finite_rollout(update, rollout)
        return rollout

    def learn(rollout: Rollout, lesson: Lesson[Config], rows: list[int]) -> tuple[dict[str, float], float]:
        num_tokens = sum(len(rollout.sequences[row]) for row in rows)
        return memory.fitting(num_tokens, lambda config: lesson.learn(rows, config), *learning)

    checkpointed = Checkpointed(
        checkpoints,
        policy=learned,
        value_model=None if value_model is None else Trained(value_model),
        optimizer=optimizer,
        prompts=prompt_batches,
        kl_control=kl_control,
        kl_budget=kl_budget,
        average=average,
        mix=mix,
        progress=progress,
    )
    memory = MemoryBudget(config, checkpointed.logger)
    yield from checkpointed.steps
    for update in range(len(checkpointed.steps), config.num_updates):
        started = time.perf_counter()
        if progress and progress.is_due(update):
            check(progress, update)
            if progress.says_stop():
                break
        rollout = roll_out(update)
        numbers = describe_rollout(rollout, kl_control.coef, config.score_clip, config.kl_in_reward)
        for complaint in what_teaches_nothing(rollout):
            checkpointed.logger.warning("update %d: %s", update, complaint)
        if update == 0:
            require_equal_start(numbers["objective/kl"], compute)
            require_one_policy(numbers["val/sampler_gap"], compute)
        if not kl_budget.keep_within(average or learned, numbers["objective/kl"]):
            break

        lesson = lesson_of(rollout, kl_control.coef)
        policy_learns = critic is None or update >= critic.warmup_updates
        steps, num_steps = [], 0
        for rows in shuffled_minibatches(config, generator):
            step, ratio_error = learn(rollout, lesson, rows)
            if update == 0 and not steps:
                require_ratio_one(ratio_error, step["policy/approxkl_avg"], compute)
            losses = {name: value for name, value in step.items() if name.startswith("loss/")}
            require_finite(update, **{f"{name[5:-4]}_loss": loss for name, loss in losses.items()})
            steps.append(step)
            if moved_too_far(step["policy/approxkl_avg"], config.target_kl):
                optimizer.drop_gradients()
                break
            if mix and policy_learns:
                step["loss/ptx"] = mix.add_gradient(policy)
            optimizer.step(update)
            num_steps += 1
            if average:
                average.update()

        numbers |= _means(steps) | lesson.numbers
        numbers["policy/num_optimizer_steps"] = num_steps
        numbers["lr"] = optimizer.learning_rate
        numbers["episode"] = (update + 1) * config.batch_size
        numbers["update_seconds"] = time.perf_counter() - started
        numbers["tokens_per_second"] = int(rollout.is_completion.sum()) / numbers["update_seconds"]
        optimizer.end_update()
        if policy_learns:
            kl_control.update(numbers["objective/kl"], config.batch_size)
        yield checkpointed.add(StepMetrics(step=update, num_steps=config.num_updates, values=numbers))
    else:
        if config.kl_budget_nats is not None:
            last = describe_rollout(roll_out(config.num_updates), kl_control.coef)
            kl_budget.keep_within(average or learned, last["objective/kl"])
    if progress:
        check(progress, len(checkpointed.steps))
    if average:
        average.hand_over()
    if progress:
        progress.hand_over(learned)


def _frozen_start(policy: PreTrainedModel, config: PolicyGradient, compute: Compute) -> PreTrainedModel:
    """The reference. Weights of the policy that do not learn are its own, too; others are held as `round_frozen` does."""
    if config.lora is not None:
        return freeze(weight_sharing_copy(policy))
    shared = {id(weight): weight for weight in policy.parameters() if not weight.requires_grad}
    reference = freeze(copy.deepcopy(policy, shared))
    num_own = config.trainable_layers
    if compute.sharding == "none":  # FSDP2 brings weights of one precision together
        round_frozen(reference if num_own is None else nn.ModuleList(layers_of(reference)[-num_own:]), compute)
    return reference


def _pretraining_mix(
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str] | None,
    config: PolicyGradient,
    compute: Compute,
    seed: int,
) -> PretrainingMix | None:
    if (config.ptx is None) != (texts is None):
        raise ConfigError("tuning.ptx and the text that it mixes in go together: one is given without the other")
    if config.ptx is None or texts is None:
        return None
    longest = context_length(policy.config)
    if config.ptx.sequence_length > longest:
        raise ConfigError(f"tuning.ptx.sequence_length exceeds the {longest} tokens that the base model reads")
    return PretrainingMix(tokenizer, texts, config.ptx, config.microbatch_tokens, compute, seed)


def _means(steps: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each number over the minibatches that have it."""
    values: dict[str, list[float]] = defaultdict(list)
    for step in steps:
        for name, value in step.items():
            values[name].append(value)
    return {name: sum(of_steps) / len(of_steps) for name, of_steps in values.items()}


def shuffled_minibatches(config: PolicyGradient, generator: torch.Generator) -> Iterator[list[int]]:
    """Row numbers of each minibatch: every epoch all rows of the batch in a new order."""
    size = config.batch_size // config.num_minibatches
    for _ in range(config.num_epochs):
        order = torch.randperm(config.batch_size, generator=generator).tolist()
        for start in range(0, config.batch_size, size):
            yield order[start : start + size]
