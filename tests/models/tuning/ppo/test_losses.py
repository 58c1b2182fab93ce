"""Losses against values worked out by hand."""

import math

import pytest
import torch

from models.tuning.ppo.losses import masked_mean, policy_loss, value_loss
from tests.tolerances import close

LN2, LN3 = math.log(2), math.log(3)


def row(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


@pytest.mark.parametrize("garbage", [math.nan, math.inf, 1e9])
def test_masked_mean_ignores_what_stands_outside(garbage):
    values = torch.tensor([[1.0, 2.0, garbage], [6.0, garbage, garbage]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert close(masked_mean(values, mask), 3.0)  # (1 + 2 + 6) / 3


# rho, A -> loss with eps 0.2, and its derivative by the log-probability (-rho A where the clip does not hold, else 0)
POLICY_CASES = [
    (1.5, 2.0, -2.4, 0.0),  # min(3, 1.2 * 2): a good action already likelier than 1.2 times
    (1.5, -2.0, 3.0, 3.0),  # min(-3, -2.4): a bad action made likelier is always punished
    (0.5, 2.0, -1.0, -1.0),  # min(1, 1.6)
    (0.5, -2.0, 1.6, 0.0),  # min(-1, -1.6): a bad action already rarer than 0.8 times
    (1.1, 2.0, -2.2, -2.2),
    (0.9, -2.0, 1.8, 1.8),
    (1.0, 3.0, -3.0, -3.0),
]


@pytest.mark.parametrize(("ratio", "advantage", "expected", "slope"), POLICY_CASES)
def test_policy_loss_clips_on_both_sides(ratio, advantage, expected, slope):
    logprobs = torch.tensor([[math.log(ratio) - 2]], requires_grad=True)
    loss = policy_loss(logprobs, torch.tensor([[-2.0]]), torch.tensor([[advantage]]), clip=0.2)
    loss.sum().backward()
    assert close(loss, [[expected]])
    assert close(logprobs.grad, [[slope]], tolerance=2e-6)


# V, V_old, R -> loss with eps 0.2, and its derivative by V
VALUE_CASES = [
    (1.5, 1.0, 2.0, 0.32, 0.0),  # near = 1.2: max(0.25, 0.64) / 2
    (1.5, 1.0, 1.0, 0.125, 0.5),  # near = 1.2: max(0.25, 0.04) / 2
    (0.5, 1.0, 0.0, 0.32, 0.0),  # near = 0.8: max(0.25, 0.64) / 2
    (0.5, 1.0, 1.0, 0.125, -0.5),  # near = 0.8: max(0.25, 0.04) / 2
    (1.1, 1.0, 3.0, 1.805, -1.9),  # near = V: 1.9^2 / 2
]


@pytest.mark.parametrize(("value", "old", "target", "expected", "slope"), VALUE_CASES)
def test_value_loss_clips_on_both_sides(value, old, target, expected, slope):
    values = torch.tensor([[value]], requires_grad=True)
    loss = value_loss(values, torch.tensor([[old]]), torch.tensor([[target]]), clip=0.2)
    loss.sum().backward()
    assert close(loss, [[expected]])
    assert close(values.grad, [[slope]])


def test_losses_of_one_token_do_not_see_the_others():
    cases = torch.tensor(POLICY_CASES)
    together = policy_loss(cases[None, :, 0].log(), torch.zeros(1, len(cases)), cases[None, :, 1], clip=0.2)
    assert close(together, cases[None, :, 2])
    cases = torch.tensor(VALUE_CASES)
    together = value_loss(cases[None, :, 0], cases[None, :, 1], cases[None, :, 2], clip=0.2)
    assert close(together, cases[None, :, 3])
