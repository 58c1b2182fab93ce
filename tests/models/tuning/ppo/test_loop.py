"""PPO: that it learns, that it stops, and that it refuses to start on numbers that do not fit together."""

import copy
import math

import pytest
import torch
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from models.errors import ConfigError, TrainingError
from models.generation.sampler import Sampler
from models.network.logprobs import token_logprobs
from models.network.networks import ValueModel, train_tokenizer
from models.rewards.scorer import Members, Scorer
from models.settings.scoring.shaping import AdaptiveKL, FixedKL
from models.tuning.online import loop as online
from models.tuning.online import values as learning
from models.tuning.ppo import loop as ppo
from models.tuning.ppo.loop import train_ppo
from models.tuning.ppo.tune import start_value_model
from tests.models.conftest import CORPUS
from tests.models.ppo_examples import OF_THE_CLOCK, PROMPTS, SAMPLING, config_of, equal, share_of_letters, state_of
from tests.tolerances import close

LEARNS = {"num_updates": 24, "batch_size": 32, "num_epochs": 3, "learning_rate": 5e-3}


def run(policy, tokenizer, compute, scorer=share_of_letters, seed=0, value_model=None, prompts=PROMPTS, **changes):
    value_model = value_model or ValueModel.from_policy(policy)
    scorer = scorer if isinstance(scorer, Scorer) else Scorer(scorer)
    return train_ppo(policy, value_model, tokenizer, scorer, prompts, config_of(**changes), SAMPLING, compute, seed)


# the loop


def test_an_update_reports_its_numbers(policy, tokenizer, compute):
    steps = list(run(policy, tokenizer, compute, num_updates=3))
    assert [(step.step, step.num_steps) for step in steps] == [(0, 3), (1, 3), (2, 3)]
    first, second, third = (step.values for step in steps)
    assert first["objective/kl"] == 0.0 and second["objective/kl"] != 0.0
    assert [values["episode"] for values in (first, second, third)] == [8, 16, 24]
    # from the peak, 1 - 0.9 * update / 3
    assert close([values["lr"] for values in (first, second, third)], [1e-3, 0.7e-3, 0.4e-3], tolerance=1e-12)
    assert all(math.isfinite(value) for values in (first, second, third) for value in values.values())


def test_the_reference_stays_as_the_policy_came_in(policy, tokenizer, compute, monkeypatch):
    frozen = []
    original = online.freeze
    monkeypatch.setattr(online, "freeze", lambda model: frozen.append(original(model)) or frozen[-1])
    before = state_of(policy)
    steps = list(run(policy, tokenizer, compute, num_updates=3))
    (reference,) = frozen
    assert reference is not policy and equal(state_of(reference), before)
    assert not equal(state_of(policy), before)
    assert not any(parameter.requires_grad for parameter in reference.parameters())
    assert all(parameter.grad is None for parameter in reference.parameters())
    assert steps[-1].values["objective/kl_k3"] > 0


def test_the_same_seed_gives_the_same_weights_bit_for_bit(policy, tokenizer, compute):
    trained, values = [], []
    for seed in (0, 0, 1):
        own = copy.deepcopy(policy)
        value_model = ValueModel.from_policy(own)
        steps = list(run(own, tokenizer, compute, seed=seed, value_model=value_model))
        trained.append((state_of(own), state_of(value_model)))
        values.append([{k: v for k, v in step.values.items() if k not in OF_THE_CLOCK} for step in steps])
    first, again, other = trained
    assert equal(first[0], again[0]) and equal(first[1], again[1]) and values[0] == values[1]
    assert not equal(first[0], other[0])


def test_the_state_of_the_global_generator_does_not_matter(policy, tokenizer, compute):
    states = []
    for seed in (1, 2):
        own = copy.deepcopy(policy)
        torch.manual_seed(seed)
        list(run(own, tokenizer, compute))
        states.append(state_of(own))
    assert equal(*states)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in (1, 2))])
def test_ppo_learns_what_the_score_rewards(policy, tokenizer, compute, seed):
    steps = run(policy, tokenizer, compute, seed=seed, prompts=PROMPTS * 4, **LEARNS)
    scores = [step.values["objective/scores"] for step in steps]
    # about 35 of 300 tokens are small letters and nothing else, so the score begins near -0.4; its highest is 1
    assert sum(scores[-3:]) / 3 > sum(scores[:3]) / 3 + 0.5


def test_a_strong_leash_keeps_the_policy_near_the_reference(policy, tokenizer, compute):
    reached = {}
    for coef in (0.0, 5.0):
        own = copy.deepcopy(policy)
        *_, last = run(own, tokenizer, compute, kl=FixedKL(coef=coef), **LEARNS | {"num_updates": 8})
        reached[coef] = last.values["objective/kl_k3"]
    assert reached[5.0] < 0.5 * reached[0.0]


def test_an_adaptive_leash_moves_with_the_kl_of_each_batch(policy, tokenizer, compute):
    kl = AdaptiveKL(coef=0.1, target_nats=1e-3, horizon=80.0)
    steps = [step.values for step in run(policy, tokenizer, compute, num_updates=3, kl=kl)]
    # KL 0 in the first batch: beta * (1 - 0.2 * 8 / 80); then as far above or below the target as KL lies
    assert close(steps[0]["objective/kl_coef"], 0.1, tolerance=1e-12)
    assert close(steps[1]["objective/kl_coef"], 0.098, tolerance=1e-12)
    error = max(-0.2, min(0.2, steps[1]["objective/kl"] / 1e-3 - 1))
    assert close(steps[2]["objective/kl_coef"], 0.098 * (1 + error * 8 / 80), tolerance=1e-12)


def test_the_kl_budget_ends_training_with_the_last_policy_within_it(policy, tokenizer, compute):
    settings = {"num_updates": 10, "learning_rate": 3e-3, "kl": FixedKL(coef=0.0)}
    free = [step.values["objective/kl"] for step in run(copy.deepcopy(policy), tokenizer, compute, **settings)]
    assert len(free) == 10, "without a budget all updates run"
    exceeded = next(update for update in range(2, 10) if free[update] > max(free[:update]))
    kl_budget = (max(free[:exceeded]) + free[exceeded]) / 2  # exceeded for the first time here, by less than twice

    before_update = [state_of(policy)]  # the weights that each update samples from
    steps = []
    for step in run(policy, tokenizer, compute, kl_budget_nats=kl_budget, **settings):
        steps.append(step)
        before_update.append(state_of(policy))
    assert [step.values["objective/kl"] for step in steps] == free[:exceeded]
    assert equal(state_of(policy), before_update[exceeded - 1])
    assert not equal(before_update[exceeded - 1], before_update[exceeded])


def test_a_generous_budget_changes_nothing(policy, tokenizer, compute):
    free, bounded = copy.deepcopy(policy), copy.deepcopy(policy)
    list(run(free, tokenizer, compute))
    assert len(list(run(bounded, tokenizer, compute, kl_budget_nats=1e6))) == 2
    assert equal(state_of(free), state_of(bounded))


def test_how_far_the_members_of_a_reward_disagree_is_told_and_each_is_asked_once(policy, tokenizer, compute):
    asked = []

    def three(prompts, completions):
        asked.append(len(completions))
        scores = share_of_letters(prompts, completions)
        return torch.stack([scores - 3, scores, scores + 6])

    members = Members(three, lambda scores: scores.amin(dim=0) + 3)
    told = [step.values for step in run(policy, tokenizer, compute, scorer=Scorer(members, members=members))]
    # -3, 0 and 6 around a mean of 1: sqrt((16 + 1 + 25) / 3)
    assert all(close(values["objective/score_disagreement"], math.sqrt(14), tolerance=1e-5) for values in told)
    assert asked == [8, 8]


def test_a_reward_without_members_disagrees_with_nobody(policy, tokenizer, compute):
    assert "objective/score_disagreement" not in next(run(policy, tokenizer, compute)).values


def test_the_scorer_sees_each_prompt_with_its_completion(policy, tokenizer, compute):
    seen = []

    def scorer(prompts, completions):
        seen.append((list(prompts), list(completions)))
        return share_of_letters(prompts, completions)

    list(run(policy, tokenizer, compute, scorer=scorer))
    assert len(seen) == 2
    for prompts, completions in seen:
        assert sorted(prompts) == sorted(PROMPTS)  # 8 prompts, 8 rollouts an update: each once
        assert len(completions) == 8 and not any("<pad>" in text or "</s>" in text for text in completions)


def test_minibatches_divide_the_rollouts_anew_each_epoch(policy, tokenizer, compute, monkeypatch):
    batches = []
    original = ppo.learn_minibatch

    def watch(policy, value_model, rollout, targets, rows, *settings):
        batches.append(rows)
        assert all(p.grad is None for model in (policy, value_model) for p in model.parameters()), "left from before"
        return original(policy, value_model, rollout, targets, rows, *settings)

    monkeypatch.setattr(ppo, "learn_minibatch", watch)
    list(run(policy, tokenizer, compute, num_updates=1, num_epochs=3, num_minibatches=4))
    assert [len(rows) for rows in batches] == [2] * 12
    epochs = [[row for rows in batches[start : start + 4] for row in rows] for start in (0, 4, 8)]
    assert all(sorted(epoch) == list(range(8)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


# what it refuses


def test_a_reference_that_is_not_the_policy_is_refused(policy, other_policy, tokenizer, compute, monkeypatch):
    monkeypatch.setattr(online, "freeze", lambda model: other_policy)
    before = state_of(policy)
    with pytest.raises(TrainingError, match=r"KL before the first update is .* instead of 0"):
        list(run(policy, tokenizer, compute))
    assert equal(state_of(policy), before)


def test_a_sampler_that_is_not_the_policy_is_refused(policy, other_policy, tokenizer, compute, monkeypatch):
    monkeypatch.setattr(online, "Sampler", lambda policy, compute: Sampler(other_policy, compute))
    with pytest.raises(TrainingError, match=r"the sampler drew with log-probabilities that are [\d.]+ nats off"):
        list(run(policy, tokenizer, compute))


def test_learning_at_another_temperature_than_sampling_is_refused(policy, tokenizer, compute, monkeypatch):
    def at_temperature_one(model, batch, places, *_):
        return token_logprobs(model, batch, places, 1.0)

    monkeypatch.setattr(learning, "token_logprobs", at_temperature_one)
    before = state_of(policy)
    with pytest.raises(TrainingError, match=r"probability ratio of the first minibatch is off 1 .*temperature"):
        list(run(policy, tokenizer, compute))
    assert equal(state_of(policy), before)


def test_dropout_while_learning_is_refused(gpt2, tokenizer, compute, monkeypatch):
    original = ppo.learn_minibatch
    monkeypatch.setattr(ppo, "learn_minibatch", lambda policy, *rest: original(policy.train(), *rest))
    with pytest.raises(TrainingError, match=r"probability ratio of the first minibatch is off 1 .*dropout"):
        list(run(gpt2, tokenizer, compute))


def test_dropout_that_eval_does_not_turn_off_is_refused(gpt2, tokenizer, compute, monkeypatch):
    monkeypatch.setattr(GPT2LMHeadModel, "eval", lambda model: model.train())
    with pytest.raises(TrainingError, match="KL before the first update is"):
        list(run(gpt2.train(), tokenizer, compute))


def test_a_model_with_dropout_trains_without_it(gpt2, tokenizer, compute):
    steps = list(run(gpt2.train(), tokenizer, compute))
    assert len(steps) == 2 and not any(module.training for module in gpt2.modules())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_not_finite_is_refused_at_the_start(policy, tokenizer, compute, bad):
    def scorer(prompts, completions):
        return torch.tensor([bad] + [0.0] * (len(completions) - 1))

    with pytest.raises(TrainingError, match="the reward model gives a score that is not finite"):
        list(run(policy, tokenizer, compute, scorer=scorer))


def test_a_score_that_is_not_finite_is_refused_later(policy, tokenizer, compute):
    calls = []

    def scorer(prompts, completions):
        calls.append(1)
        return torch.full((len(completions),), math.nan if len(calls) == 2 else 0.0)

    with pytest.raises(
        TrainingError, match=r"update 1: the reward model gives a score that is not finite; train it again"
    ):
        list(run(policy, tokenizer, compute, scorer=scorer))


def test_a_value_model_from_the_reward_needs_its_network_and_the_policys_tokens(policy, tokenizer, reward_model):
    def start(network, own_tokenizer, **changes):
        scorer = Scorer(share_of_letters, network=network, tokenizer=own_tokenizer)
        return start_value_model(config_of(**changes), policy, tokenizer, scorer)

    assert torch.equal(start(reward_model, copy.deepcopy(tokenizer)).head.weight, reward_model.model.score.weight)
    other: PreTrainedTokenizerFast = train_tokenizer([text[::-1] for text in CORPUS], vocab_size=300)
    with pytest.raises(ConfigError, match=r"another tokenizer than the policy; set tuning\.value_start to policy"):
        start(reward_model, other)
    with pytest.raises(ConfigError, match=r"tuning\.value_start is reward.*no network; set it to policy"):
        start(None, None, value_start="reward")
    for left_out_or_policy in ({}, {"value_start": "policy"}):
        assert not start(None, None, **left_out_or_policy).head.weight.any()
