"""The network that completions are drawn from while another precision learns, kept from batch to batch."""

import copy

import pytest
import torch

from models.generation import decoding
from models.generation.sampler import Sampler, sampling_copy
from models.generation.sampling import sample_completions
from models.network.lora import add_adapter
from models.settings.compute import Compute
from models.settings.training import LoRA


def test_the_copy_to_sample_from_follows_the_precision_of_learning(policy):
    assert sampling_copy(policy, Compute(device="cpu", precision="float32")) is policy
    rounded = sampling_copy(policy, Compute(device="cpu", precision="bfloat16"))
    assert {parameter.dtype for parameter in rounded.parameters()} == {torch.bfloat16}
    assert {parameter.dtype for parameter in policy.parameters()} == {torch.float32}
    assert torch.equal(rounded.lm_head.weight, policy.lm_head.weight.bfloat16())


def test_the_copy_to_sample_from_turns_positions_by_the_same_angles(policy):
    """Frequencies in bfloat16 have 8 bits: at position 500 an angle of 430 radians would be off by nearly one."""
    rounded = sampling_copy(policy, Compute(device="cpu", precision="bfloat16"))
    of_policy = policy.model.rotary_emb
    assert torch.equal(rounded.model.rotary_emb.inv_freq, of_policy.inv_freq)
    positions = torch.tensor([[500]])
    angles = [one.model.rotary_emb(torch.zeros(1), positions) for one in (rounded, policy)]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*angles, strict=True))


def test_the_copy_to_sample_from_keeps_tied_weights_tied(policy):
    policy.tie_weights()
    rounded = sampling_copy(policy, Compute(device="cpu", precision="bfloat16"))
    tied = [one.lm_head.weight is one.model.embed_tokens.weight for one in (rounded, policy)]
    assert tied == [True, True]


BFLOAT16 = Compute(device="cpu", precision="bfloat16")


def moved(policy):
    """Its weights after a step."""
    with torch.no_grad():
        for weight in policy.parameters():
            if weight.requires_grad:
                weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(weight)))
    return policy


@pytest.mark.parametrize("adapted", [False, True])
def test_a_sampler_follows_the_policy_in_the_very_same_copy(any_policy, adapted):
    if adapted:
        add_adapter(any_policy, LoRA(rank=2), 0, "policy")
    sampler = Sampler(any_policy, BFLOAT16)
    before = [(weight.data_ptr(), weight.clone()) for weight in sampler.network.parameters()]
    moved(any_policy)
    assert sampler.follow() is sampler
    expected = sampling_copy(any_policy, BFLOAT16)
    pairs = list(zip(before, sampler.network.parameters(), expected.parameters(), strict=True))
    assert all(place == own.data_ptr() and torch.equal(own, new) for (place, _), own, new in pairs)
    assert any(not torch.equal(old, own) for (_, old), own, _ in pairs)
    assert sum(weight.requires_grad for weight in sampler.network.parameters()) == 0


def test_in_the_precision_of_learning_it_is_the_policy_itself(policy):
    assert Sampler(policy, Compute(device="cpu", precision="float32")).follow().network is policy


HOW = {"max_new_tokens": 9, "temperature": 1.0, "batch_size": 8, "seed": 3}
SHORT, LONG = ["the lamp", "the nut"] * 4, ["what is wrong with the fuse? turn the water off", "my sink"] * 4


def as_on_a_gpu(monkeypatch) -> None:
    """Steps of fixed sizes, and keys in the network's precision."""
    monkeypatch.setattr(decoding, "_launches_bound", lambda device: True)
    monkeypatch.setattr(decoding, "_cache_dtype", lambda model: None)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_decoder_that_is_kept_says_what_a_new_one_does(any_policy, tokenizer, monkeypatch, precision):
    """After other prompts, and after the policy has moved."""
    as_on_a_gpu(monkeypatch)
    compute = Compute(device="cpu", precision=precision)
    sampler, made = Sampler(any_policy, compute), []
    monkeypatch.setattr(decoding.Decoder, "__init__", counted(decoding.Decoder.__init__, made))
    for prompts, num_made in ((LONG, 1), (SHORT, 1), (LONG[:3], 1), (LONG + SHORT, 2), (SHORT, 2), (LONG, 2)):
        found = sample_completions(sampler.follow(), tokenizer, prompts, **HOW)
        assert len(made) == num_made, "of many prompts, which join later, more columns are needed"
        expected = sample_completions(copy.deepcopy(sampler.network), tokenizer, prompts, **HOW)
        made.pop()
        assert found == expected
        moved(any_policy)


def counted(make, made: list):
    """The same constructor, which leaves a mark each time."""

    def noted(self, *given):
        made.append(given)
        make(self, *given)

    return noted


def test_where_nothing_is_recorded_no_block_is_kept(policy, tokenizer):
    sampler = Sampler(policy, BFLOAT16)
    sample_completions(sampler, tokenizer, SHORT, **HOW)
    assert sampler.decoder(8, 4, 8) is not sampler.decoder(8, 4, 8)


def test_a_decoder_that_took_too_much_memory_is_forgotten(policy, tokenizer, monkeypatch):
    as_on_a_gpu(monkeypatch)
    sampler, step, failed = Sampler(policy, BFLOAT16), decoding.Decoder.step, []
    expected = sample_completions(sampler, tokenizer, SHORT, **HOW)

    def failing(decoder):
        if decoder.rows and len(decoder.rows) > 4:
            failed.append(decoder)
            raise torch.OutOfMemoryError("no memory")
        return step(decoder)

    monkeypatch.setattr(decoding.Decoder, "step", failing)
    assert sample_completions(sampler, tokenizer, SHORT, **HOW) == expected
    assert sampler.decoder(4, 4, 8) is not failed[0] and len(failed) == 1
