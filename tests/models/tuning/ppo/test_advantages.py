"""KL estimates, shaped rewards, advantages and whitening against values worked out by hand."""

import math

import pytest
import torch

from models.network.kl_estimates import kl_k1, kl_k3
from models.tuning.online.rollout import clip_scores
from models.tuning.ppo.advantages import explained_variance, generalized_advantages, shaped_rewards, whiten
from tests.tolerances import close

GARBAGE = [math.nan, math.inf, -1e9]


def mask_of(*lengths: int) -> torch.Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def spoil(values: torch.Tensor, mask: torch.Tensor, garbage: float) -> torch.Tensor:
    return values.masked_fill(~mask, garbage)


def test_kl_estimates_at_single_tokens():
    logprobs, reference = torch.tensor([[-1.0, -2.0, -3.0]]), torch.tensor([[-1.5, -1.0, -3.0]])
    assert close(kl_k1(logprobs, reference), [[0.5, -1.0, 0.0]])
    # e^-0.5 - 1 + 0.5, e^1 - 1 - 1, e^0 - 1 + 0
    assert close(kl_k3(logprobs, reference), [[0.10653066, 0.71828183, 0.0]])


@pytest.mark.parametrize("estimator", [kl_k1, kl_k3])
def test_kl_estimates_are_unbiased(estimator):
    policy, reference = torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[0.25, 0.25, 0.5]])
    expectation = (policy * estimator(policy.log(), reference.log())).sum()
    assert close(expectation, 0.25 * math.log(2))  # 1/2 ln 2 + 1/4 ln 1 + 1/4 ln 1/2


@pytest.mark.parametrize("garbage", GARBAGE)
def test_shaped_rewards(garbage):
    mask = mask_of(2, 3, 1)
    kl = spoil(torch.tensor([[0.1, 0.2, 0.0], [0.5, -0.5, 1.0], [0.3, 0.0, 0.0]]), mask, garbage)
    rewards = shaped_rewards(kl, torch.tensor([1.0, 2.0, -3.0]), mask, kl_coef=0.1)
    # -0.1 kl at every token, the score at the last real one
    assert close(rewards, [[-0.01, 0.98, 0.0], [-0.05, 0.05, 1.9], [-3.03, 0.0, 0.0]])
    # per rollout: score - beta KL
    assert close(rewards.sum(dim=1), [1.0 - 0.1 * 0.3, 2.0 - 0.1 * 1.0, -3.0 - 0.1 * 0.3])


def test_without_a_leash_the_reward_is_the_score_alone():
    kl, scores = torch.tensor([[0.4, -0.3, 7.0], [1.0, 2.0, 3.0]]), torch.tensor([1.5, -0.25])
    rewards = shaped_rewards(kl, scores, mask_of(2, 3), kl_coef=0.0)
    assert close(rewards, [[0.0, 1.5, 0.0], [0.0, 0.0, -0.25]], tolerance=0)


def test_shaped_rewards_leave_their_inputs_alone():
    kl, scores = torch.ones(1, 2), torch.tensor([4.0])
    shaped_rewards(kl, scores, mask_of(2), kl_coef=1.0)
    assert kl.tolist() == [[1.0, 1.0]] and scores.tolist() == [4.0]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_generalized_advantages_of_three_two_and_one_tokens(garbage):
    mask = mask_of(3, 1, 2)
    rewards = spoil(torch.tensor([[0.0, 0.0, 1.0], [2.0, 0.0, 0.0], [-0.1, 1.0, 0.0]]), mask, garbage)
    values = spoil(torch.tensor([[0.5, 0.6, 0.7], [0.5, 0.0, 0.0], [0.2, 0.4, 0.0]]), mask, garbage)
    advantages, returns = generalized_advantages(rewards, values, mask, gamma=0.9, lam=0.95)
    # gamma lambda = 0.855
    # row 1: delta_2 = 1 + 0.9 * 0 - 0.7 = 0.3        A_2 = 0.3
    #        delta_1 = 0 + 0.9 * 0.7 - 0.6 = 0.03     A_1 = 0.03 + 0.855 * 0.3    = 0.2865
    #        delta_0 = 0 + 0.9 * 0.6 - 0.5 = 0.04     A_0 = 0.04 + 0.855 * 0.2865 = 0.2849575
    # row 2: delta_0 = 2 + 0.9 * 0 - 0.5 = 1.5        A_0 = 1.5
    # row 3: delta_1 = 1 + 0.9 * 0 - 0.4 = 0.6        A_1 = 0.6
    #        delta_0 = -0.1 + 0.9 * 0.4 - 0.2 = 0.06  A_0 = 0.06 + 0.855 * 0.6    = 0.573
    assert close(advantages, [[0.2849575, 0.2865, 0.3], [1.5, 0.0, 0.0], [0.573, 0.6, 0.0]])
    assert close(returns, [[0.7849575, 0.8865, 1.0], [2.0, 0.0, 0.0], [0.773, 1.0, 0.0]])


def test_with_lambda_one_returns_are_the_rewards_to_come():
    rewards = torch.tensor([[1.0, 2.0, 4.0]])
    values = torch.tensor([[9.0, -5.0, 3.0]])
    _, returns = generalized_advantages(rewards, values, mask_of(3), gamma=0.5, lam=1.0)
    assert close(returns, [[3.0, 4.0, 4.0]])  # 1 + 2/2 + 4/4, 2 + 4/2, 4: the values cancel


def test_with_lambda_zero_advantages_are_one_step_errors():
    rewards, values = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 0.25]])
    advantages, _ = generalized_advantages(rewards, values, mask_of(2), gamma=1.0, lam=0.0)
    assert close(advantages, [[0.75, 1.75]])  # 1 + 0.25 - 0.5, 2 + 0 - 0.25


@pytest.mark.parametrize("garbage", GARBAGE)
def test_whiten(garbage):
    mask = mask_of(3, 1)
    values = spoil(torch.tensor([[1.0, 2.0, 3.0], [6.0, 0.0, 0.0]]), mask, garbage)
    white = whiten(values, mask)
    # mean 12 / 4 = 3, variance (4 + 1 + 0 + 9) / 4 = 3.5
    spread = math.sqrt(3.5)
    assert close(white, [[-2 / spread, -1 / spread, 0.0], [3 / spread, 0.0, 0.0]])
    assert close(white[mask].mean(), 0.0)
    assert close(white[mask].var(unbiased=False), 1.0)


@pytest.mark.parametrize("garbage", GARBAGE)
def test_whiten_and_keep_the_mean(garbage):
    mask = mask_of(3, 1)
    values = spoil(torch.tensor([[1.0, 2.0, 3.0], [6.0, 0.0, 0.0]]), mask, garbage)
    white = whiten(values, mask, shift_mean=False)
    spread = math.sqrt(3.5)  # mean 3 and variance 3.5, as above
    assert close(white, [[3 - 2 / spread, 3 - 1 / spread, 3.0], [3 + 3 / spread, 0.0, 0.0]])


def test_whitening_equal_values_gives_zeros_or_their_mean():
    assert close(whiten(torch.full((1, 3), 7.0), mask_of(3)), [[0.0, 0.0, 0.0]])
    assert close(whiten(torch.full((1, 3), 7.0), mask_of(3), shift_mean=False), [[7.0, 7.0, 7.0]])


def test_scores_are_clipped_on_both_sides():
    scores = torch.tensor([-9.0, -2.0, -1.5, 0.0, 1.5, 2.0, 2.5])
    assert close(clip_scores(scores, 2.0), [-2.0, -2.0, -1.5, 0.0, 1.5, 2.0, 2.0], tolerance=0)
    assert close(clip_scores(scores, None), scores, tolerance=0)


@pytest.mark.parametrize("garbage", GARBAGE)
def test_explained_variance(garbage):
    mask = mask_of(2, 1)
    returns = spoil(torch.tensor([[1.0, 3.0], [5.0, 0.0]]), mask, garbage)
    values = spoil(torch.tensor([[1.0, 2.0], [4.0, 0.0]]), mask, garbage)
    # R - V = 0, 1, 1: variance 2/3 - 4/9 = 2/9; R = 1, 3, 5: variance 8/3; 1 - (2/9) / (8/3) = 11/12
    assert close(explained_variance(values, returns, mask), 11 / 12)
    assert close(explained_variance(returns, returns, mask), 1.0)
    assert close(explained_variance(torch.full((2, 2), 4.0), returns, mask), 0.0)
    # foreseen the wrong way round: R - V = 2R has four times the variance
    assert close(explained_variance(-returns, returns, mask), -3.0)


def test_padding_columns_and_row_order_change_no_return():
    generator = torch.Generator().manual_seed(0)
    mask = mask_of(4, 2, 3)
    kl, values = torch.randn(3, 4, generator=generator), torch.randn(3, 4, generator=generator)
    scores = torch.randn(3, generator=generator)

    def advantages_of(rows, width):
        wide = torch.nn.functional.pad
        extra = (0, width - 4)
        is_completion = wide(mask[rows], extra, value=False)
        rewards = shaped_rewards(wide(kl[rows], extra, value=1e9), scores[rows], is_completion, kl_coef=0.3)
        return generalized_advantages(rewards, wide(values[rows], extra, value=1e9), is_completion, 0.9, 0.95)

    advantages, returns = advantages_of([0, 1, 2], 4)
    for rows, width in [([2, 0, 1], 4), ([0, 1, 2], 9), ([1], 6)]:
        others = advantages_of(rows, width)
        assert close(others[0][:, :4], advantages[rows], tolerance=0)
        assert close(others[1][:, :4], returns[rows], tolerance=0)
        assert not others[0][:, 4:].any() and not others[1][:, 4:].any()
