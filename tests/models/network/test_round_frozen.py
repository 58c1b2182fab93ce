"""Frozen networks in bfloat16: half the memory of their linear layers, and not a bit of what they say."""

import copy

import pytest
import torch

from models.network.logprobs import token_logprobs
from models.network.networks import freeze
from models.network.packing import PackedBatch
from models.network.precision import autocast, round_frozen
from models.settings.compute import Compute
from models.tuning.online import loop
from models.tuning.ppo.loop import train_ppo
from tests.models.ppo_examples import PROMPTS, SAMPLING, SCORER, config_of

BFLOAT16 = Compute(device="cpu", precision="bfloat16")
SEQUENCES = [[1, 40, 51, 62, 7, 8], [1, 9, 33, 2]]


def logprobs(model) -> torch.Tensor:
    batch = PackedBatch.of(SEQUENCES)
    with torch.no_grad(), autocast(BFLOAT16):
        return token_logprobs(model, batch, batch.last([5, 3]))


def num_bytes(model) -> int:
    return sum(weight.nbytes for weight in model.parameters())


def test_they_say_the_very_same(any_policy):
    rounded = round_frozen(freeze(copy.deepcopy(any_policy)), BFLOAT16)
    assert torch.equal(logprobs(rounded), logprobs(any_policy))
    embeddings = {
        id(weight) for name, weight in rounded.named_parameters() if "embed" in name or "wte" in name or "wpe" in name
    }
    for name, weight in rounded.named_parameters():
        is_linear = any(part in name for part in ("proj", "c_attn", "c_fc"))
        assert weight.dtype == (torch.bfloat16 if is_linear and id(weight) not in embeddings else torch.float32), name
    assert num_bytes(rounded) < 0.8 * num_bytes(any_policy)


def test_all_of_it_in_bfloat16_would_say_something_else(any_policy):
    assert not torch.equal(logprobs(copy.deepcopy(any_policy).bfloat16()), logprobs(any_policy))


def test_a_score_is_the_very_same(reward_model):
    batch = PackedBatch.of(SEQUENCES)
    with torch.no_grad(), autocast(BFLOAT16):
        before = reward_model.scores(batch)
        after = round_frozen(copy.deepcopy(reward_model), BFLOAT16).scores(batch)
    assert torch.equal(before, after)


def test_in_float32_nothing_is_rounded(any_policy):
    before = num_bytes(any_policy)
    assert num_bytes(round_frozen(any_policy, Compute(device="cpu", precision="float32"))) == before


@pytest.mark.parametrize("is_whole", [True, False], ids=["all weights", "lora"])
def test_ppo_holds_its_reference_so_and_begins_at_a_kl_of_0(policy, value_model, tokenizer, monkeypatch, is_whole):
    """Through LoRA the reference is the policy's own weights, which a merge must find whole."""
    evaluate, held = loop.evaluate_samples, []

    def look(policy, reference, *rest):
        held.append((num_bytes(reference), num_bytes(policy)))
        return evaluate(policy, reference, *rest)

    monkeypatch.setattr(loop, "evaluate_samples", look)
    config = config_of(num_updates=1) if is_whole else config_of(num_updates=1, lora={"rank": 2})
    given = (policy, value_model, tokenizer, SCORER, PROMPTS, config, SAMPLING, BFLOAT16)
    (update,) = train_ppo(*given, seed=0)
    assert update.values["objective/kl"] == 0
    reference, own = held[0]
    assert (reference < 0.8 * own) is is_whole
    assert all(weight.dtype == torch.float32 for weight in policy.parameters())
