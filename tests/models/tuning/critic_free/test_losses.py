"""Advantages by hand, and the gradient of a minibatch beside one that is taken completion by completion."""

import dataclasses
import math

import pytest
import torch

from models.tuning.critic_free.grpo import group_advantages
from models.tuning.critic_free.minibatch import learn_minibatch, tied_share
from models.tuning.critic_free.rloo import leave_one_out
from tests.models.ppo_examples import SAMPLING
from tests.models.tuning.critic_free.examples import KINDS, config_of
from tests.tolerances import close

ROWS = [6, 0, 3, 5, 1]
KL_COEF = 0.3


def test_a_completion_is_held_against_the_others_of_its_prompt():
    # 1 - (2 + 6) / 2, 2 - (1 + 6) / 2, 6 - (1 + 2) / 2; 0 - 3 / 2 twice, 3 - 0
    advantages = leave_one_out(torch.tensor([1.0, 2.0, 6.0, 0.0, 0.0, 3.0]), 3)
    assert close(advantages, [-3.0, -1.5, 4.5, -1.5, -1.5, 3.0])


def test_a_group_is_measured_in_its_own_standard_deviations():
    # mean 3, variance (4 + 1 + 9) / 2 = 7; mean 1, variance (1 + 1 + 4) / 2 = 3
    scores = torch.tensor([1.0, 2.0, 6.0, 0.0, 0.0, 3.0])
    expected = [d / (math.sqrt(7) + 1e-4) for d in (-2, -1, 3)] + [d / (math.sqrt(3) + 1e-4) for d in (-1, -1, 2)]
    assert close(group_advantages(scores, 3, scale_by_std=True), expected)
    assert close(group_advantages(scores, 3, scale_by_std=False), [-2, -1, 3, -1, -1, 2])


def test_completions_with_one_score_teach_nothing():
    scores = torch.tensor([0.1, 0.1, 0.1, 0.1, 0.3, 0.1])
    assert close(group_advantages(scores, 3, scale_by_std=True)[:3], [0, 0, 0], tolerance=1e-3)
    assert close(leave_one_out(scores, 3)[:3], [0, 0, 0])
    assert tied_share(scores, 3) == 0.5 and tied_share(scores, 2) == pytest.approx(2 / 3)


def learned(kind, policy, rollout, compute, **changes):
    """What a minibatch reports, and the gradient that it leaves."""
    policy.zero_grad()
    config = config_of(kind, **changes)
    losses = KINDS[kind][1].losses_of(rollout, KL_COEF, config, SAMPLING)
    numbers, error = learn_minibatch(policy, rollout, ROWS, losses, config, SAMPLING.temperature, compute)
    return numbers | {"error": error}, [parameter.grad.clone() for parameter in policy.parameters()]


def loss_by_hand(kind, policy, rollout, row, advantage, clip, length_norm=True):
    """Of one completion, read by itself and without padding."""
    mask, tokens = rollout.is_completion[row], torch.tensor(rollout.sequences[row])
    num_own = int(mask.sum())
    log_p = torch.log_softmax(policy(tokens[None]).logits[0] / SAMPLING.temperature, dim=-1)[-num_own - 1 : -1]
    own = log_p[range(num_own), tokens[-num_own:]]
    old, reference = rollout.logprobs[row][mask], rollout.reference_logprobs[row][mask]
    if kind == "rloo":
        ratio = (own.sum() - old.sum()).exp()
        return -torch.min(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    ratio = (own - old).exp()
    surrogate = torch.min(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    kl = (reference - own).exp() - (reference - own) - 1
    return (KL_COEF * kl - surrogate).sum() / (num_own if length_norm else SAMPLING.max_new_tokens)


def advantages_by_hand(kind, rollout) -> list[float]:
    kl = (rollout.logprobs - rollout.reference_logprobs).masked_fill(~rollout.is_completion, 0.0).sum(dim=1)
    told = []
    for start in (0, 4):
        if kind == "rloo":
            rewards = [float(rollout.scores[row] - KL_COEF * kl[row]) for row in range(start, start + 4)]
            told += [reward - (sum(rewards) - reward) / 3 for reward in rewards]
        else:
            scores = rollout.scores[start : start + 4].double()
            told += [float(one) for one in (scores - scores.mean()) / (scores.std() + 1e-4)]
    return told


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("moved", [False, True], ids=["at ratio one", "after a step"])
def test_the_gradient_of_a_minibatch(kind, moved, policy, other_policy, rollout, compute):
    """`other_policy` is not the one that sampled: some of its ratios are clipped."""
    network = other_policy if moved else policy
    numbers, computed = learned(kind, network, rollout, compute, clip=0.05)
    assert (numbers["error"] < 1e-5) is (not moved) and (numbers["policy/clipfrac_avg"] > 0) is moved
    network.zero_grad()
    advantages = advantages_by_hand(kind, rollout)
    losses = [loss_by_hand(kind, network, rollout, row, advantages[row], 0.05) for row in ROWS]
    (sum(losses) / len(ROWS)).backward()
    for one, other in zip(computed, network.parameters(), strict=True):
        assert close(one, other.grad, tolerance=1e-5)
    assert max(one.abs().max() for one in computed) > 1e-3
    told = numbers["loss/policy_avg"] + (KL_COEF * numbers["loss/kl_avg"] if kind == "grpo" else 0.0)
    assert close(told, (sum(losses) / len(ROWS)).item(), tolerance=1e-5)


def test_without_length_norm_every_completion_is_divided_by_the_limit(other_policy, rollout, compute):
    _, computed = learned("grpo", other_policy, rollout, compute, length_norm=False)
    other_policy.zero_grad()
    advantages = advantages_by_hand("grpo", rollout)
    for row in ROWS:
        loss_by_hand("grpo", other_policy, rollout, row, advantages[row], 0.2, length_norm=False).div(5).backward()
    assert all(close(one, p.grad, 1e-5) for one, p in zip(computed, other_policy.parameters(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_microbatches_and_garbage_at_padding_change_nothing(kind, other_policy, rollout, compute):
    numbers, expected = learned(kind, other_policy, rollout, compute, clip=0.05)
    garbage = {
        name: getattr(rollout, name).masked_fill(~rollout.is_completion, math.nan)
        for name in ("logprobs", "reference_logprobs", "entropy")
    }
    assert (~rollout.is_completion[ROWS]).any()
    for other, size in ((rollout, 1), (rollout, 70), (dataclasses.replace(rollout, values=None, **garbage), 8192)):
        other_numbers, gradients = learned(kind, other_policy, other, compute, clip=0.05, microbatch_tokens=size)
        assert all(close(one, two, 1e-5) for one, two in zip(expected, gradients, strict=True))
        assert other_numbers.keys() == numbers.keys()
        assert all(close(other_numbers[name], value, 1e-5) for name, value in numbers.items())
