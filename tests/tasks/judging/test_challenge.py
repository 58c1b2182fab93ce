"""A challenger that its own reward loves and the facts do not: the stage that judges it, and the conditions of a promotion."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from models.evaluation.judges import own_reward
from models.evaluation.metrics import Game
from models.evaluation.paired import Paired
from models.evaluation.promotion import Challenge, check_challenge
from models.records import write_records
from models.rewards.scorer import Scorer
from models.settings.compute import Compute
from models.settings.judges import EvaluationConfig
from models.settings.retraining import PromotionConfig
from tasks.judging.challenge import GAMES, challenge_champion
from tests.tasks.hand_made import make

PROMPTS = [f"name[Place {number}], eatType[pub], area[riverside]" for number in range(30)]


def longer_is_better(folder: Path, compute: Compute) -> Scorer:
    """A reward that a policy can please without a single fact."""
    return Scorer(lambda prompts, completions: torch.tensor([float(len(text)) for text in completions]))


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """The figures of a challenger that adds what nobody asked for, by the judges of deployments/e2e.yaml that need no model."""
    played = [
        Game(
            prompt=prompt,
            champion_completion=f"Place {number} is a pub in the riverside area.",
            challenger_completion=f"Place {number} is a cheap Japanese pub near the Ranch with a customer rating of 5 out of 5.",
            **{"champion_score": 0, "challenger_score": 1, "champion_ended": True, "challenger_ended": True},
        )
        for number, prompt in enumerate(PROMPTS)
    ]
    games, champion, challenger, reward = (
        make(tmp_path, name, name) for name in ("games", "policy", "policy-2", "reward")
    )
    write_records(games.folder / GAMES, played)
    monkeypatch.setattr(own_reward, "load_scorer", longer_is_better)

    def judge(*kinds: str) -> dict:
        config = EvaluationConfig(judges=[{"kind": kind} for kind in kinds], num_samples=1)
        work = SimpleNamespace(folder=tmp_path, checkpoint_folder=tmp_path, metrics={})
        rewards = {"champion_reward": reward, "challenger_reward": reward, "held_out_reward": None}
        given = {"games": games, "champion": champion, "challenger": challenger, **rewards}
        challenge_champion.__wrapped__(work, config=config, **given, votes=None, compute=Compute())
        return work.metrics

    return judge


def refused(figures: dict, **config) -> set[str]:
    """The conditions that do not hold of the first challenger to meet this champion, close to its base, its reward model as good."""
    told = {name.removeprefix("challenge_"): value for name, value in figures.items()}
    wanted = ("judge", "judge_is_independent", "win_rate", "win_rate_low", "p_value")
    same = Paired(champion=0.7, challenger=0.7, difference=0.0, low=0.0, high=0.0)
    challenge = Challenge(**{name: told[name] for name in wanted}, look=1, kl_nats=1.0, accuracy=same, safety=None)
    return {check.name for check in check_challenge(challenge, PromotionConfig(**config)) if not check.holds}


def test_a_challenger_that_only_its_own_reward_likes_is_refused(judged):
    figures = judged("restaurant_facts", "own_reward")
    assert figures["challenge_judge"] == "restaurant_facts" and figures["challenge_win_rate"] == 0.0
    assert refused(figures) == {"win rate"}
    alone = judged("own_reward")
    assert alone["challenge_win_rate"] == 1.0, "by its own reward it wins everything"
    assert refused(alone) == {"judge"}
    assert refused(alone, own_reward_suffices=True) == set(), "unless the owner says so"
