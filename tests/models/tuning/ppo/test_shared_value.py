"""A value head on the policy's own body: it values what the policy has read, and learns with it."""

import copy
import re

import pytest
import torch
from pydantic import ValidationError

from models.network.logprobs import token_logprobs
from models.network.packing import PackedBatch
from models.rewards.scorer import Scorer
from models.settings.compute import Compute
from models.settings.training import TuningLoRA
from models.settings.tuning import PPOConfig
from models.tuning.online.optimizer import Critic, OnlineOptimizer
from models.tuning.online.values import ValueHead, evaluate_policy, logprobs_and_values
from models.tuning.ppo.loop import train_ppo
from models.tuning.ppo.tune import start_value_model
from tests.models.ppo_examples import PROMPTS, SAMPLING, config_of, equal, rollout_of, share_of_letters, state_of
from tests.models.tuning.ppo.test_invariants import ROWS, TOLERANCE, assert_equal, assert_something, learned
from tests.models.tuning.ppo.test_resume import check_all_interruptions
from tests.tolerances import close

SEQUENCES = [[1, 40, 41, 42, 43], [1, 50, 51], [1, 40, 41, 60]]


def head_of(policy) -> ValueHead:
    """One that says something."""
    torch.manual_seed(5)
    critic = ValueHead(policy)
    torch.nn.init.normal_(critic.head.weight)
    return critic


def test_values_and_gradients_are_those_of_two_heads_on_one_network(any_policy):
    """By transformers alone: each sequence by itself, its last hidden states, a product with the head."""
    critic, wanted = head_of(any_policy), torch.tensor([0.5, -1.0, 2.0, 1.0, 0.25])
    batch = PackedBatch.of(SEQUENCES)
    places = batch.last([2, 1, 2])
    logprobs, values = logprobs_and_values(any_policy, critic, batch, places, 1.0)
    assert torch.equal(logprobs, token_logprobs(any_policy, batch, places))
    entropy_too = evaluate_policy(any_policy, critic, batch, places, 1.0)
    assert close(entropy_too[0], logprobs, 1e-6) and close(entropy_too[2], values, 1e-6)
    (wanted * values + logprobs).sum().backward()
    found = {name: weight.grad.clone() for name, weight in any_policy.named_parameters() if weight.grad is not None}
    of_head = critic.head.weight.grad.clone()
    any_policy.zero_grad(set_to_none=True)
    critic.zero_grad(set_to_none=True)

    loss, expected = torch.zeros(()), []
    for sequence, count in zip(SEQUENCES, (2, 1, 2), strict=True):
        read = any_policy(input_ids=torch.tensor([sequence]), output_hidden_states=True)
        before = slice(len(sequence) - count - 1, len(sequence) - 1)
        own = read.hidden_states[-1][0, before] @ critic.head.weight[0]
        chosen = torch.log_softmax(read.logits[0, before].float(), -1)
        tokens = torch.tensor(sequence[-count:])
        loss = loss + (wanted[len(expected) : len(expected) + count] * own).sum()
        loss = loss + chosen[torch.arange(count), tokens].sum()
        expected += own.tolist()
    loss.backward()
    assert close(values, torch.tensor(expected), TOLERANCE)
    assert close(of_head, critic.head.weight.grad, 1e-4)
    for name, weight in any_policy.named_parameters():
        if weight.grad is not None:
            assert close(found[name], weight.grad, 1e-4), name


def test_the_size_of_microbatches_changes_no_gradient(policy, other_policy, tokenizer, compute):
    critic = head_of(policy)
    rollout = rollout_of(policy, policy, critic, tokenizer, compute)
    numbers, expected = learned(rollout, ROWS, other_policy, critic, compute)
    assert_something(expected)
    other_numbers, found = learned(rollout, ROWS, other_policy, critic, compute, microbatch_tokens=60)
    assert_equal(found, expected)
    for name, value in numbers.items():
        assert close(other_numbers[name], value, TOLERANCE), name


@pytest.mark.parametrize("lora", [None, TuningLoRA(rank=2)])
def test_a_run_that_is_stopped_anywhere_ends_as_an_unbroken_one(policy, tokenizer, compute, tmp_path, lora):
    def run(checkpoints):
        own = copy.deepcopy(policy)
        critic = ValueHead(own)
        config = config_of(num_updates=3, value_model="shared", lora=lora)
        steps = train_ppo(
            own, critic, tokenizer, Scorer(share_of_letters), PROMPTS, config, SAMPLING, compute, 0, checkpoints
        )
        return steps, [own, critic]

    check_all_interruptions(run, tmp_path, num_steps=3)


def test_policy_and_head_learn(policy, tokenizer, compute):
    settings = {"num_updates": 24, "batch_size": 32, "num_epochs": 3, "learning_rate": 5e-3}
    config = config_of(**settings, value_learning_rate=5e-3, value_model="shared")
    critic = start_value_model(config, policy, tokenizer, Scorer(share_of_letters))
    assert isinstance(critic, ValueHead) and not critic.head.weight.any()
    given = (policy, critic, tokenizer, Scorer(share_of_letters), PROMPTS, config, SAMPLING, compute)
    values = [step.values for step in train_ppo(*given, seed=0)]
    assert values[-1]["objective/scores"] > values[0]["objective/scores"] + 0.5
    assert values[0]["val/explained_variance"] <= 0 < max(one["val/explained_variance"] for one in values[3:])


def test_while_the_head_learns_alone_the_policy_stays(policy):
    critic, before = head_of(policy), state_of(policy)
    of_head = state_of(critic)
    optimizer = OnlineOptimizer(policy, config_of(), Critic(critic, 1e-2, warmup_updates=1))
    for update in (0, 1):
        _, values = logprobs_and_values(policy, critic, PackedBatch.of(SEQUENCES), torch.tensor([2, 3]), 1.0)
        values.sum().backward()
        optimizer.step(update)
        optimizer.end_update()
        assert equal(state_of(policy), before) is (update == 0), "the value's gradient reaches the trunk"
        assert not equal(state_of(critic), of_head)


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"value_start": "reward"}, "value_model shared reads what the policy reads; leave value_start out"),
        ({"lora": TuningLoRA(value_model=False)}, "value_model shared learns through the policy's adapter"),
    ],
)
def test_what_does_not_go_with_it_is_refused(settings, said):
    with pytest.raises(ValidationError, match=re.escape(said)):
        PPOConfig(value_model="shared", **settings)


def test_it_needs_whole_weights():
    sharded = Compute(sharding="fsdp2", num_processes=2)
    PPOConfig().require_fit(sharded, 64)
    with pytest.raises(ValueError, match=r"tuning\.value_model shared needs compute\.sharding none"):
        PPOConfig(value_model="shared").require_fit(sharded, 64)
