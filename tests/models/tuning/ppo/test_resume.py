"""A training loop that is stopped anywhere and called again ends in the weights, and has the numbers, of an unbroken one."""

import copy
import logging
import math
import re

import pytest
import torch

from models.network.networks import ValueModel
from models.rewards.pairwise import train_reward
from models.rewards.scorer import Scorer
from models.settings.rewards import PairwiseReward
from models.settings.scoring.shaping import AdaptiveKL, FixedKL
from models.settings.sources import TextFile
from models.settings.training import Training
from models.settings.tuning import PTXConfig
from models.training.causal_lm import encode_demonstrations, pack_texts, train_language
from models.training.checkpoints import Checkpoints
from models.tuning.ppo.loop import train_ppo
from tests.models.conftest import CORPUS
from tests.models.ppo_examples import OF_THE_CLOCK, PROMPTS, SAMPLING, config_of, equal, share_of_letters, state_of
from tests.models.rewards.test_pairwise import FOUR, THREE
from tests.models.training.test_causal_lm import DEMONSTRATIONS
from tests.models.tuning.ppo.killed_ppo import run_killed, run_unbroken


def numbers(steps) -> list:
    """Steps without what depends on the clock."""
    return [
        (step.step, step.num_steps, {name: x for name, x in step.values.items() if name not in OF_THE_CLOCK})
        for step in steps
    ]


def check_all_interruptions(run, folder, num_steps: int, every: int = 1) -> None:
    """`run(checkpoints) -> (generator of steps, networks)` sets everything up anew, as another process would."""
    steps, networks = run(None)
    expected = numbers(steps)
    weights = [state_of(network) for network in networks]
    assert len(expected) == num_steps
    for stop in range(1, num_steps + 1):
        own = folder / f"stopped-after-{stop}"
        steps, networks = run(Checkpoints(own, every))
        taken = [next(steps) for _ in range(stop)]
        steps.close()
        assert numbers(taken) == expected[:stop]
        kept = sorted(own.glob("step-*"))
        assert [path.name for path in kept[-1:]] == [f"step-{n:08}" for n in [stop // every * every] if n]

        steps, networks = run(Checkpoints(own, every))
        assert numbers(steps) == expected, f"stopped after {stop}"
        for network, wanted in zip(networks, weights, strict=True):
            assert equal(state_of(network), wanted), f"stopped after {stop}"


def ppo_run(policy, tokenizer, compute, scorer=share_of_letters, texts=None, **changes):
    def run(checkpoints):
        own = copy.deepcopy(policy)
        value_model = ValueModel.from_policy(own)
        config = config_of(**changes)
        steps = train_ppo(
            own, value_model, tokenizer, Scorer(scorer), PROMPTS, config, SAMPLING, compute, 0, checkpoints, texts
        )
        return steps, [own, value_model]

    return run


ADAPTIVE = {"num_updates": 5, "batch_size": 6, "kl": AdaptiveKL(coef=0.1, target_nats=1e-3, horizon=80.0)}


@pytest.mark.parametrize("every", [1, 2])
def test_ppo(policy, tokenizer, compute, tmp_path, every):
    """Six rollouts an update from eight prompts: batches reach over the end of an epoch."""
    check_all_interruptions(ppo_run(policy, tokenizer, compute, **ADAPTIVE), tmp_path, num_steps=5, every=every)


OPTIONS = {
    "ptx": PTXConfig(source=TextFile(path="unread.txt"), coef=0.5, batch_size=4, sequence_length=16),
    "value_warmup_updates": 1,
    "score_clip": 0.5,
    "whiten_rewards": True,
    "policy_ema": 0.9,
    "target_kl": 8e-3,
}


def test_ppo_with_all_options(policy, tokenizer, compute, tmp_path):
    """Four sequences of text a step from 21: these reach over the end of an epoch too. Some updates end early."""
    run = ppo_run(policy, tokenizer, compute, texts=CORPUS, **ADAPTIVE | OPTIONS)
    check_all_interruptions(run, tmp_path, num_steps=5)
    steps = [step.values for step in run(None)[0]]
    num_optimizer_steps = [values["policy/num_optimizer_steps"] for values in steps]
    assert num_optimizer_steps[0] == 4 and 0 < min(num_optimizer_steps) < 4
    assert any(values["objective/score_clipfrac"] for values in steps)
    assert "loss/ptx" in steps[-1] and steps[-1]["objective/kl"] != 0


@pytest.mark.parametrize("policy_ema", [None, 0.5])
def test_ppo_that_a_kl_budget_ends(policy, tokenizer, compute, tmp_path, policy_ema):
    settings = {"num_updates": 8, "learning_rate": 3e-3, "kl": FixedKL(coef=0.0), "policy_ema": policy_ema}
    steps, _ = ppo_run(policy, tokenizer, compute, **settings)(None)
    free = [step.values["objective/kl"] for step in steps]
    exceeded = next(update for update in range(2, 8) if free[update] > max(free[:update]))
    settings["kl_budget_nats"] = (max(free[:exceeded]) + free[exceeded]) / 2
    check_all_interruptions(ppo_run(policy, tokenizer, compute, **settings), tmp_path, num_steps=exceeded)


def test_ppo_that_fails_in_the_middle_of_an_update(policy, tokenizer, compute, tmp_path):
    steps, networks = ppo_run(policy, tokenizer, compute, **ADAPTIVE)(None)
    expected, weights = numbers(steps), [state_of(network) for network in networks]
    calls = []

    def failing(prompts, completions):
        calls.append(1)
        if len(calls) in (1, 3, 4, 7):
            raise OSError("the scorer is gone")
        return share_of_letters(prompts, completions)

    for _ in range(4):
        steps, _ = ppo_run(policy, tokenizer, compute, failing, **ADAPTIVE)(Checkpoints(tmp_path, 1))
        with pytest.raises(OSError, match="the scorer is gone"):
            list(steps)
    steps, networks = ppo_run(policy, tokenizer, compute, failing, **ADAPTIVE)(Checkpoints(tmp_path, 1))
    assert numbers(steps) == expected
    assert all(equal(state_of(network), wanted) for network, wanted in zip(networks, weights, strict=True))
    assert len(calls) == 4 + 5, "each update was scored once, besides the four failures"


def test_the_reference_of_a_resumed_ppo_is_the_policy_that_the_run_began_with(policy, tokenizer, compute, tmp_path):
    run = ppo_run(policy, tokenizer, compute, num_updates=3)
    steps, _ = run(Checkpoints(tmp_path, 1))
    next(steps), next(steps)
    steps.close()
    *_, last = run(Checkpoints(tmp_path, 1))[0]
    assert last.values["objective/kl_k3"] > 0


@pytest.mark.parametrize("every", [1, 3])
def test_the_reward_model(reward_model, compute, tmp_path, every):
    config = PairwiseReward(num_epochs=4, batch_size=2, microbatch_tokens=1, learning_rate=1e-2)

    def run(checkpoints):
        own = copy.deepcopy(reward_model)
        return train_reward(own, [FOUR, THREE, FOUR], config, compute, 0, checkpoints), [own]

    check_all_interruptions(run, tmp_path, num_steps=6, every=every)


def test_the_normalisation_of_a_resumed_reward_model(reward_model, compute, tmp_path):
    config = PairwiseReward(num_epochs=2, batch_size=1, learning_rate=1e-2)
    models = [copy.deepcopy(reward_model) for _ in range(3)]
    list(train_reward(models[0], [FOUR, THREE], config, compute, 0))
    steps = train_reward(models[1], [FOUR, THREE], config, compute, 0, Checkpoints(tmp_path, 1))
    next(steps)
    steps.close()
    list(train_reward(models[2], [FOUR, THREE], config, compute, 0, Checkpoints(tmp_path, 1)))
    unbroken, _, resumed = (model.model.config for model in models)
    assert (resumed.score_mean, resumed.score_std) == (unbroken.score_mean, unbroken.score_std)
    assert not math.isclose(unbroken.score_std, 1.0)


@pytest.mark.parametrize("every", [1, 2])
def test_pretraining(policy, tokenizer, compute, tmp_path, every):
    sequences = pack_texts(tokenizer, CORPUS, length=16)[:10]
    config = Training(num_epochs=2, batch_size=3, microbatch_tokens=40, learning_rate=3e-3)

    def run(checkpoints):
        own = copy.deepcopy(policy)
        return train_language(own, sequences, config, compute, 0, checkpoints), [own]

    check_all_interruptions(run, tmp_path, num_steps=7, every=every)


def test_fine_tuning_with_dropout(gpt2, tokenizer, compute, tmp_path):
    """Dropout draws from the global generator, which another process would have seeded otherwise."""
    sequences = encode_demonstrations(tokenizer, DEMONSTRATIONS, context_length=96)
    config = Training(num_epochs=4, batch_size=2, microbatch_tokens=40, learning_rate=3e-3)
    seeds = iter([7] + [7, 99] * 6)  # unbroken; then each broken run begins as that did, and goes on from anywhere

    def run(checkpoints):
        torch.manual_seed(next(seeds))
        own = copy.deepcopy(gpt2)
        return train_language(own, sequences, config, compute, 0, checkpoints), [own]

    check_all_interruptions(run, tmp_path, num_steps=6)


def test_a_run_that_was_complete_takes_no_step_again(policy, tokenizer, compute, tmp_path):
    run = ppo_run(policy, tokenizer, compute, **ADAPTIVE)
    steps, networks = run(Checkpoints(tmp_path, 1))
    expected, weights = numbers(steps), state_of(networks[0])

    def never(prompts, completions):
        raise AssertionError("nothing is to be scored")

    steps, networks = ppo_run(policy, tokenizer, compute, never, **ADAPTIVE)(Checkpoints(tmp_path, 1))
    assert numbers(steps) == expected and equal(state_of(networks[0]), weights)


def test_a_run_goes_on_from_before_a_damaged_checkpoint(policy, tokenizer, compute, tmp_path, caplog):
    run = ppo_run(policy, tokenizer, compute, **ADAPTIVE)
    steps, networks = run(None)
    expected, weights = numbers(steps), state_of(networks[0])
    steps, _ = run(Checkpoints(tmp_path, 1))
    for _ in range(4):
        next(steps)
    steps.close()
    newest = tmp_path / "step-00000004" / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:1000])
    steps, networks = run(Checkpoints(tmp_path, 1))
    with caplog.at_level(logging.INFO):
        assert numbers(steps) == expected and equal(state_of(networks[0]), weights)
    assert re.search(r"refused: .*step-00000004: tensors\.safetensors", caplog.text)
    assert "resumed at step 3 of 5" in caplog.text


@pytest.mark.parametrize("num_kills", [6, pytest.param(20, marks=pytest.mark.nightly)])
def test_real_kills_at_random_moments(tmp_path, num_kills):
    unbroken = run_unbroken(tmp_path / "unbroken")
    broken = run_killed(tmp_path / "broken", num_kills)
    assert equal(broken.weights, unbroken.weights)
    assert broken.numbers == unbroken.numbers
    assert len(broken.resumed_at) >= num_kills / 2 and broken.resumed_at == sorted(broken.resumed_at)
