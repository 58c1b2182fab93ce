"""A judge model as reward: its expected grade, behind a real server."""

import logging
from pathlib import Path

import pytest

from models.errors import ConfigError
from models.records import Completion, Prompt
from models.rewards import judge
from models.rewards.kind_file import write_kind
from models.rewards.scorer import RewardTask, load_scorer
from models.settings.compute import Compute
from models.settings.rewards import JudgeReward
from models.training.checkpoints import Checkpoints
from tests.models.judge_server import chat, serving, shown
from tests.tolerances import close

TOP = {"Good.": {"9": 0.8, "8": 0.1, "x": 0.1}, "Bad.": {"0": 1.0}, "": {"4": 0.5, "5": 0.5}, "Odd": {"well": 1.0}}


def config(address: str, **settings) -> JudgeReward:
    model = {"kind": "endpoint", "address": address, "model": "small", "backoff_seconds": 0.01}
    return JudgeReward(model=model | settings, criterion="wit")


def made(folder: Path, reward: JudgeReward) -> Path:
    """The reward as a run leaves it; nobody is asked for it."""
    prompt = Prompt.of("my sink leaks", "train")
    given = {"base": folder, "pairs": [], "draws": [], "rankings": [], "compute": Compute(), "seed": 0}
    completions = [Completion.of(prompt.id, text) for text in ("a", "b")]
    task = RewardTask(
        folder=folder, prompts=[prompt], completions=completions, checkpoints=Checkpoints(folder / "state", 1), **given
    )
    write_kind(folder, reward)
    assert list(judge.train(task, reward)) == []
    return folder


def test_a_score_is_the_expected_grade_scaled_to_minus_one_and_one(tmp_path):
    """(10 * .8 + 9 * .1) / .9 = 9.888..., minus 5.5, over 4.5 = .97530...; grade 1 is -1; half 5 and half 6 are the middle."""
    with serving(lambda body: chat("?", TOP[shown(body)[0]])) as server:
        scorer = load_scorer(made(tmp_path / "model", config(server.address)), Compute())
        scores = scorer.score(["my sink"] * 3, ["Good.", "Bad.", ""])
        assert close(scores, [(89 / 9 - 5.5) / 4.5, -1, 0]) and len(server.bodies) == 3
        assert "their wit" in server.bodies[0]["messages"][0]["content"]
    assert scorer.network is None and scorer.logit_std == 1


def test_who_leaves_the_judge_speechless_is_paid_the_least(tmp_path, caplog):
    with serving(lambda body: chat("?", TOP[shown(body)[0]])) as server, caplog.at_level(logging.INFO):
        scorer = load_scorer(made(tmp_path / "model", config(server.address, price_prompt=5)), Compute())
        assert close(scorer.score(["p"] * 2, ["Odd", "Bad."]), [-1, -1])
        scorer.score(["p"], ["Good."])
    assert "the judge names no grade of 1 completions, such as '?'" in caplog.text
    assert "judge so far: answers 3, prompt_tokens 300, completion_tokens 6, cost 0.0015" in caplog.text


def test_a_server_that_tells_no_probabilities_is_refused(tmp_path):
    with serving(lambda body: chat("7")) as server:
        scorer = load_scorer(made(tmp_path / "model", config(server.address)), Compute())
        with pytest.raises(
            ConfigError, match=r"small at .* tells no log-probabilities of the digits.*it says '7'.*local"
        ):
            scorer.score(["p"], ["text"])


def test_the_instructions_are_kept_with_the_reward(tmp_path):
    (tmp_path / "how.md").write_text("Shorter is wittier.")
    with serving(lambda body: chat("?", {"3": 1.0})) as server:
        reward = config(server.address).model_copy(update={"instructions": str(tmp_path / "how.md")})
        folder = made(tmp_path / "model", reward)
        (tmp_path / "how.md").unlink()
        load_scorer(folder, Compute()).score(["p"], ["text"])
    assert "Shorter is wittier." in server.bodies[0]["messages"][0]["content"]
