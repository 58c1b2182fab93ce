"""A number that is not finite ends a run before it can spread, and says whose it is and what to try."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from models.errors import TrainingError
from models.evaluation.matches import play_matches
from models.evaluation.writer import Writer
from models.generation.sampling import sample_completions
from models.network.networks import ValueModel
from models.rewards.pairwise import fix_normalisation, score_texts
from models.rewards.scorer import Scorer
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.rewards import PairwiseReward
from models.tuning.online import loop as online
from models.tuning.online.rollout import require_finite_rollout
from models.tuning.ppo.loop import train_ppo
from tests.models.ppo_examples import PROMPTS, SAMPLING, config_of, equal, share_of_letters, state_of

EXACT = Compute(device="cpu", precision="float32")
BAD = [math.nan, math.inf]


def spoil(network, bad: float = math.inf):
    """The network with one weight of its last block set to what no weight should be."""
    weights = [weight for name, weight in network.named_parameters() if "down_proj" in name]
    with torch.no_grad():
        weights[-1][0, 0] = bad
    return network


def run(policy, tokenizer, compute, scorer=share_of_letters, value_model=None, **changes):
    value_model = value_model or ValueModel.from_policy(policy)
    return train_ppo(
        policy, value_model, tokenizer, Scorer(scorer), PROMPTS, config_of(**changes), SAMPLING, compute, seed=0
    )


# a rollout


def test_a_finite_rollout_passes_whatever_stands_at_its_padding(rollout):
    padding = ~rollout.is_completion
    assert padding.any()
    fields = ("logprobs", "reference_logprobs", "values")
    garbage = {name: getattr(rollout, name).masked_fill(padding, math.nan) for name in fields}
    require_finite_rollout(3, replace(rollout, **garbage))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("field", "says"),
    [
        (
            "scores",
            "the reward model gives a score that is not finite; train it again with a lower reward.learning_rate",
        ),
        ("reference_logprobs", "the reference gives a log-probability .*; its weights are damaged or overflow"),
        ("logprobs", "the policy gives a log-probability .*; try a lower tuning.learning_rate"),
        ("values", "the value model gives a value .*; try a lower tuning.value_learning_rate"),
    ],
)
def test_one_number_that_is_not_finite_is_refused(rollout, field, says, bad):
    numbers = getattr(rollout, field).clone()
    numbers.view(-1)[0] = bad  # of the first completion's first token, which is real
    with pytest.raises(TrainingError, match=rf"update 3: {says}.*compute\.precision float32"):
        require_finite_rollout(3, replace(rollout, **{field: numbers}))


# the loop of PPO


@pytest.mark.parametrize("bad", BAD)
def test_a_value_model_with_a_broken_weight_is_refused(policy, tokenizer, compute, bad):
    before = state_of(policy)
    value_model = ValueModel.from_policy(policy)
    torch.nn.init.ones_(value_model.head.weight)
    with pytest.raises(TrainingError, match="update 0: the value model gives a value that is not finite"):
        next(run(policy, tokenizer, compute, value_model=spoil(value_model, bad)))
    assert equal(state_of(policy), before)


@pytest.mark.parametrize("bad", BAD)
def test_a_reference_with_a_broken_weight_is_refused(policy, tokenizer, compute, monkeypatch, bad):
    original = online.freeze
    monkeypatch.setattr(online, "freeze", lambda model: spoil(original(model), bad))
    with pytest.raises(TrainingError, match="update 0: the reference gives a log-probability that is not finite"):
        next(run(policy, tokenizer, compute))


def test_a_value_loss_that_overflows_is_refused_though_its_gradient_does_not(policy, tokenizer, compute):
    """Values of 1e20 are finite, and so is their gradient; their square is not, in float32."""
    value_model = ValueModel.from_policy(policy)
    value_model.mean = -1e20
    with pytest.raises(TrainingError, match=r"step 0: value_loss is not finite; try a lower learning_rate"):
        next(run(policy, tokenizer, compute, value_model=value_model, value_coef=1e-10))


def test_a_policy_that_a_learning_rate_blew_up_is_refused(policy, tokenizer, compute):
    with pytest.raises(TrainingError, match=r"not finite.*try a lower .*learning_rate"):
        list(run(policy, tokenizer, compute, num_updates=3, learning_rate=1e30))


def test_the_batch_that_only_measures_the_kl_budget_is_checked_too(policy, tokenizer, compute):
    """After the last update the KL is measured once more, and nan is not above any budget."""
    calls = []

    def scorer(prompts, completions):
        calls.append(1)
        return torch.full((len(completions),), math.nan if len(calls) == 3 else 0.0)

    with pytest.raises(TrainingError, match="update 2: the reward model gives a score that is not finite"):
        list(run(policy, tokenizer, compute, scorer=scorer, num_updates=2, kl_budget_nats=1e6))


# elsewhere


@pytest.mark.parametrize("top_p", [1.0, 0.9])
@pytest.mark.parametrize("bad", BAD)
def test_nothing_is_sampled_from_logits_that_are_not_finite(policy, tokenizer, bad, top_p):
    with pytest.raises(TrainingError, match=r"no token can be drawn: .*not finite.*lower learning_rate"):
        sample_completions(
            spoil(policy, bad),
            *(tokenizer, PROMPTS),
            **{"max_new_tokens": 4, "temperature": 1.0, "batch_size": 3, "seed": 0, "top_p": top_p},
        )


def test_a_token_that_a_model_forbids_is_no_error(policy, tokenizer):
    """A logit of -inf is a probability of zero."""
    forbid = policy.lm_head.register_forward_hook(
        lambda module, inputs, logits: logits.index_fill(-1, torch.arange(3, 200), -math.inf)
    )
    samples = sample_completions(
        policy, tokenizer, PROMPTS, max_new_tokens=4, temperature=1.0, batch_size=8, seed=0, top_p=0.9
    )
    forbid.remove()
    assert not {token for sample in samples for token in sample.tokens} & set(range(3, 200))


@pytest.mark.parametrize("bad", BAD)
def test_a_reward_model_whose_scores_are_not_finite_is_not_finished(reward_model, bad):
    with pytest.raises(
        TrainingError, match=r"logits on its training completions are not finite.*reward\.learning_rate"
    ):
        fix_normalisation(spoil(reward_model, bad), [[1, 20, 30, 2], [1, 40, 2]], PairwiseReward(), EXACT)


def test_an_evaluation_judged_by_scores_that_are_not_finite_is_refused(policy, other_policy, reward_model, tokenizer):
    """Else nan would lose every match without a word."""
    settings = {"num_samples": 1, "sampling": SamplingConfig(max_new_tokens=4), "seed": 0}
    writers = (Writer(policy, tokenizer), Writer(other_policy, tokenizer))
    judge = spoil(copy.deepcopy(reward_model))
    with pytest.raises(TrainingError, match="the reward model gives a score that is not finite"):
        play_matches(*writers, lambda *texts: score_texts(judge, tokenizer, *texts), PROMPTS[:4], **settings)
