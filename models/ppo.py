"""PPO on `score - beta * KL`, as in Ziegler et al. 2019, Stiennon et al. 2020 and Ouyang et al. 2022.

An update:
1. sample a completion for each prompt of the batch from the policy;
2. score it, and take log-probabilities of policy and (frozen) reference and values, all without gradient: a `Rollout`;
3. shaped rewards, advantages and returns, once (`Lessons`);
4. for some epochs, in random minibatches: clipped policy loss and clipped value loss, one optimizer step each;
5. move the KL coefficient, keep a checkpoint when one is due, yield the update's numbers.
"""

import copy
import time
from collections.abc import Iterator, Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.checkpoints import Checkpoints, Progress, Trained
from models.config import Compute, PPOConfig
from models.errors import ConfigError, TrainingError
from models.learning import learn_from, learn_minibatch, shuffled_minibatches
from models.leash import Budget, Leash
from models.lora import add_adapter
from models.losses import masked_mean
from models.networks import ValueModel, freeze, weight_sharing_copy
from models.optimization import EpochBatches, autocast, clip_gradients, pick_device, require_finite
from models.records import StepMetrics
from models.returns import explained_variance
from models.rollouts import Rollout, Scorer, describe_rollout, evaluate_samples
from models.sampling import sample_completions


def train_ppo(
    policy: PreTrainedModel,
    value_model: ValueModel,
    tokenizer: PreTrainedTokenizerBase,
    scorer: Scorer,
    prompts: Sequence[str],
    config: PPOConfig,
    compute: Compute,
    seed: int,
    checkpoints: Checkpoints | None = None,
) -> Iterator[StepMetrics]:
    """Tunes the policy (and the value model) in place; yields one `StepMetrics` per update.

    The reference is a frozen copy of the policy as it comes in; with `lora` set, the policy's own frozen weights without the
    adapter that is added to it here, and only adapters and the value model's head learn. With `kl_budget_nats` set, training ends when a batch's
    completions exceed it, and the policy that is left is the last one whose completions did not. With `checkpoints`, training
    goes on from the newest one; all else that is handed in must be as it was when the run began.

    Raises TrainingError when the first minibatch shows a ratio other than 1 or a KL other than 0 (something computes
    log-probabilities in two different ways), or when a number is not finite.
    """
    device = pick_device(compute)
    policy.to(device).eval()  # no dropout: sampling and learning must see one and the same network
    value_model.to(device).eval()
    reference = freeze(copy.deepcopy(policy) if config.lora is None else weight_sharing_copy(policy))
    if config.lora is not None:
        add_adapter(policy, config.lora, seed, "policy")
        if config.lora.value_model:
            add_adapter(value_model.body, config.lora, seed, "value model")
    learned, learned_values = Trained(policy), Trained(value_model)
    optimizer = torch.optim.AdamW(
        [
            {"params": learned.weights(), "lr": config.learning_rate},
            {"params": learned_values.weights(), "lr": config.value_learning_rate},
        ],
        eps=1e-5,
        weight_decay=0.0,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: 1 - 0.9 * update / config.num_updates)
    generator = torch.Generator().manual_seed(seed)
    prompt_batches = EpochBatches(len(prompts), config.batch_size, generator)
    leash, budget = Leash(config.kl), Budget(config.kl_budget_nats)

    def roll_out() -> Rollout:
        asked = [prompts[number] for number in next(prompt_batches)]
        samples = sample_completions(
            policy,
            tokenizer,
            asked,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            batch_size=config.batch_size,
            seed=int(torch.randint(2**31, (1,), generator=generator)),
        )
        return evaluate_samples(policy, reference, value_model, tokenizer, scorer, asked, samples, config, compute)

    progress = Progress(
        checkpoints,
        policy=learned,
        value_model=learned_values,
        optimizer=optimizer,
        schedule=schedule,
        prompts=prompt_batches,
        leash=leash,
        budget=budget,
    )
    yield from progress.steps
    for update in range(len(progress.steps), config.num_updates):
        started = time.perf_counter()
        rollout = roll_out()
        numbers = describe_rollout(rollout, leash.coef)
        _require_finite_scores(update, rollout)
        if update == 0:
            _require_equal_start(numbers["objective/kl"], compute)
        if not budget.keep_within(learned, numbers["objective/kl"]):
            return

        lessons = learn_from(rollout, leash.coef, config)
        steps = []
        for rows in shuffled_minibatches(config, generator):
            step, ratio_error = learn_minibatch(policy, value_model, rollout, lessons, rows, config, compute)
            if update == 0 and not steps:
                _require_ratio_one(ratio_error, compute)
            norms = [clip_gradients(model.parameters(), config.max_grad_norm) for model in (policy, value_model)]
            require_finite(update, policy_gradient=norms[0], value_gradient=norms[1])
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            steps.append(step)

        mask = rollout.is_completion
        numbers |= {name: sum(step[name] for step in steps) / len(steps) for name in steps[0]}
        numbers["val/explained_variance"] = explained_variance(rollout.values, lessons.returns, mask).item()
        numbers["val/mean_return"] = masked_mean(lessons.returns, mask).item()
        numbers["lr"] = schedule.get_last_lr()[0]
        numbers["episode"] = (update + 1) * config.batch_size
        numbers["tokens_per_second"] = int(mask.sum()) / (time.perf_counter() - started)
        schedule.step()
        leash.update(numbers["objective/kl"], config.batch_size)
        yield progress.add(StepMetrics(step=update, num_steps=config.num_updates, values=numbers))

    if config.kl_budget_nats is not None:
        budget.keep_within(learned, describe_rollout(roll_out(), leash.coef)["objective/kl"])


def _tolerance(compute: Compute) -> float:
    """How far two forward passes over differently composed batches may differ, by rounding alone, in log-probability."""
    with autocast(compute):
        return 0.1 if torch.is_autocast_enabled(pick_device(compute).type) else 1e-3


def _require_finite_scores(update: int, rollout: Rollout) -> None:
    if not torch.isfinite(rollout.scores).all():
        raise TrainingError(
            f"update {update}: the reward model gives a score that is not finite; train it again with a lower "
            "reward.learning_rate, or compute.precision float32"
        )


def _require_equal_start(kl_nats: float, compute: Compute) -> None:
    """Policy and reference are the same network before the first update: any KL between them is a defect."""
    if not abs(kl_nats) <= _tolerance(compute):
        raise TrainingError(
            f"KL before the first update is {kl_nats:.4g} nats instead of 0: the reference is not the policy"
        )


def _require_ratio_one(ratio_error: float, compute: Compute) -> None:
    """Before the first optimizer step, learning must see the very probabilities that were sampled from."""
    tolerance = _tolerance(compute)
    if not ratio_error <= tolerance:
        raise TrainingError(
            f"a probability ratio of the first minibatch is off 1 by {ratio_error:.4g} (allowed: {tolerance}): "
            "sampling and learning compute log-probabilities differently (dropout, temperature, padding or positions)"
        )


def require_same_tokens(policy: PreTrainedTokenizerBase, reward: PreTrainedTokenizerBase) -> None:
    """Raises ConfigError when a value model that starts from the reward model could not read the policy's tokens."""
    if policy.get_vocab() != reward.get_vocab():
        raise ConfigError(
            "ppo.value_start is reward, but policy and reward model have different tokenizers; set it to policy"
        )
