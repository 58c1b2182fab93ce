"""Learning in the upper layers alone is learning with all else frozen, and what the frozen layers make of a rollout is computed once."""

import copy
import re

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from benchmarks.architectures.checkpoints import tiny_network
from models.errors import ConfigError
from models.footprint import NetworkSize
from models.network.networks import ValueModel, layers_of
from models.rewards.scorer import Scorer
from models.settings.compute import Compute
from models.settings.sources import TextFile
from models.settings.training import TuningLoRA
from models.settings.tuning import PPOConfig, PTXConfig
from models.tuning.online import loop
from models.tuning.online.upper_layers import learn_in_upper_layers, num_layers_below
from models.tuning.online.values import ValueHead
from models.tuning.ppo.loop import train_ppo
from tests.models.conftest import CORPUS
from tests.models.ppo_examples import PROMPTS, SAMPLING, config_of, rollout_of, share_of_letters, state_of
from tests.models.tuning.critic_free.examples import run as run_without_critic
from tests.models.tuning.ppo.test_invariants import ROWS, assert_equal, assert_something, learned
from tests.models.tuning.ppo.test_resume import check_all_interruptions
from tests.tolerances import close

UPPER = r"\.(layers|h)\.1\."  # of two layers


def is_upper(name: str) -> bool:
    return re.search(UPPER, name) is not None


def tuned(kind: str, policy, tokenizer, compute, **changes) -> dict[str, torch.Tensor]:
    """The weights after two updates."""
    own = copy.deepcopy(policy)
    if kind in ("own", "shared"):
        critic = ValueModel.from_policy(own) if kind == "own" else ValueHead(own)
        given = (own, critic, tokenizer, Scorer(share_of_letters), PROMPTS, config_of(value_model=kind, **changes))
        list(train_ppo(*given, SAMPLING, compute, 0))
    else:
        list(run_without_critic(kind, own, tokenizer, compute, **changes))
    return state_of(own)


@pytest.mark.parametrize("kind", ["own", "shared", "rloo", "grpo"])
def test_it_ends_as_with_all_else_frozen_by_hand(kind, any_policy, tokenizer, compute):
    found = tuned(kind, any_policy, tokenizer, compute, trainable_layers=1)
    for name, weight in any_policy.named_parameters():
        weight.requires_grad_(is_upper(name))
    before = state_of(any_policy)
    expected = tuned(kind, any_policy, tokenizer, compute)
    for name, weight in found.items():
        assert close(weight, expected[name], 1e-5), name
        assert torch.equal(weight, before[name]) is not is_upper(name), name


def test_with_as_many_layers_as_there_are_all_of_them_learn(policy, tokenizer, compute):
    before, found = state_of(policy), tuned("shared", policy, tokenizer, compute, trainable_layers=2)
    assert {name for name in found if not torch.equal(found[name], before[name])} == {
        name for name in found if ".layers." in name
    }


def test_the_frozen_layers_are_passed_through_once(policy, other_policy, value_model, tokenizer, compute):
    """With two networks that refuse to be read below: the reference when the rollout is made, the policy when it is learned from."""

    def refuse(*_) -> None:
        raise AssertionError("read again")

    reference = copy.deepcopy(policy)
    reference.model.layers[0].self_attn.q_proj.register_forward_hook(refuse)
    rollout = rollout_of(policy, reference, value_model, tokenizer, compute, trainable_layers=1)
    assert rollout.below.num_layers == 1
    assert [len(row) for row in rollout.below.of_sequences] == [len(row) for row in rollout.sequences]
    learner = copy.deepcopy(policy)
    learner.model.layers[0].self_attn.q_proj.register_forward_hook(refuse)
    learn_in_upper_layers(learner, 1)
    numbers, found = learned(rollout, ROWS, learner, value_model, compute)
    assert_something(found)
    assert close(numbers["val/ratio"], 1.0, 1e-5)
    with pytest.raises(AssertionError, match="read again"):
        rollout_of(policy, reference, value_model, tokenizer, compute)


def test_the_size_of_microbatches_changes_no_gradient(policy, value_model, tokenizer, compute):
    learn_in_upper_layers(policy, 1)
    rollout = rollout_of(policy, copy.deepcopy(policy), value_model, tokenizer, compute, trainable_layers=1)
    _, expected = learned(rollout, ROWS, policy, value_model, compute)
    assert_something(expected)
    _, found = learned(rollout, ROWS, policy, value_model, compute, microbatch_tokens=60)
    assert_equal(found, expected)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_reference_holds_the_policys_own_frozen_weights(policy, tokenizer, precision, monkeypatch):
    """Which are not rounded for it: they are saved with the policy."""
    held, before = [], state_of(policy)
    make = loop.evaluate_samples

    def watched(policy, reference, *given):
        held.append({name: weight.data_ptr() for name, weight in reference.named_parameters()})
        return make(policy, reference, *given)

    monkeypatch.setattr(loop, "evaluate_samples", watched)
    compute = Compute(device="cpu", precision=precision)
    config = config_of(value_model="shared", trainable_layers=1)
    given = (policy, ValueHead(policy), tokenizer, Scorer(share_of_letters), PROMPTS, config)
    steps = list(train_ppo(*given, SAMPLING, compute, 0))
    assert abs(steps[0].values["objective/kl"]) < 0.05 and steps[1].values["objective/kl"] != 0
    for name, weight in policy.named_parameters():
        assert (held[0][name] == weight.data_ptr()) is not is_upper(name), name
        assert weight.dtype == torch.float32 and (is_upper(name) or torch.equal(weight, before[name])), name


def test_a_run_that_is_stopped_anywhere_ends_as_an_unbroken_one(policy, tokenizer, compute, tmp_path):
    text = PTXConfig(source=TextFile(path="unread.txt"), coef=0.5, batch_size=2, sequence_length=16)

    def run(checkpoints):
        own = copy.deepcopy(policy)
        critic = ValueHead(own)
        config = config_of(num_updates=3, value_model="shared", trainable_layers=1, policy_ema=0.9, ptx=text)
        given = (own, critic, tokenizer, Scorer(share_of_letters), PROMPTS, config, SAMPLING, compute, 0)
        return train_ppo(*given, checkpoints, CORPUS), [own, critic]

    check_all_interruptions(run, tmp_path, num_steps=3)
    (kept,) = tmp_path.glob("stopped-after-3/step-00000003")
    of_policy = [name for name in load_file(kept / "tensors.safetensors") if re.search(r"\bpolicy\b", name)]
    assert of_policy and all(is_upper(name) for name in of_policy)


def test_of_networks_that_cannot_begin_above_them_nothing_is_kept(gpt2, policy):
    assert num_layers_below(gpt2, 1) == 0 and num_layers_below(policy, 1) == 1
    assert num_layers_below(policy, 2) == 0 == num_layers_below(policy, None)


@pytest.mark.parametrize("name", ["Qwen2", "Gemma 2", "GPT-NeoX", "Mixtral", "OPT", "BLOOM", "DeepSeek-V3"])
def test_the_layers_of_strangers_are_found_and_counted(name):
    network = tiny_network(name)
    size = NetworkSize.of_shapes({name: weight.shape for name, weight in network.named_parameters()})
    assert len(layers_of(network)) == network.config.num_hidden_layers == len(size.layers)
    learn_in_upper_layers(network, 1)
    assert size.num_upper(1) == sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


def test_more_layers_than_there_are_are_refused(any_policy):
    with pytest.raises(ConfigError, match=r"tuning\.trainable_layers is 3, and the policy \(\w+\) has 2 layers"):
        learn_in_upper_layers(any_policy, 3)
    assert all(weight.requires_grad for weight in any_policy.parameters())


def test_what_does_not_go_with_it_is_refused():
    with pytest.raises(ValidationError, match="lora and trainable_layers say two ways of what learns; leave one"):
        PPOConfig(lora=TuningLoRA(), trainable_layers=1)
    with pytest.raises(ValueError, match=r"tuning\.trainable_layers needs compute\.sharding none"):
        PPOConfig(trainable_layers=1).require_fit(Compute(sharding="fsdp2", num_processes=2), 64)
