"""PPO on `score - beta * KL`, as in Ziegler et al. 2019, Stiennon et al. 2020 and Ouyang et al. 2022.

An update:
1. sample a completion for each prompt of the batch from the policy;
2. score it, and take log-probabilities of policy and (frozen) reference and values, all without gradient: a `Rollout`;
3. shaped rewards, advantages and returns, once (`Targets`);
4. for some epochs, in random minibatches: clipped policy loss and clipped value loss, one optimizer step each;
5. move the KL coefficient, keep a checkpoint when one is due, yield the update's numbers.

Where the settings ask for it: in the first updates the value model learns alone; pretraining text adds to the policy's gradient
(PPO-ptx); an update ends when the policy has moved too far; a moving average of the policy's weights is the result.
"""

import copy
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.distributed.collectives import gather_rows, share_of
from models.distributed.fsdp import distribute, whole
from models.errors import ConfigError, TrainingError
from models.generation.sampling import sample_completions, sampling_copy
from models.network.architecture import context_length
from models.network.dialogue import encode_prompt
from models.network.lora import add_adapter
from models.network.networks import ValueModel, freeze, weight_sharing_copy
from models.network.precision import autocast, pick_device, round_frozen
from models.records import StepMetrics
from models.rewards.scorer import Scorer
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.tuning import PPOConfig
from models.training.checkpoints import Checkpointed, Checkpoints, Trained
from models.training.loop import EpochBatches
from models.training.optimizer import require_finite
from models.training.out_of_memory import MemoryBudget
from models.tuning.ppo.advantages import explained_variance
from models.tuning.ppo.kl_control import KLBudget, KLControl, moved_too_far
from models.tuning.ppo.losses import masked_mean
from models.tuning.ppo.minibatch import Targets, learn_minibatch, learning_targets, shuffled_minibatches
from models.tuning.ppo.optimizer import PPOOptimizer
from models.tuning.ppo.pretraining_mix import PretrainingMix
from models.tuning.ppo.rollout import (
    Rollout,
    describe_rollout,
    evaluate_samples,
    require_finite_rollout,
    what_teaches_nothing,
)
from models.tuning.ppo.weight_average import WeightAverage
from models.tuning.progress import Progress


def train_ppo(
    policy: PreTrainedModel,
    value_model: ValueModel,
    tokenizer: PreTrainedTokenizerBase,
    scorer: Scorer,
    prompts: Sequence[str],
    config: PPOConfig,
    sampling: SamplingConfig,
    compute: Compute,
    seed: int,
    checkpoints: Checkpoints | None = None,
    ptx_texts: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Iterator[StepMetrics]:
    """Tunes the policy (and the value model) in place; yields one `StepMetrics` per update.

    The reference is a frozen copy of the policy as it comes in; with `lora` set, the policy's own frozen weights without the
    adapter that is added to it here, and only adapters and the value model's head learn. With `kl_budget_nats` set, training ends
    when a batch's completions exceed it, and the policy that is left is the last one whose completions did not. With `policy_ema`
    set, the policy has its averaged weights at the end. `ptx_texts` are the texts that `ptx` asks for. `progress`
    looks at the policy (with `policy_ema` at its average) before some updates and at the end, and may end training and choose the policy that is left. With `checkpoints`, training goes on from the newest one; all else that is handed in must be as it was when the run began.

    Raises TrainingError when the first minibatch shows a ratio other than 1 or a KL other than 0 (something computes
    log-probabilities in two different ways), when a number is not finite, or when half of what did not fit into memory does not
    fit either; ConfigError for `ptx` without texts, texts without `ptx`, or sequences of text longer than the policy reads.
    """
    device = pick_device(compute)
    policy.to(device).eval()  # no dropout: sampling and learning must see one and the same network
    value_model.to(device).eval()
    reference = freeze(copy.deepcopy(policy) if config.lora is None else weight_sharing_copy(policy))
    if config.lora is not None:
        add_adapter(policy, config.lora, seed, "policy")
        if config.lora.value_model:
            add_adapter(value_model.body, config.lora, seed, "value model")
    if config.lora is None and compute.sharding == "none":  # FSDP2 brings weights of one precision together
        round_frozen(reference, compute)
    for model in (policy, value_model, reference):
        distribute(model, compute)
    learned, learned_values = Trained(policy), Trained(value_model)
    optimizer = PPOOptimizer(policy, value_model, config)
    generator = torch.Generator().manual_seed(seed)
    prompt_batches = EpochBatches(len(prompts), config.batch_size, generator)
    kl_control, kl_budget = KLControl(config.kl), KLBudget(config.kl_budget_nats)
    average = None if config.policy_ema is None else WeightAverage(policy, config.policy_ema)
    mix = _pretraining_mix(policy, tokenizer, ptx_texts, config, compute, seed)

    def check(progress: Progress, update: int) -> None:
        with average.lent() if average else nullcontext():
            progress.check(update, sampling_copy(whole(policy), compute), learned)

    def roll_out(update: int) -> Rollout:
        asked = [prompts[number] for number in next(prompt_batches)]
        own = share_of(range(len(asked)))
        sampler = sampling_copy(whole(policy), compute)
        samples = sample_completions(
            sampler,
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

    def learn(rollout: Rollout, targets: Targets, rows: list[int]) -> tuple[dict[str, float], float]:
        num_tokens = sum(len(rollout.sequences[row]) for row in rows)
        given = (policy, value_model, rollout, targets, rows)
        temperature = sampling.temperature
        return memory.fitting(
            num_tokens, lambda config: learn_minibatch(*given, config, temperature, compute), policy, value_model
        )

    checkpointed = Checkpointed(
        checkpoints,
        policy=learned,
        value_model=learned_values,
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
        numbers = describe_rollout(rollout, kl_control.coef, config.score_clip)
        for complaint in what_teaches_nothing(rollout):
            checkpointed.logger.warning("update %d: %s", update, complaint)
        if update == 0:
            _require_equal_start(numbers["objective/kl"], compute)
            _require_one_policy(numbers["val/sampler_gap"], compute)
        if not kl_budget.keep_within(average or learned, numbers["objective/kl"]):
            break

        targets = learning_targets(rollout, kl_control.coef, config)
        policy_learns = update >= config.value_warmup_updates
        steps, num_steps = [], 0
        for rows in shuffled_minibatches(config, generator):
            step, ratio_error = learn(rollout, targets, rows)
            if update == 0 and not steps:
                _require_ratio_one(ratio_error, compute)
            require_finite(update, policy_loss=step["loss/policy_avg"], value_loss=step["loss/value_avg"])
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

        numbers |= _means(steps) | _describe_returns(rollout, targets)
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


def _pretraining_mix(
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str] | None,
    config: PPOConfig,
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


def _describe_returns(rollout: Rollout, targets: Targets) -> dict[str, float]:
    mask = rollout.is_completion
    return {
        "val/explained_variance": explained_variance(rollout.values, targets.returns, mask).item(),
        "val/mean_return": masked_mean(targets.returns, mask).item(),
    }


def _tolerance(compute: Compute) -> float:
    """How far two forward passes over differently composed batches may differ, by rounding alone, in log-probability."""
    with autocast(compute):
        return 0.1 if torch.is_autocast_enabled(pick_device(compute).type) else 1e-3


def _require_equal_start(kl_nats: float, compute: Compute) -> None:
    """Policy and reference are the same network before the first update: any KL between them is a defect."""
    if not abs(kl_nats) <= _tolerance(compute):
        raise TrainingError(
            f"KL before the first update is {kl_nats:.4g} nats instead of 0: the reference is not the policy"
        )


def _require_one_policy(gap_nats: float, compute: Compute) -> None:
    """The network that samples is the one that learns, but for rounding."""
    tolerance = _tolerance(compute)
    if not gap_nats <= tolerance:
        raise TrainingError(
            f"the sampler drew with log-probabilities that are {gap_nats:.4g} nats off those that are learned from (allowed: "
            f"{tolerance}): the network samples otherwise than it learns; try compute.precision float32, or another base"
        )


def _require_ratio_one(ratio_error: float, compute: Compute) -> None:
    """Before the first optimizer step, learning must see the very probabilities that were sampled from."""
    tolerance = _tolerance(compute)
    if not ratio_error <= tolerance:
        raise TrainingError(
            f"a probability ratio of the first minibatch is off 1 by {ratio_error:.4g} (allowed: {tolerance}): "
            "sampling and learning compute log-probabilities differently (dropout, temperature, padding or positions)"
        )
