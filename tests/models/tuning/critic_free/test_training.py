"""Whole trainings without a critic: they learn, outlive a kill, and report what PPO reports."""

import copy

import pytest

from models.errors import TrainingError
from models.network.logprobs import token_logprobs
from models.settings.scoring.shaping import AdaptiveKL
from models.settings.sources import TextFile
from models.settings.training import LoRA
from models.settings.tuning import PTXConfig
from models.tuning.critic_free import minibatch
from tests.models.conftest import CORPUS
from tests.models.ppo_examples import PROMPTS, equal, share_of_letters, state_of
from tests.models.tuning.critic_free.examples import KINDS, run
from tests.models.tuning.ppo.test_resume import check_all_interruptions


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_what_the_score_rewards(kind, policy, tokenizer, compute):
    learns = {"num_updates": 24, "batch_size": 32, "num_epochs": 2, "learning_rate": 5e-3}
    steps = run(kind, policy, tokenizer, compute, prompts=PROMPTS * 4, **learns)
    scores = [step.values["objective/scores"] for step in steps]
    # as PPO's test: it begins near -0.4; its highest is 1
    assert sum(scores[-3:]) / 3 > sum(scores[:3]) / 3 + 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_each_prompt_of_a_batch_gets_its_completions_and_they_stand_together(kind, policy, tokenizer, compute):
    seen = []

    def scorer(prompts, completions):
        seen.append(list(prompts))
        return share_of_letters(prompts, completions)

    list(run(kind, policy, tokenizer, compute, scorer, prompts=["the lamp", "the nut", "the fuse"]))
    assert all(asked == [one for one in asked[::4] for _ in range(4)] for asked in seen)
    assert [len(set(asked)) for asked in seen] == [2, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_reports_what_ppo_reports_but_for_values(kind, policy, tokenizer, compute):
    first, second = (step.values for step in run(kind, policy, tokenizer, compute))
    assert first["objective/kl"] == 0.0 and second["objective/kl"] != 0.0
    assert first.keys() >= {
        "objective/scores",
        "objective/entropy",
        "val/end_rate",
        "policy/approxkl_avg",
        "val/ratio",
        "lr",
    }
    assert 0 <= first["objective/tied_prompts"] <= 1
    assert not any(
        name.startswith(("loss/value", "val/clipfrac", "val/explained", "val/mean_return")) for name in first
    )
    assert ("objective/rlhf_reward" in first) is (kind == "rloo"), "in GRPO the KL is no part of the reward"
    assert ("loss/kl_avg" in first) is (kind == "grpo")


def test_a_stronger_leash_keeps_grpo_nearer(policy, tokenizer, compute):
    """There the KL stands in the loss; that of RLOO is a part of the reward, whose numbers are checked beside TRL's."""
    reached = {}
    for coef in (0.0, 5.0):
        *_, last = run(
            "grpo",
            copy.deepcopy(policy),
            tokenizer,
            compute,
            num_updates=8,
            learning_rate=5e-3,
            kl={"kind": "fixed", "coef": coef},
        )
        reached[coef] = last.values["objective/kl_k3"]
    assert reached[5.0] < 0.5 * reached[0.0]


OPTIONS = {
    "num_updates": 3,
    "kl": AdaptiveKL(coef=0.1, target_nats=1e-3, horizon=80.0),
    "ptx": PTXConfig(source=TextFile(path="unread.txt"), coef=0.5, batch_size=4, sequence_length=16),
    "score_clip": 0.5,
    "policy_ema": 0.9,
    "lora": LoRA(rank=2),
    "target_kl": 8e-3,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_killed_goes_on_bit_for_bit(kind, policy, tokenizer, compute, tmp_path):
    def runs(checkpoints):
        own = copy.deepcopy(policy)
        options = OPTIONS if kind == "rloo" else {"num_updates": 3}
        texts = CORPUS if kind == "rloo" else None
        return run(kind, own, tokenizer, compute, checkpoints=checkpoints, texts=texts, **options), [own]

    check_all_interruptions(runs, tmp_path, num_steps=3)
    *_, last = runs(None)[0]
    assert last.values["objective/kl"] != 0 and ("loss/ptx" in last.values) is (kind == "rloo")


@pytest.mark.parametrize("kind", KINDS)
def test_learning_at_another_temperature_than_sampling_is_refused(kind, policy, tokenizer, compute, monkeypatch):
    monkeypatch.setattr(
        minibatch, "token_logprobs", lambda model, batch, places, *_: token_logprobs(model, batch, places)
    )
    before = state_of(policy)
    with pytest.raises(TrainingError, match=r"probability ratio of the first minibatch is off 1 .*temperature"):
        list(run(kind, policy, tokenizer, compute))
    assert equal(state_of(policy), before)
