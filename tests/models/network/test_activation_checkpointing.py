"""Blocks computed again in backward: the same gradients, fewer tensors kept, nothing left behind."""

import copy

import pytest
import torch
from torch import nn

from models.errors import ConfigError
from models.network.activation_checkpointing import recomputed_activations
from models.network.logprobs import token_logprobs
from models.network.networks import ValueModel
from models.network.packing import PackedBatch
from models.rewards.pairwise import train_reward
from models.settings.compute import Compute
from models.settings.rewards import PairwiseReward
from models.settings.training import Training
from models.training.causal_lm import pack_texts, train_language
from models.tuning.ppo.loop import train_ppo
from tests.models.conftest import CORPUS
from tests.models.ppo_examples import PROMPTS, SAMPLING, SCORER, config_of
from tests.models.rewards.test_pairwise import FOUR, THREE

BATCH = PackedBatch.of([[1, 20, 30, 40, 2], [1, 40, 2], [1, 50, 60]])
RECOMPUTE = Compute(device="cpu", precision="float32", activation_checkpointing=True)


def learn(model: nn.Module, compute: Compute) -> tuple[list[torch.Tensor], int]:
    """Gradients of a sum of log-probabilities, and how many numbers the backward pass was kept."""
    kept: list[int] = []

    def count(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor)
    with recomputed_activations(compute, model), hooks:
        logprobs = token_logprobs(model, BATCH, BATCH.last([4, 2, 2]))
    num_kept = sum(kept)
    logprobs.sum().backward()
    return [parameter.grad for parameter in model.parameters()], num_kept


def test_gradients_are_the_same_and_less_is_kept(any_policy, compute):
    other = copy.deepcopy(any_policy)
    plain, num_plain = learn(any_policy, compute)
    again, num_again = learn(other, RECOMPUTE)
    assert all(torch.equal(one, two) for one, two in zip(plain, again, strict=True))
    assert num_again < 0.5 * num_plain


def test_dropout_stays_as_it_is_and_afterwards_all_is_as_before(gpt2, tokenizer):
    modes = {name: module.training for name, module in gpt2.named_modules()}
    with recomputed_activations(RECOMPUTE, gpt2):
        assert not any(module.training for module in gpt2.modules() if isinstance(module, nn.Dropout))
        assert gpt2.transformer.h[0].gradient_checkpointing
    assert {name: module.training for name, module in gpt2.named_modules()} == modes
    ids = tokenizer(CORPUS[0], return_tensors="pt").input_ids
    cached = gpt2(ids[:, :-1], use_cache=True).past_key_values
    assert cached.get_seq_length() == ids.shape[1] - 1, "it still decodes with a cache"


def test_a_network_without_such_blocks_is_refused():
    with (
        pytest.raises(ConfigError, match=r"compute\.activation_checkpointing: Linear has no blocks"),
        recomputed_activations(RECOMPUTE, nn.Linear(2, 2)),
    ):
        pass


def test_every_training_takes_the_same_steps(policy, reward_model, tokenizer, compute):
    weights = []
    for own_compute in (compute, RECOMPUTE):
        own, own_reward = copy.deepcopy(policy), copy.deepcopy(reward_model)
        training = Training(num_epochs=1, batch_size=4)
        list(train_language(own, pack_texts(tokenizer, CORPUS, length=16), training, own_compute, 0))
        list(train_reward(own_reward, [FOUR, THREE], PairwiseReward(batch_size=1), own_compute, 0))
        value_model = ValueModel.from_reward(own_reward)
        list(train_ppo(own, value_model, tokenizer, SCORER, PROMPTS, config_of(), SAMPLING, own_compute, 0))
        weights.append([*own.parameters(), *own_reward.parameters(), *value_model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))
