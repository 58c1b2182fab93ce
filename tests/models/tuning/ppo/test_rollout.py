"""Rollouts, and what is learned from one: numbers, gradients, and that padding and microbatches change neither."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from models.generation.sampling import Sample
from models.network.dialogue import encode_prompt
from models.rewards.scorer import Scorer
from models.settings.scoring.shaping import MissingEnd
from models.tuning.online.rollout import (
    Rollout,
    apply_missing_end,
    describe_rollout,
    evaluate_samples,
    what_teaches_nothing,
)
from models.tuning.ppo.minibatch import Targets, learn_minibatch, learning_targets
from tests.models.ppo_examples import END, PROMPTS, SAMPLING, config_of, rollout_of
from tests.tolerances import close

# rollouts


def test_a_rollout_holds_what_each_network_says_of_each_completion_alone(
    policy, other_policy, value_model, tokenizer, compute, rollout
):
    assert sorted(set(rollout.is_completion.sum(dim=1).tolist()))[0] == 2, "completions of unequal length"
    for row, prompt in enumerate(PROMPTS):
        mask = rollout.is_completion[row]
        start = encode_prompt(tokenizer, prompt)
        tokens = rollout.sequences[row][len(start) :]
        assert rollout.sequences[row][: len(start)] == start and len(tokens) == mask.sum()
        ids = torch.tensor([start + tokens])
        places = range(len(start) - 1, len(start) + len(tokens) - 1)
        with torch.no_grad():
            for model, held in ((policy, rollout.logprobs), (other_policy, rollout.reference_logprobs)):
                log_p = torch.log_softmax(model(ids).logits[0].double() / 0.8, dim=-1)
                expected = [log_p[place, token].item() for place, token in zip(places, tokens, strict=True)]
                assert close(held[row][mask], expected, tolerance=1e-5)
            hidden = value_model.body(ids).last_hidden_state[0]
            assert close(rollout.values[row][mask], value_model.head(hidden)[list(places), 0], tolerance=1e-5)


@pytest.mark.parametrize("microbatch_tokens", [1, 70])
def test_the_size_of_microbatches_changes_no_rollout(
    policy, other_policy, value_model, tokenizer, compute, rollout, microbatch_tokens
):
    again = rollout_of(policy, other_policy, value_model, tokenizer, compute, microbatch_tokens=microbatch_tokens)
    mask = rollout.is_completion
    for name in ("logprobs", "reference_logprobs", "values", "entropy"):
        assert close(getattr(again, name)[mask], getattr(rollout, name)[mask], tolerance=1e-5)
    assert torch.equal(again.scores, rollout.scores) and torch.equal(again.is_completion, mask)


@pytest.mark.parametrize(("kind", "expected"), [("fixed", [1.5, -3.0, 0.5]), ("penalty", [1.5, -1.0, 0.5])])
def test_a_missing_end_costs(kind, expected):
    ended = torch.tensor([True, False, True])  # the second: replaced by -3, or 2 - 3
    scores = apply_missing_end(torch.tensor([1.5, 2.0, 0.5]), ended, MissingEnd(kind=kind, score=-3.0))
    assert close(scores, expected, tolerance=0)


def test_missing_ends_are_marked_down_in_a_rollout(policy, value_model, tokenizer, compute):
    missing_end = MissingEnd(kind="fixed", score=-9.0)
    rollout = rollout_of(policy, policy, value_model, tokenizer, compute, missing_end=missing_end)
    assert rollout.ended[0] and not rollout.ended.all()
    for row in range(len(PROMPTS)):
        last = rollout.sequences[row][-1]
        assert rollout.ended[row] == (last == END)
        assert (rollout.scores[row] == -9.0) == (last != END)


def test_a_completion_that_the_scorer_cannot_read_is_one_that_has_not_ended(policy, value_model, tokenizer, compute):
    """Sixty halves of letters are sixty tokens, and 180 when their text is read again."""
    scorer = Scorer(
        lambda _, texts: torch.tensor([float(len(one)) for one in texts]), reads=lambda _, text: len(text) < 60
    )
    samples = [Sample([40, END], [-1.0] * 2, text, ended=True) for text in ("x", "\ufffd" * 60, "yy")]
    prompts = PROMPTS[:3]
    sequences = [[*encode_prompt(tokenizer, prompt), 40, END] for prompt in prompts]
    missing_end = MissingEnd(kind="penalty", score=-3.0)
    given = (policy, policy, value_model, scorer, prompts, samples, sequences)
    rollout = evaluate_samples(*given, config_of(missing_end=missing_end), 1.0, compute)
    assert rollout.ended.tolist() == [True, False, True] and rollout.scores.tolist() == [1.0, -3.0, 2.0]


@pytest.mark.parametrize(
    ("ended", "scores", "told"),
    [
        ([False, False], [-3.0, -3.0], ["none of 2 completions ended", "all 2 completions have the score -3"]),
        ([False, False], [1.0, 2.0], ["none of 2 completions ended"]),
        ([True, False], [0.5, 0.5], ["all 2 completions have the score 0.5"]),
        ([True, False], [0.5, 0.75], []),
    ],
)
def test_a_batch_that_teaches_nothing_is_told(ended, scores, told):
    rollout = dataclasses.replace(handmade_rollout(), ended=torch.tensor(ended), scores=torch.tensor(scores))
    complaints = what_teaches_nothing(rollout)
    assert len(complaints) == len(told)
    assert all(complaint.startswith(begun) for complaint, begun in zip(complaints, told, strict=True))


def handmade_rollout(garbage: float = 0.0) -> Rollout:
    """Two completions, of two tokens and of one; `garbage` stands at the padding."""
    return Rollout(
        sequences=[[1, 1, 1, 1], [1, 1, 1]],
        is_completion=torch.tensor([[True, True], [True, False]]),
        sampler_logprobs=torch.tensor([[-1.25, -1.5], [-1.0, garbage]]),
        logprobs=torch.tensor([[-1.0, -2.0], [-1.0, garbage]]),
        reference_logprobs=torch.tensor([[-1.5, -1.75], [-2.0, garbage]]),
        values=torch.tensor([[0.5, 0.25], [1.0, garbage]]),
        entropy=torch.tensor([[1.0, 2.0], [4.0, garbage]]),
        scores=torch.tensor([2.0, 1.0]),
        ended=torch.tensor([True, False]),
    )


@pytest.mark.parametrize("garbage", [0.0, math.nan, 1e9])
def test_the_numbers_of_a_sampled_batch(garbage):
    numbers = describe_rollout(handmade_rollout(garbage), kl_coef=0.5)
    # k1: 0.5 - 0.25 = 0.25, and 1; k3: (e^-0.5 - 1 + 0.5) + (e^0.25 - 1 - 0.25), and e^-1 - 1 + 1
    expected = {
        "objective/kl": 0.625,
        "objective/kl_k3": ((math.exp(-0.5) - 0.5) + (math.exp(0.25) - 1.25) + math.exp(-1)) / 2,
        "objective/kl_coef": 0.5,
        "objective/entropy": 3.5,  # (1 + 2 + 4) / 2
        "objective/scores": 1.5,
        "objective/scores_std": 0.5,
        "objective/non_score_reward": -0.3125,
        "objective/rlhf_reward": 1.1875,  # 1.5 - 0.5 * 0.625
        "val/completion_length": 1.5,
        "val/end_rate": 0.5,
        "val/num_eos_tokens": 1,
        "val/sampler_gap": 0.25,  # (0.25 + 0.5 + 0) / 3
        "val/padding_share": 0.125,  # sequences of 4 and 3 tokens: one place of eight
    }
    assert numbers.keys() == expected.keys()
    for name, value in expected.items():
        assert close(numbers[name], value), name


@pytest.mark.parametrize("garbage", [0.0, math.nan, 1e9])
def test_the_lessons_of_a_rollout(garbage):
    config = config_of(gamma=0.9, lam=0.95, whiten_advantages=False)
    targets = learning_targets(handmade_rollout(garbage), 0.5, config)
    # r = -0.5 * 0.5, -0.5 * -0.25 + 2; and -0.5 * 1 + 1
    assert close(targets.rewards, [[-0.25, 2.125], [0.5, 0.0]])
    # delta_1 = 2.125 - 0.25 = 1.875, delta_0 = -0.25 + 0.9 * 0.25 - 0.5 = -0.525, A_0 = -0.525 + 0.855 * 1.875
    assert close(targets.advantages, [[1.078125, 1.875], [-0.5, 0.0]])
    assert close(targets.returns, [[1.578125, 2.125], [0.5, 0.0]])
    white = learning_targets(handmade_rollout(garbage), 0.5, config_of(gamma=0.9, lam=0.95))
    own = white.advantages[torch.tensor([[True, True], [True, False]])]
    assert close(own.mean(), 0.0) and close(own.var(unbiased=False), 1.0)
    assert close(white.returns, targets.returns, tolerance=0)  # returns are taken before whitening


@pytest.mark.parametrize("kl_coef", [0.0, 0.3])
def test_the_rewards_of_a_rollout_sum_to_its_score_minus_beta_kl(rollout, kl_coef):
    targets = learning_targets(rollout, kl_coef, config_of())
    kl = (rollout.logprobs - rollout.reference_logprobs).masked_fill(~rollout.is_completion, 0.0).sum(dim=1)
    assert kl.abs().max() > 0.01
    assert close(targets.rewards.sum(dim=1), rollout.scores - kl_coef * kl)


# learning from one minibatch


def gradients(*models: nn.Module) -> list[torch.Tensor]:
    return [
        torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        for model in models
        for parameter in model.parameters()
    ]


def random_targets(rollout: Rollout) -> Targets:
    generator = torch.Generator().manual_seed(3)
    shape = rollout.is_completion.shape
    advantages, returns = (
        torch.randn(shape, generator=generator).masked_fill(~rollout.is_completion, 0.0) for _ in range(2)
    )
    return Targets(torch.zeros(shape), advantages, returns)


ROWS = [6, 0, 3, 5, 1]


def test_at_ratio_one_the_gradient_is_the_plain_policy_gradient(policy, value_model, tokenizer, compute, rollout):
    targets = random_targets(rollout)
    numbers, ratio_error = learn_minibatch(
        policy, value_model, rollout, targets, ROWS, config_of(), SAMPLING.temperature, compute
    )
    assert ratio_error < 1e-5 and close(numbers["val/ratio"], 1.0, tolerance=1e-5)
    computed = gradients(policy)
    policy.zero_grad()

    # -mean(A log pi) and value_coef * mean((V - R)^2 / 2), sequence by sequence without padding
    num_tokens = rollout.is_completion[ROWS].sum()
    value_gradients = gradients(value_model)
    value_model.zero_grad()
    for row in ROWS:
        mask = rollout.is_completion[row]
        tokens = torch.tensor(rollout.sequences[row])
        num_own = int(mask.sum())
        log_p = torch.log_softmax(policy(tokens[None]).logits[0] / 0.8, dim=-1)[-num_own - 1 : -1]
        own = log_p[range(num_own), tokens[-num_own:]]
        (-(targets.advantages[row][mask] * own).sum() / num_tokens).backward()
        values = value_model.head(value_model.body(tokens[None]).last_hidden_state[0, -num_own - 1 : -1])[:, 0]
        (0.1 * 0.5 * ((values - targets.returns[row][mask]) ** 2).sum() / num_tokens).backward()
    for one, other in zip(computed, gradients(policy), strict=True):
        assert close(one, other, tolerance=1e-5)
    for one, other in zip(value_gradients, gradients(value_model), strict=True):
        assert close(one, other, tolerance=1e-5)
    assert max(one.abs().max() for one in computed) > 0.01
    assert max(one.abs().max() for one in value_gradients) > 0.01


def test_microbatches_of_any_size_give_the_same(other_policy, value_model, compute, rollout):
    """With the policy already moved: ratios differ from 1, and some are clipped."""
    targets = random_targets(rollout)
    results = []
    for microbatch_tokens in (1, 70, 8192):
        other_policy.zero_grad()
        value_model.zero_grad()
        config = config_of(microbatch_tokens=microbatch_tokens, clip=0.05)
        numbers, error = learn_minibatch(
            other_policy, value_model, rollout, targets, ROWS, config, SAMPLING.temperature, compute
        )
        results.append((gradients(other_policy, value_model), numbers, error))
    (expected, numbers, error), *others = results
    assert 0 < numbers["policy/clipfrac_avg"] < 1
    for other_gradients, other_numbers, other_error in others:
        for one, other in zip(expected, other_gradients, strict=True):
            assert close(one, other, tolerance=1e-5)
        for name, value in numbers.items():
            assert close(value, other_numbers[name], tolerance=1e-5), name
        assert close(error, other_error, tolerance=1e-5)


def test_the_numbers_of_a_minibatch_are_means_over_real_tokens(other_policy, value_model, compute, rollout):
    targets = random_targets(rollout)
    old = dataclasses.replace(rollout, values=rollout.values + 0.15)
    config = config_of(clip=0.05, value_clip=0.1)
    numbers, error = learn_minibatch(
        other_policy, value_model, old, targets, ROWS, config, SAMPLING.temperature, compute
    )
    mask = rollout.is_completion[ROWS]
    # the rollout's reference is other_policy, so the ratio now is exp(reference - old)
    log_ratio = (rollout.reference_logprobs - rollout.logprobs)[ROWS][mask].double()
    ratio = log_ratio.exp()
    advantages, returns = targets.advantages[ROWS][mask].double(), targets.returns[ROWS][mask].double()
    surrogate = torch.stack([ratio * advantages, ratio.clamp(0.95, 1.05) * advantages]).min(dim=0).values
    values = rollout.values[ROWS][mask].double()  # 0.15 below the old ones, and so clipped to 0.1 below
    errors = torch.stack([(values - returns) ** 2, (values + 0.05 - returns) ** 2]).max(dim=0).values
    expected = {
        "loss/policy_avg": -surrogate.mean(),
        "loss/value_avg": errors.mean() / 2,
        "policy/approxkl_avg": (log_ratio**2).mean() / 2,
        "policy/clipfrac_avg": ((ratio < 0.95) | (ratio > 1.05)).double().mean(),
        "val/clipfrac_avg": 1.0,
        "val/ratio": ratio.mean(),
    }
    assert numbers.keys() == expected.keys()
    for name, value in expected.items():
        assert close(numbers[name], value, tolerance=1e-5), name
    assert close(error, (ratio - 1).abs().max(), tolerance=1e-5)


@pytest.mark.parametrize("garbage", [-1e9, 1e9, math.inf, math.nan])
def test_garbage_at_padding_changes_no_gradient_and_no_number(other_policy, value_model, compute, rollout, garbage):
    targets, padding = random_targets(rollout), ~rollout.is_completion
    assert padding[ROWS].any()
    names = ("logprobs", "reference_logprobs", "values", "entropy")
    spoiled = dataclasses.replace(rollout, **{n: getattr(rollout, n).masked_fill(padding, garbage) for n in names})
    spoiled_targets = Targets(
        *(getattr(targets, f.name).masked_fill(padding, garbage) for f in dataclasses.fields(targets))
    )
    results = []
    for one, own_targets in ((rollout, targets), (spoiled, spoiled_targets)):
        other_policy.zero_grad()
        value_model.zero_grad()
        numbers, error = learn_minibatch(
            other_policy, value_model, one, own_targets, ROWS, config_of(), SAMPLING.temperature, compute
        )
        results.append((numbers, error, gradients(other_policy, value_model)))
    assert results[0][:2] == results[1][:2]
    for plain, other in zip(results[0][2], results[1][2], strict=True):
        assert close(plain, other)
