"""Rejection sampling: the best of all that was drawn wins, what was cut off never does, and a run that is stopped anywhere goes on."""

import copy

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from models.errors import TrainingError
from models.generation.sampling import Sample
from models.rewards.scorer import Scorer
from models.settings.generation import SamplingConfig
from models.settings.training import LoRA, Training
from models.settings.tuning import RejectionSamplingConfig
from models.training.checkpoints import Checkpoints
from models.tuning import rejection_sampling
from models.tuning.progress import Progress
from models.tuning.rejection_sampling import Drawn, Winner, Winners, describe, train_on_winners
from tests.models.ppo_examples import PROMPTS, equal, share_of_letters, state_of
from tests.models.tuning.ppo.test_resume import check_all_interruptions, numbers
from tests.models.tuning.test_progress import SECOND_IS_BEST, VALIDATION, Scripted
from tests.tolerances import close

FOUR = PROMPTS[:4]
SAMPLING = SamplingConfig(max_new_tokens=40, temperature=0.8)
SFT = {"num_epochs": 3, "batch_size": 4, "learning_rate": 3e-3, "checkpoint_every": 1, "weight_decay": 0.0}


@pytest.fixture
def policy(policy):
    """A policy that ends at any of 150 of its 300 tokens: within forty it always does."""
    policy.generation_config.eos_token_id = list(range(150))
    return policy


def config_of(sft=None, **changes) -> RejectionSamplingConfig:
    settings = {"num_iterations": 3, "num_samples": 4, "sft": Training(**SFT | (sft or {}))}
    return RejectionSamplingConfig(**settings | changes)


def run_of(policy, tokenizer, compute, checkpoints=None, progress=None, score=share_of_letters, **changes):
    given = (policy, tokenizer, Scorer(score), FOUR, config_of(**changes), SAMPLING, compute, 0)
    return train_on_winners(*given, checkpoints, progress)


class Recorded:
    """A scorer that remembers what it gave, an iteration a row."""

    def __init__(self) -> None:
        self.scores: list[np.ndarray] = []

    def __call__(self, prompts, completions):
        scores = share_of_letters(prompts, completions)
        assert prompts == [prompt for prompt in FOUR for _ in range(4)]
        self.scores.append(scores.double().numpy().reshape(4, 4))
        return scores


def test_the_best_of_all_iterations_wins(policy, tokenizer, compute):
    recorded = Recorded()
    steps = list(run_of(policy, tokenizer, compute, score=recorded))
    assert len(steps) == 3 == len(recorded.scores)
    for number, step in enumerate(steps):
        drawn = np.concatenate(recorded.scores[: number + 1], axis=1)  # a row for each prompt
        assert close(step.values["objective/scores"], recorded.scores[number].mean(), 1e-5)
        assert close(step.values["objective/scores_of_winners"], drawn.max(axis=1).mean(), 1e-5)
        assert step.values["val/end_rate"] == 1.0 and step.values["val/prompts_without_winner"] == 0
    assert steps[-1].values["objective/scores"] > steps[0].values["objective/scores"] + 0.1, "it writes like them"


def test_the_control_learns_from_any_of_them(policy, tokenizer, compute):
    recorded, chosen = Recorded(), []
    for _ in range(2):
        steps = list(run_of(copy.deepcopy(policy), tokenizer, compute, score=recorded, choose="random"))
        chosen.append([step.values["objective/scores_of_winners"] for step in steps])
        assert all(step.values["val/prompts_without_winner"] == 0 for step in steps), "as many as the best are"
    assert chosen[0] == chosen[1], "by the seed"
    best = recorded.scores[0].max(axis=1).mean()
    assert chosen[0][0] < best - 1e-3


def drawn_of(*scores: float, ended: tuple[bool, ...]) -> Drawn:
    samples = [Sample([7, number], [-1.0, -1.0], "x", is_ended) for number, is_ended in enumerate(ended)]
    return Drawn(samples, torch.tensor(scores), list(ended))


def test_what_was_cut_off_does_not_win():
    winners = Winners()
    drawn = drawn_of(3.0, 1.0, 5.0, 4.0, ended=(False, True, False, False))
    winners.add_drawn(drawn, drawn.scores.tolist(), num_samples=2)
    assert winners.of_prompt == {0: Winner([7, 1], 1.0, 1.0)}
    told = describe(drawn, winners, num_prompts=2)
    assert (told["val/prompts_without_winner"], told["objective/scores_of_winners"], told["val/end_rate"]) == (
        1,
        1,
        0.25,
    )


def test_the_first_of_equal_ones_stays_and_chance_does_not_look_at_the_score():
    winners = Winners()
    winners.add_drawn(drawn_of(2.0, 2.0, ended=(True, True)), [2.0, 2.0], num_samples=2)
    assert winners.of_prompt[0].tokens == [7, 0]
    winners.add_drawn(drawn_of(9.0, 1.0, ended=(True, True)), [0.1, 2.5], num_samples=2)
    assert winners.of_prompt[0] == Winner([7, 1], 1.0, 2.5)


def test_where_nothing_ends_it_says_so(policy, tokenizer, compute):
    policy.generation_config.eos_token_id = []
    with pytest.raises(TrainingError, match=r"none of 16 completions ended by itself.*max_new_tokens"):
        next(run_of(policy, tokenizer, compute))


def test_a_score_that_is_not_finite_ends_it(policy, tokenizer, compute):
    with pytest.raises(TrainingError, match="a score that is not finite"):
        next(run_of(policy, tokenizer, compute, score=lambda prompts, texts: torch.full((len(texts),), torch.nan)))


def test_one_completion_of_a_prompt_is_no_choice():
    with pytest.raises(ValidationError, match="num_samples"):
        RejectionSamplingConfig(num_samples=1)


# resuming


@pytest.mark.parametrize("lora", [None, LoRA(rank=2)])
def test_stopped_between_iterations(policy, tokenizer, compute, tmp_path, lora):
    def run(checkpoints):
        own = copy.deepcopy(policy)
        return run_of(own, tokenizer, compute, checkpoints, sft={"lora": lora}), [own]

    check_all_interruptions(run, tmp_path, num_steps=3)


def test_stopped_within_an_iteration(policy, tokenizer, compute, tmp_path, monkeypatch):
    unbroken, broken, resumed = (copy.deepcopy(policy) for _ in range(3))
    expected = numbers(run_of(unbroken, tokenizer, compute))
    fine_tune, calls = rejection_sampling.train_language, []

    def breaking(*given):
        """The fine-tuning of the second iteration breaks behind the second of its three steps."""
        calls.append(given)
        for number, step in enumerate(fine_tune(*given)):
            if (len(calls), number) == (2, 1):
                raise OSError("the power is gone")
            yield step

    monkeypatch.setattr(rejection_sampling, "train_language", breaking)
    checkpoints = Checkpoints(tmp_path, 1)
    with pytest.raises(OSError, match="power"):
        list(run_of(broken, tokenizer, compute, checkpoints))
    kept = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("iteration-*/step-*"))
    assert kept[-1].startswith("iteration-1/step-0000000")
    assert numbers(run_of(resumed, tokenizer, compute, Checkpoints(tmp_path, 1))) == expected
    assert equal(state_of(resumed), state_of(unbroken)) and len(calls) == 4
    assert not list(tmp_path.glob("iteration-*")), "what is learned is kept once"


def test_the_policy_that_the_judge_likes_best_is_kept(policy, tokenizer, compute):
    once = copy.deepcopy(policy)
    progress = Progress(tokenizer, VALIDATION, SAMPLING, config_of(), seed=0, judge=Scripted(*SECOND_IS_BEST))
    list(run_of(policy, tokenizer, compute, progress=progress))
    assert progress.updates == [0, 1, 2, 3]
    next(run_of(once, tokenizer, compute))
    assert equal(state_of(policy), state_of(once))
