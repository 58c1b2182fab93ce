"""Tiny networks: a forward pass takes a few milliseconds. Every test gets its own copy."""

import copy

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from models.network.networks import RewardModel, ValueModel, build_policy, save_policy, train_tokenizer
from models.settings.compute import Compute
from models.settings.training import ScratchBase
from models.training import loop as optimization
from models.tuning.online.rollout import Rollout
from tests.models.ppo_examples import rollout_of

torch.set_num_threads(1)

CORPUS = [
    "my sink is leaking, what can I do?",
    "turn the water off under the sink and tighten the nut.",
    "the lamp does not light, what is wrong?",
    "change the bulb, then look at the fuse.",
] * 4


def enliven(model: nn.Module, factor: float = 8.0) -> nn.Module:
    """Scales the matrices up: fresh weights give nearly uniform probabilities, which would hide most mistakes."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(factor)
    return model


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(CORPUS, vocab_size=300)


@pytest.fixture(scope="session")
def llama_once(tokenizer) -> LlamaForCausalLM:
    shape = ScratchBase(vocab_size=300, hidden_size=32, num_layers=2, num_heads=4, context_length=96)
    return enliven(build_policy(shape, tokenizer, seed=0)).eval()


@pytest.fixture(scope="session")
def gpt2_once(tokenizer) -> GPT2LMHeadModel:
    """Learned absolute positions and dropout 0.1: notices a shifted position, and dropout left on, where a Llama would not."""
    torch.manual_seed(1)
    shape = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=96,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return enliven(GPT2LMHeadModel(shape)).eval()


@pytest.fixture(scope="session")
def base_folder_once(llama_once, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    save_policy(folder, llama_once, tokenizer)
    return folder


@pytest.fixture
def policy(llama_once) -> LlamaForCausalLM:
    return copy.deepcopy(llama_once)


@pytest.fixture
def gpt2(gpt2_once) -> GPT2LMHeadModel:
    return copy.deepcopy(gpt2_once)


@pytest.fixture(params=["llama", "gpt2"])
def any_policy(request, llama_once, gpt2_once) -> PreTrainedModel:
    return copy.deepcopy({"llama": llama_once, "gpt2": gpt2_once}[request.param])


def with_random_head(reward_model: RewardModel) -> RewardModel:
    """A trained reward model's head is not zero."""
    generator = torch.Generator().manual_seed(2)
    nn.init.normal_(reward_model.model.score.weight, generator=generator)
    return reward_model.eval()


@pytest.fixture
def reward_model(base_folder_once) -> RewardModel:
    return with_random_head(RewardModel.start(base_folder_once, seed=0))


@pytest.fixture
def compute() -> Compute:
    return Compute(device="cpu", precision="float32")


@pytest.fixture
def plain_descent(monkeypatch) -> None:
    """Training by SGD, whose steps are as equal as the gradients. Adam divides a gradient of zero by its own rounding."""
    monkeypatch.setattr(
        optimization,
        "decayed_adamw",
        lambda model, learning_rate, weight_decay: torch.optim.SGD(model.parameters(), lr=learning_rate),
    )


@pytest.fixture
def value_model(reward_model) -> ValueModel:
    return ValueModel.from_reward(reward_model).eval()


@pytest.fixture
def other_policy(policy):
    other = copy.deepcopy(policy)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return other


@pytest.fixture
def rollout(policy, other_policy, value_model, tokenizer, compute) -> Rollout:
    return rollout_of(policy, other_policy, value_model, tokenizer, compute)
