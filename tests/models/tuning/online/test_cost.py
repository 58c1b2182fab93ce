"""What an update takes, beside an update."""

import copy

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from models.network.dialogue import encode_prompt
from models.settings.compute import Compute
from models.settings.tuning import RLOOConfig
from models.tuning.online import values
from models.tuning.online.cost import update_cost
from models.tuning.ppo.loop import train_ppo
from tests.models.ppo_examples import PROMPTS, SAMPLING, SCORER, config_of

CONFIG = config_of(num_updates=1, num_minibatches=1, num_epochs=1)


def bytes_kept(policy, value_model, tokenizer, compute, monkeypatch) -> int:
    """What the loss of an update's one minibatch keeps for its backward pass besides the weights themselves."""
    kept, own = {}, {weight.untyped_storage().data_ptr() for weight in policy.parameters()}
    learn = values.token_logprobs

    def keep(tensor):
        if (place := tensor.untyped_storage().data_ptr()) not in own:
            kept[place] = tensor.untyped_storage().nbytes()
        return tensor

    def watched(*given):
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            return learn(*given)

    monkeypatch.setattr(values, "token_logprobs", watched)
    list(train_ppo(policy, value_model, tokenizer, SCORER, PROMPTS, CONFIG, SAMPLING, compute, seed=0))
    return sum(kept.values())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_bytes_of_learning_are_about_those_of_an_update(any_policy, value_model, tokenizer, precision, monkeypatch):
    compute = Compute(device="cpu", precision=precision)
    prompts = [encode_prompt(tokenizer, prompt) for prompt in PROMPTS]
    cost = update_cost(any_policy, prompts, CONFIG, SAMPLING, compute)
    kept = bytes_kept(any_policy, value_model, tokenizer, compute, monkeypatch)
    copied = 2 * sum(weight.numel() for weight in any_policy.parameters()) if precision == "bfloat16" else 0
    # completions may end before their limit, and a value model keeps no logits
    assert cost.bytes - copied == pytest.approx(2 * kept, rel=0.1)


def test_without_a_value_model_half_is_kept(policy, tokenizer, compute):
    prompts = [encode_prompt(tokenizer, prompt) for prompt in PROMPTS]
    alone = RLOOConfig(batch_size=8, num_minibatches=1, num_epochs=1)
    shared = config_of(num_updates=1, num_minibatches=1, num_epochs=1, value_model="shared")
    costs = [update_cost(policy, prompts, config, SAMPLING, compute).bytes for config in (CONFIG, alone, shared)]
    assert costs[0] == 2 * costs[1] == 2 * costs[2]


def test_it_leaves_nothing_behind(policy, tokenizer, compute):
    before = {name: weight.clone() for name, weight in policy.state_dict().items()}
    cost = update_cost(policy, [encode_prompt(tokenizer, PROMPTS[0])], CONFIG, SAMPLING, compute)
    assert cost.seconds > 0 and all(weight.grad is None for weight in policy.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in policy.state_dict().items())


def test_what_is_computed_again_is_not_kept(policy, tokenizer, compute):
    prompts = [encode_prompt(tokenizer, prompt) for prompt in PROMPTS]
    again = compute.model_copy(update={"activation_checkpointing": True})
    whole, less = (update_cost(policy, prompts, CONFIG, SAMPLING, one).bytes for one in (compute, again))
    assert less < 0.8 * whole


def test_an_adapter_is_measured_as_one(policy, tokenizer, compute):
    config = CONFIG.model_copy(update={"lora": config_of(lora={"rank": 2}).lora})
    update_cost(policy, [encode_prompt(tokenizer, PROMPTS[0])], config, SAMPLING, compute)
    learning = {name for name, weight in policy.named_parameters() if weight.requires_grad}
    assert learning and all("lora" in name for name in learning)


def test_where_lower_layers_are_frozen_less_is_kept_by_the_policy_alone(policy, tokenizer, compute):
    prompts = [encode_prompt(tokenizer, prompt) for prompt in PROMPTS]
    shared, own = (
        config_of(num_updates=1, num_minibatches=1, num_epochs=1, value_model=kind, trainable_layers=1)
        for kind in ("shared", "own")
    )
    whole, upper, both = (
        update_cost(copy.deepcopy(policy), prompts, config, SAMPLING, compute).bytes
        for config in (CONFIG.model_copy(update={"value_model": "shared"}), shared, own)
    )
    assert upper < 0.75 * whole
    assert both == pytest.approx(upper + whole)
    learning = {name for name, weight in policy.named_parameters() if weight.requires_grad}
    update_cost(policy, prompts, shared, SAMPLING, compute)
    assert {name for name, weight in policy.named_parameters() if weight.requires_grad} == {
        name for name in learning if ".layers.1." in name
    }
