"""The moving average of a network's weights."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from models.tuning.online.weight_average import WeightAverage
from tests.models.ppo_examples import equal, state_of
from tests.tolerances import close


def set_to(network: nn.Module, value: float) -> None:
    with torch.no_grad():
        for weight in network.parameters():
            weight.fill_(value)


@pytest.mark.parametrize("decay", [0.0, 0.25, 0.9])
def test_each_step_counts_for_less_the_longer_ago_it_was(decay):
    network = nn.Linear(2, 1)
    values = [5.0, 1.0, -3.0, 7.0]  # as it came, then after each of three steps
    set_to(network, values[0])
    average = WeightAverage(network, decay)
    for value in values[1:]:
        set_to(network, value)
        average.update()
    average.hand_over()
    # d^3 5 + (1 - d) (d^2 1 + d (-3) + 7)
    expected = np.dot([decay**3, (1 - decay) * decay**2, (1 - decay) * decay, 1 - decay], values)
    assert close(network.weight, [[expected, expected]]) and close(network.bias, [expected])


def test_the_network_keeps_its_weights_until_the_average_is_handed_over(policy, other_policy):
    average = WeightAverage(policy, 0.5)
    policy.load_state_dict(other_policy.state_dict())
    average.update()
    assert equal(state_of(policy), state_of(other_policy))


def test_with_decay_zero_it_is_the_last_weights_bit_for_bit(policy, other_policy):
    average = WeightAverage(policy, 0.0)
    policy.load_state_dict(other_policy.state_dict())
    average.update()
    set_to(policy, 1.0)
    average.hand_over()
    assert equal(state_of(policy), state_of(other_policy))


def test_weights_that_stay_are_their_own_average_bit_for_bit(policy):
    before = state_of(policy)
    average = WeightAverage(policy, 0.9)
    for _ in range(3):
        average.update()
    average.hand_over()
    assert equal(state_of(policy), before)


def test_tied_weights_count_once_and_stay_tied():
    shape = {"vocab_size": 16, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1}
    network = LlamaForCausalLM(LlamaConfig(**shape, num_attention_heads=2, tie_word_embeddings=True))
    embedding = network.get_input_embeddings().weight
    assert network.get_output_embeddings().weight is embedding
    set_to(network, 1.0)
    average = WeightAverage(network, 0.75)
    assert sum(tensor.numel() for tensor in average.state_dict().values()) == network.num_parameters()
    set_to(network, 5.0)
    average.update()
    average.hand_over()
    assert close(embedding, np.full((16, 8), 2.0))  # 0.75 * 1 + 0.25 * 5
    assert network.get_output_embeddings().weight is embedding


def test_frozen_weights_take_no_part(policy):
    policy.requires_grad_(False)
    policy.model.norm.weight.requires_grad_(True)
    average = WeightAverage(policy, 0.5)
    assert list(average.state_dict()) == ["model.norm.weight"]


def test_it_goes_on_from_what_was_kept(policy, other_policy):
    unbroken = WeightAverage(policy, 0.5)
    kept = {name: tensor.clone() for name, tensor in unbroken.state_dict().items()}
    resumed_policy = copy.deepcopy(other_policy)
    resumed = WeightAverage(resumed_policy, 0.5)
    resumed.load_state_dict(kept)
    policy.load_state_dict(other_policy.state_dict())
    for average in (unbroken, resumed):
        average.update()
        average.hand_over()
    assert equal(state_of(policy), state_of(resumed_policy))
