"""PPO's options: each changes what it says, and nothing else."""

import copy
import itertools

import numpy as np
import pytest
import torch

from models.errors import ConfigError, DataError
from models.network.networks import ValueModel
from models.rewards.scorer import Scorer
from models.settings.scoring.shaping import AdaptiveKL, FixedKL
from models.settings.sources import TextFile
from models.settings.tuning import PTXConfig
from models.training.causal_lm import pack_texts
from models.tuning.online.optimizer import Critic, OnlineOptimizer
from models.tuning.online.pretraining_mix import PretrainingMix
from models.tuning.online.rollout import describe_rollout
from models.tuning.ppo import loop as ppo
from models.tuning.ppo.loop import train_ppo
from models.tuning.ppo.minibatch import learning_targets
from tests.models.conftest import CORPUS
from tests.models.ppo_examples import OF_THE_CLOCK, PROMPTS, SAMPLING, config_of, equal, share_of_letters, state_of
from tests.models.training.test_causal_lm import cross_entropies
from tests.tolerances import close

SOURCE = TextFile(path="unread.txt")


def ptx(**changes) -> PTXConfig:
    return PTXConfig(**{"source": SOURCE, "coef": 2.0, "batch_size": 3, "sequence_length": 16} | changes)


class Run:
    """A run of PPO on copies of a policy, with the weights after every optimizer step and the size of every minibatch."""

    def __init__(self, policy, tokenizer, compute, monkeypatch, scorer=share_of_letters, texts=None, **changes):
        self.policy = copy.deepcopy(policy)
        self.value_model = ValueModel.from_policy(self.policy)
        self.after_step, self.gradients, self.approx_kl = [state_of(self.policy)], [], []
        step, learn = OnlineOptimizer.step, ppo.learn_minibatch

        def watched_step(optimizer, update):
            self.gradients.append([None if p.grad is None else p.grad.clone() for p in self.policy.parameters()])
            step(optimizer, update)
            self.after_step.append(state_of(self.policy))

        def watched_learn(policy, value_model, *rest):
            assert all(p.grad is None for model in (policy, value_model) for p in model.parameters()), (
                "left from before"
            )
            numbers, error = learn(policy, value_model, *rest)
            self.approx_kl.append(numbers["policy/approxkl_avg"])
            return numbers, error

        with monkeypatch.context() as patched:
            patched.setattr(OnlineOptimizer, "step", watched_step)
            patched.setattr(ppo, "learn_minibatch", watched_learn)
            config = config_of(**changes)
            models = (self.policy, self.value_model)
            self.values, self.value_weights = [], []
            for one in train_ppo(
                *models, tokenizer, Scorer(scorer), PROMPTS, config, SAMPLING, compute, 0, ptx_texts=texts
            ):
                self.values.append({name: x for name, x in one.values.items() if name not in OF_THE_CLOCK})
                self.value_weights.append(state_of(self.value_model))

    def curve(self, name: str) -> list[float]:
        return [values[name] for values in self.values]

    def averaged(self, decay: float, num_steps: int) -> dict[str, np.ndarray]:
        """The moving average of the first so many optimizer steps, by numpy."""
        average = {name: tensor.double().numpy() for name, tensor in self.after_step[0].items()}
        for weights in self.after_step[1 : num_steps + 1]:
            average = {name: decay * old + (1 - decay) * weights[name].numpy() for name, old in average.items()}
        return average


@pytest.fixture
def run(policy, tokenizer, compute, monkeypatch):
    def start(**settings) -> Run:
        return Run(policy, tokenizer, compute, monkeypatch, **settings)

    return start


def same_training(one: Run, other: Run) -> bool:
    """Bit for bit: numbers, weights of the policy after every step, and the value model."""
    steps = zip(one.after_step, other.after_step, strict=True)
    return (
        one.values == other.values
        and all(equal(a, b) for a, b in steps)
        and equal(state_of(one.value_model), state_of(other.value_model))
    )


# pretraining text (PPO-ptx)


def test_each_optimizer_step_adds_the_gradient_of_the_next_token(run, policy, tokenizer):
    sequences = pack_texts(tokenizer, CORPUS, length=16)
    settings = {"num_updates": 1, "num_epochs": 1, "num_minibatches": 1, "max_grad_norm": 1e9}
    plain = run(**settings)
    mixed = run(**settings, ptx=ptx(batch_size=len(sequences)), texts=CORPUS)  # each sequence once
    tokens = torch.tensor([sequence.tokens for sequence in sequences])
    log_p = policy(tokens).logits[:, :-1].log_softmax(dim=-1)
    (-log_p.gather(-1, tokens[:, 1:, None]).mean()).backward()
    ((without,), (together,)) = (plain.gradients, mixed.gradients)
    for parameter, alone, both in zip(policy.parameters(), without, together, strict=True):
        assert close(both - alone, 2.0 * parameter.grad, tolerance=1e-5)
    assert max(parameter.grad.abs().max() for parameter in policy.parameters()) > 0.01
    expected = np.mean([loss for sequence in sequences for loss in cross_entropies(policy, sequence)])
    assert close(mixed.curve("loss/ptx"), [expected], tolerance=1e-5)


def test_pretraining_text_changes_neither_sampling_nor_the_value_model(run):
    plain, mixed = run(), run(ptx=ptx(), texts=CORPUS)
    assert not equal(plain.after_step[1], mixed.after_step[1])
    assert equal(plain.value_weights[0], mixed.value_weights[0])
    first, second = plain.values[0], mixed.values[0]
    sampled = [name for name in first if name.startswith(("objective/", "val/completion", "val/end"))]
    assert [first[name] for name in sampled] == [second[name] for name in sampled]
    assert "loss/ptx" in second and "loss/ptx" not in first


def test_a_policy_that_goes_on_reading_forgets_less(run):
    settings = {"num_updates": 12, "num_epochs": 1, "learning_rate": 3e-3, "kl": FixedKL(coef=0.0)}
    mixed = run(**settings, ptx=ptx(coef=5.0, batch_size=8), texts=CORPUS).curve("loss/ptx")
    assert mixed[-1] < 0.7 * mixed[0]


def test_the_text_is_read_in_an_order_of_its_own_every_sequence_once(policy, tokenizer, compute):
    mix = PretrainingMix(tokenizer, CORPUS, ptx(batch_size=3), 10_000, compute, seed=0)
    num_batches, rest = divmod(len(mix.sequences), 3)
    assert num_batches > 2 and not rest, "the example must be whole batches"
    losses = [mix.add_gradient(policy) for _ in range(num_batches)]
    expected = [loss for sequence in mix.sequences for loss in cross_entropies(policy, sequence)]
    assert close(np.mean(losses), np.mean(expected), tolerance=1e-5)
    assert len(set(losses)) > 1


def test_how_text_is_cut_into_microbatches_changes_nothing(policy, tokenizer, compute):
    gradients = []
    for microbatch_tokens in (16, 10_000):
        policy.zero_grad()
        PretrainingMix(tokenizer, CORPUS, ptx(batch_size=7), microbatch_tokens, compute, seed=0).add_gradient(policy)
        gradients.append([parameter.grad.clone() for parameter in policy.parameters()])
    assert all(close(one, other, tolerance=1e-5) for one, other in zip(*gradients, strict=True))


def test_settings_and_text_go_together(run):
    with pytest.raises(ConfigError, match=r"tuning\.ptx and the text"):
        run(ptx=ptx())
    with pytest.raises(ConfigError, match=r"tuning\.ptx and the text"):
        run(texts=CORPUS)
    with pytest.raises(DataError, match="fewer than one sequence of 16"):
        run(ptx=ptx(), texts=["the lamp"])
    with pytest.raises(ConfigError, match=r"tuning\.ptx\.sequence_length exceeds the 96 tokens"):
        run(ptx=ptx(sequence_length=97), texts=CORPUS)


# the value model alone


def test_in_the_first_updates_the_value_model_learns_alone(run):
    settings = {"num_updates": 4, "kl": AdaptiveKL(coef=0.1, target_nats=1e-3, horizon=80.0)}
    warmed = run(**settings, value_warmup_updates=2, ptx=ptx(), texts=CORPUS)
    start, *after = warmed.after_step
    assert all(equal(weights, start) for weights in after[:8]) and not equal(after[8], start)  # 2 updates of 4 steps
    assert not equal(warmed.value_weights[0], warmed.value_weights[1])
    kl = warmed.curve("objective/kl")
    assert kl[:3] == [0.0, 0.0, 0.0] and kl[3] != 0.0
    # the policy's learning rate begins at its peak when the policy does: 1 - 0.9 * 1 / 2 in the update after
    assert close(warmed.curve("lr"), [0.0, 0.0, 1e-3, 0.55e-3], tolerance=1e-12)
    # the KL coefficient waits as well: KL 0 counts from the first update in which the policy learns, beta * (1 - 0.2 * 8 / 80)
    assert close(warmed.curve("objective/kl_coef"), [0.1, 0.1, 0.1, 0.098], tolerance=1e-12)
    assert ["loss/ptx" in values for values in warmed.values] == [False, False, True, True]
    # what the value model learns meanwhile is what it would have learned beside the policy
    assert equal(warmed.value_weights[0], run(**settings).value_weights[0])


def test_while_it_waits_the_policy_has_no_moments(policy, value_model):
    optimizer = OnlineOptimizer(policy, config_of(num_updates=3), Critic(value_model, 1e-3, warmup_updates=1))
    num_policy, num_value = (len(list(model.parameters())) for model in (policy, value_model))

    def step(update: int) -> list[int]:
        for parameter in itertools.chain(policy.parameters(), value_model.parameters()):
            parameter.grad = torch.ones_like(parameter)
        optimizer.step(update)
        return sorted(optimizer.state_dict()["adam"]["state"])

    assert step(0) == list(range(num_policy, num_policy + num_value))
    optimizer.end_update()
    assert step(1) == list(range(num_policy + num_value))
    counts = [float(moments["step"]) for moments in optimizer.state_dict()["adam"]["state"].values()]
    assert sorted(counts) == [1.0] * num_policy + [2.0] * num_value


# scores and rewards


def test_learning_sees_scores_clipped_and_the_curves_the_share(run):
    def wide(prompts, completions):
        return 3 * share_of_letters(prompts, completions)

    def narrow(prompts, completions):
        return torch.from_numpy(np.clip(wide(prompts, completions).numpy(), -0.5, 0.5))

    clipped, expected = run(scorer=wide, score_clip=0.5), run(scorer=narrow)
    assert all(equal(a, b) for a, b in zip(clipped.after_step, expected.after_step, strict=True))
    assert equal(state_of(clipped.value_model), state_of(expected.value_model))
    assert clipped.curve("objective/rlhf_reward") == expected.curve("objective/rlhf_reward")
    assert clipped.curve("objective/scores") != expected.curve("objective/scores")
    assert all(0 < share <= 1 for share in clipped.curve("objective/score_clipfrac"))


def test_a_clip_beyond_all_scores_changes_nothing(run):
    plain, clipped = run(), run(score_clip=1.001)
    assert [values.pop("objective/score_clipfrac") for values in clipped.values] == [0.0, 0.0]
    assert same_training(plain, clipped)


def test_the_share_of_clipped_scores(rollout):
    rollout.scores[:] = torch.tensor([0.5, -0.5, 0.6, -0.6, 0.0, 7.0, 0.4, -0.4])
    kl = (rollout.logprobs - rollout.reference_logprobs).masked_fill(~rollout.is_completion, 0.0).double().numpy()
    numbers = describe_rollout(rollout, 0.25, score_clip=0.5)
    assert numbers["objective/score_clipfrac"] == 3 / 8  # 0.6, -0.6 and 7; 0.5 is as far as scores may go
    assert close(numbers["objective/scores"], 7 / 8)
    # clipped, the scores add up to 0.5
    assert close(numbers["objective/rlhf_reward"], 0.5 / 8 - 0.25 * kl.sum() / 8, tolerance=1e-5)


def test_whitened_rewards_are_what_is_learned_from(rollout):
    mask = rollout.is_completion.numpy()
    last = mask.sum(axis=1) - 1
    rewards = -0.1 * (rollout.logprobs - rollout.reference_logprobs).double().numpy()
    rewards[range(8), last] += rollout.scores.double().numpy()
    mean, std = rewards[mask].mean(), rewards[mask].std()
    expected = np.where(mask, (rewards - mean) / std + mean, 0.0)
    targets = learning_targets(rollout, 0.1, config_of(whiten_rewards=True, lam=1.0))
    assert close(targets.rewards, expected, tolerance=1e-5)
    # with gamma and lambda 1 a return is the sum of the rewards to come
    returns = np.where(mask, expected[:, ::-1].cumsum(axis=1)[:, ::-1], 0.0)
    assert close(targets.returns, returns, tolerance=1e-5)
    assert not close(learning_targets(rollout, 0.1, config_of(lam=1.0)).rewards, expected, tolerance=0.1)


def test_whitened_rewards_change_only_what_is_learned(run):
    plain, white = run(), run(whiten_rewards=True)
    assert not equal(plain.after_step[1], white.after_step[1])
    first, second = plain.values[0], white.values[0]
    assert all(first[name] == second[name] for name in first if name.startswith("objective/"))
    assert first["val/mean_return"] != second["val/mean_return"]


# the average of the policy's weights


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_the_average_is_handed_over_at_the_end_and_touches_nothing_before(run, decay):
    plain, averaged = run(num_updates=3), run(num_updates=3, policy_ema=decay)
    assert same_training(plain, averaged)
    given = state_of(averaged.policy)
    assert all(close(given[name], weights) for name, weights in plain.averaged(decay, num_steps=12).items())
    assert equal(given, plain.after_step[-1]) == (decay == 0.0)


def test_the_kl_budget_keeps_the_average_of_that_moment(run):
    settings = {"num_updates": 10, "learning_rate": 3e-3, "kl": FixedKL(coef=0.0)}
    plain = run(**settings)
    free = plain.curve("objective/kl")
    exceeded = next(update for update in range(2, 10) if free[update] > max(free[:update]))
    kl_budget = (max(free[:exceeded]) + free[exceeded]) / 2  # exceeded for the first time here
    bounded = run(**settings, kl_budget_nats=kl_budget, policy_ema=0.5)
    assert bounded.curve("objective/kl") == free[:exceeded]
    given = state_of(bounded.policy)
    within = plain.averaged(0.5, num_steps=4 * (exceeded - 1))  # 4 steps an update
    beyond = plain.averaged(0.5, num_steps=4 * exceeded)
    assert all(close(given[name], weights) for name, weights in within.items())
    assert not all(close(given[name], weights, tolerance=1e-4) for name, weights in beyond.items())


def test_the_last_update_is_held_against_the_budget_too(run):
    bounded = run(num_updates=1, learning_rate=3e-3, kl_budget_nats=1e-6, policy_ema=0.5)
    assert len(bounded.values) == 1 and not equal(bounded.after_step[-1], bounded.after_step[0])
    assert equal(state_of(bounded.policy), bounded.after_step[0])


# the end of an update


def test_an_update_ends_before_the_step_that_would_go_too_far(run):
    free = run(num_updates=1, num_epochs=4)
    kl = free.approx_kl  # of each of 8 minibatches, before its step
    assert kl[0] < 1e-9
    stop = next(number for number in range(2, 8) if kl[number] > max(kl[:number]))
    target = (max(kl[:stop]) + kl[stop]) / 2 / 1.5
    stopped = run(num_updates=2, num_epochs=4, target_kl=target, learning_rate=1e-3)
    assert stopped.approx_kl[: stop + 1] == kl[: stop + 1]
    assert stopped.curve("policy/num_optimizer_steps")[0] == stop
    assert all(equal(a, b) for a, b in zip(free.after_step[: stop + 1], stopped.after_step, strict=False))
    # the next update begins afresh: its first minibatch has ratio 1 again
    assert stopped.approx_kl[stop + 1] < 1e-9
    assert close(stopped.values[0]["policy/approxkl_avg"], np.mean(kl[: stop + 1]))


def test_a_target_that_is_never_reached_changes_nothing(run):
    plain, watched = run(), run(target_kl=1e6)
    assert same_training(plain, watched)
    assert watched.curve("policy/num_optimizer_steps") == [4, 4]
