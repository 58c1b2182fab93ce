"""Out of memory: half is tried once, nothing is counted twice, and the run is the one that had the half in its settings."""

import copy
import logging
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from models.errors import TrainingError
from models.network.memory import is_out_of_memory
from models.network.networks import ValueModel
from models.network.packing import PackedBatch
from models.rewards.pairwise import train_reward
from models.settings.rewards import PairwiseReward
from models.settings.training import Training
from models.settings.tuning import PPOConfig
from models.training import out_of_memory
from models.training.causal_lm import LearnedSequence, train_language
from models.training.checkpoints import Checkpoints
from models.training.out_of_memory import MemoryBudget
from models.tuning.online import loop as online
from models.tuning.ppo.loop import train_ppo
from models.tuning.ppo.minibatch import learn_minibatch, learning_targets
from tests.models.ppo_examples import PROMPTS, SAMPLING, SCORER, config_of, equal, state_of
from tests.models.rewards.test_pairwise import FOUR, THREE
from tests.models.tuning.ppo.test_resume import numbers


def ask_torch(*_) -> None:
    """Really asks for an exbibyte: no machine gives it, and none is harmed by being asked."""
    torch.empty(2**60, dtype=torch.uint8)


def ask_numpy() -> None:
    np.empty(2**60, dtype=np.uint8)


def ask_python() -> None:
    bytearray(2**60)


def refuse_as_a_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


ASKING = [ask_torch, ask_numpy, ask_python, refuse_as_a_gpu]


def starve(layer: nn.Module, num_tokens: int, when: str) -> list[int]:
    """Lets passes of more than `num_tokens` tokens through a layer fail, forward or backward; lists the tokens of each pass.

    Sampling, which passes rows and not a pack of tokens, is let through: it has no microbatches.
    """
    passes = []

    def refuse(module, inputs, output):
        hidden = output[0] if isinstance(output, tuple) else output
        passes.append(hidden.shape[:-1].numel())
        is_packed = hidden.ndim == 2 or len(hidden) == 1
        if not is_packed or passes[-1] <= num_tokens:
            return
        if when == "forward":
            ask_torch()
        elif hidden.requires_grad:
            hidden.register_hook(ask_torch)

    layer.register_forward_hook(refuse)
    return passes


# the piece by itself


@pytest.mark.parametrize("ask", ASKING)
def test_every_way_of_running_out_is_seen(ask):
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        ask()
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), OSError("no memory"), TrainingError("x")])
def test_other_errors_are_not_taken_for_it(error):
    assert not is_out_of_memory(error)
    memory, calls = MemoryBudget(Training(microbatch_tokens=8)), []

    def compute(config):
        calls.append(config.microbatch_tokens)
        raise error

    with pytest.raises(type(error), match=str(error)):
        memory.fitting(8, compute)
    assert calls == [8] and memory.config.microbatch_tokens == 8


@pytest.mark.parametrize("ask", ASKING)
def test_half_is_tried_and_stays(ask, caplog):
    memory, calls = MemoryBudget(Training(microbatch_tokens=8)), []

    def compute(config):
        calls.append(config.microbatch_tokens)
        if config.microbatch_tokens > 4:
            ask()
        return config.microbatch_tokens

    assert memory.fitting(64, compute) == 4
    assert memory.fitting(64, compute) == 4
    assert calls == [8, 4, 4]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "out of memory with 8 tokens at once" in record.message and "going on with 4" in record.message


def test_what_is_halved_is_what_was_tried():
    """Of a minibatch of 6 tokens no more than 6 are tried at once: half of a higher limit would change nothing."""
    memory = MemoryBudget(PPOConfig(microbatch_tokens=64))

    def compute(config):
        if min(config.microbatch_tokens, 6) > 3:
            ask_torch()
        return config.microbatch_tokens

    assert memory.fitting(6, compute) == 3


def test_a_second_time_says_what_to_set():
    memory = MemoryBudget(Training(microbatch_tokens=8))
    with pytest.raises(
        TrainingError, match=r"out of memory with 4 tokens .*can't allocate.*set microbatch_tokens below that"
    ):
        memory.fitting(8, ask_torch)


def test_a_second_time_may_come_later():
    memory, limits = MemoryBudget(Training(microbatch_tokens=8)), iter([4, 3])

    def compute(config):
        if config.microbatch_tokens > limit:
            ask_torch()

    limit = next(limits)
    memory.fitting(8, compute)
    limit = next(limits)
    with pytest.raises(TrainingError, match="out of memory with 4 tokens"):
        memory.fitting(8, compute)


def test_several_ranks_do_not_try_again(monkeypatch):
    """The others would wait for ever for what is computed once more."""
    monkeypatch.setattr(out_of_memory, "num_ranks", lambda: 2)
    memory, calls = MemoryBudget(Training(microbatch_tokens=8)), []

    def compute(config):
        calls.append(config.microbatch_tokens)
        ask_torch()

    with pytest.raises(TrainingError, match=r"out of memory with 8 tokens .*set microbatch_tokens below that"):
        memory.fitting(8, compute)
    assert calls == [8]


def test_a_gradient_that_was_half_taken_is_not_counted():
    weight = nn.Linear(1, 1, bias=False)
    memory = MemoryBudget(Training(microbatch_tokens=4))

    def compute(config):
        for number in range(4 // config.microbatch_tokens):
            (weight.weight.sum() * (number + 1)).backward()
        if config.microbatch_tokens == 4:
            ask_torch()

    memory.fitting(4, compute, weight)
    assert weight.weight.grad.item() == 1 + 2


def test_the_second_try_draws_the_same_random_numbers():
    memory, drawn = MemoryBudget(Training(microbatch_tokens=2)), []

    def compute(config):
        drawn.append((torch.rand(1).item(), np.random.rand(), config.microbatch_tokens))
        if config.microbatch_tokens == 2:
            ask_torch()

    memory.fitting(2, compute)
    first, second = drawn
    assert first[:2] == second[:2] and second[2] == 1


# in the loops


def num_read(sequences) -> int:
    """How many tokens pass through the layers: what several begin with passes once."""
    return len(PackedBatch.of(sequences).input_ids)


def check_equal_to_half_from_the_start(train, networks, starved, caplog, sequences) -> None:
    """`train(networks, microbatch_tokens)` with starved networks, against undisturbed copies with half of what was tried: so many tokens as
    these sequences have."""
    # two copies: weights that were read from a file lie at odd addresses, where small products round otherwise
    own, networks = copy.deepcopy(networks), copy.deepcopy(networks)
    passes = starved(networks)
    torch.manual_seed(0)
    found = numbers(train(networks, 8192))
    (record,) = [record for record in caplog.records if "out of memory" in record.message]
    tried, _, half = record.args
    num_tokens = sum(map(len, sequences))
    assert (tried, half) == (num_tokens, num_tokens // 2)
    assert num_read(sequences) in passes
    torch.manual_seed(0)
    assert numbers(train(own, half)) == found
    for network, wanted in zip(networks, own, strict=True):
        assert equal(state_of(network), state_of(wanted))


@pytest.mark.parametrize(("when", "layer"), [("forward", 1), ("backward", 0), ("backward", 1)])
def test_fine_tuning(gpt2, compute, caplog, when, layer):
    """With dropout. The backward pass breaks above a block: what lies above it has its gradient already."""
    sequences = [LearnedSequence([*range(20 + row, 29 + row), 2], learn_from=4) for row in range(8)]

    def train(networks, size):
        config = Training(num_epochs=3, batch_size=4, microbatch_tokens=size, learning_rate=3e-3)
        return train_language(networks[0], sequences, config, compute, 0)

    def starved(networks):
        return starve(networks[0].transformer.h[layer], 30, when)

    # four rows of ten tokens a step; three have passed together before, to see that they may be packed
    check_equal_to_half_from_the_start(train, [gpt2], starved, caplog, [one.tokens for one in sequences[:4]])


def test_the_reward_model(reward_model, compute, caplog):
    """A row is a prompt with all its completions here."""

    def train(networks, size):
        config = PairwiseReward(num_epochs=3, batch_size=2, microbatch_tokens=size, learning_rate=1e-2)
        return train_reward(networks[0], [FOUR, THREE], config, compute, 0)

    def starved(networks):
        layer = networks[0].model.base_model.layers[0].mlp
        return starve(layer, max(num_read(FOUR.sequences), num_read(THREE.sequences)), "backward")

    check_equal_to_half_from_the_start(train, [reward_model], starved, caplog, [*FOUR.sequences, *THREE.sequences])


@pytest.mark.parametrize("starving", ["policy", "value model"])
def test_ppo_whose_rollouts_do_not_fit(policy, tokenizer, compute, caplog, starving):
    """The passes without gradient come first, and from then on everything is done in halves."""

    def train(networks, size):
        config = config_of(microbatch_tokens=size, num_minibatches=1)
        return train_ppo(*networks, tokenizer, SCORER, PROMPTS, config, SAMPLING, compute, seed=0)

    def starved(networks):
        body = networks[0].model if starving == "policy" else networks[1].body
        return starve(body.layers[1].self_attn.v_proj, num_read(sequences[0]) * 3 // 4, "forward")

    networks = [policy, ValueModel.from_policy(policy)]
    own = copy.deepcopy(networks)
    sequences = []
    original = online.describe_rollout

    def watch(rollout, *rest):
        sequences.append(rollout.sequences)
        return original(rollout, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(online, "describe_rollout", watch)
        next(train(own, 8192))
    check_equal_to_half_from_the_start(train, networks, starved, caplog, sequences[0])


@pytest.mark.parametrize("starving", ["policy", "value model"])
def test_a_minibatch_of_ppo_whose_backward_pass_breaks(policy, rollout, value_model, compute, starving):
    config = config_of()
    targets = learning_targets(rollout, 0.05, config)
    num_tokens = sum(len(sequence) for sequence in rollout.sequences)
    gradients, results = [], []
    for size in (num_tokens // 2, 8192):
        own = [copy.deepcopy(policy), copy.deepcopy(value_model)]
        if size == 8192:
            body = own[0].model if starving == "policy" else own[1].body
            starve(body.layers[0].mlp, num_tokens // 2, "backward")
        memory = MemoryBudget(config_of(microbatch_tokens=size))
        learn = partial(
            learn_minibatch, *own, rollout, targets, list(range(8)), temperature=SAMPLING.temperature, compute=compute
        )
        results.append(memory.fitting(num_tokens, learn, *own))
        assert memory.config.microbatch_tokens == num_tokens // 2
        gradients.append([weight.grad for network in own for weight in network.parameters()])
    assert results[0] == results[1]
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_ppo_that_does_not_fit_in_halves_either_ends(policy, tokenizer, compute):
    value_model = ValueModel.from_policy(policy)
    starve(value_model.body.layers[1].self_attn.v_proj, 1, "forward")
    steps = train_ppo(policy, value_model, tokenizer, SCORER, PROMPTS, config_of(), SAMPLING, compute, seed=0)
    with pytest.raises(TrainingError, match=r"out of memory with \d+ tokens .*set microbatch_tokens below.*`lora`"):
        next(steps)


def test_the_warning_goes_where_checkpoints_report(policy, tokenizer, compute, tmp_path, caplog):
    """In a stage that is the logger of its Prefect run."""
    value_model = ValueModel.from_policy(policy)
    starve(value_model.body.layers[1].self_attn.v_proj, 90, "forward")
    checkpoints = Checkpoints(tmp_path, 1, logging.getLogger("of-the-run"))
    next(train_ppo(policy, value_model, tokenizer, SCORER, PROMPTS, config_of(), SAMPLING, compute, 0, checkpoints))
    assert [record.name for record in caplog.records if "out of memory" in record.message] == ["of-the-run"]
