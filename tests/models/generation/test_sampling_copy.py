"""The network that completions are drawn from while another precision learns."""

import torch

from models.generation.sampling import sampling_copy
from models.settings.compute import Compute


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
