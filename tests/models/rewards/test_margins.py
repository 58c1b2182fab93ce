"""Margins of pairs in the pairwise loss: how far the better one has to lead."""

import math

import pytest

from models.records import Completion, Pair, Prompt
from models.rewards import pairwise
from models.rewards.pairwise import group_pairs
from models.rewards.scorer import RewardTask
from models.settings.rewards import PairwiseReward
from models.training.checkpoints import Checkpoints
from tests.models.rewards.test_pairwise import records
from tests.tolerances import close


def test_margins_count_as_much_as_the_settings_say(tokenizer):
    prompts, completions = records()
    pair = Pair(prompt_id=prompts[0].id, chosen=completions[0].id, rejected=completions[1].id, margin=0.5)
    (threefold,) = group_pairs(tokenizer, prompts, completions, [pair], 96, margin_coef=3.0)
    (none,) = group_pairs(tokenizer, prompts, completions, [pair], 96, margin_coef=0.0)
    assert (threefold.margin, none.margin) == ([1.5], [0.0])


@pytest.mark.parametrize("margin_coef", [0.0, 3.0])
def test_a_margin_is_kept_by_what_is_learned(base_folder_once, compute, tmp_path, margin_coef):
    """The first step's loss is that of equal scores: ln 2 without a margin, -log sigmoid(-m) with one of m."""
    prompts = [Prompt.of(f"my sink {number}", "train") for number in range(4)]
    completions = [Completion.of(prompt.id, text) for prompt in prompts for text in ("the nut", "the fuse")]
    pairs = [
        Pair(prompt_id=better.prompt_id, chosen=better.id, rejected=worse.id, margin=2 / 3)
        for better, worse in zip(completions[::2], completions[1::2], strict=True)
    ]
    config = PairwiseReward(num_epochs=1, batch_size=4, margin_coef=margin_coef)
    kept = Checkpoints(tmp_path / "checkpoints", every=50)
    task = RewardTask(tmp_path / "model", base_folder_once, prompts, completions, pairs, [], [], compute, 0, kept)
    (step,) = pairwise.train(task, config)
    assert close(step.values["loss"], math.log(1 + math.exp(margin_coef * 2 / 3)), tolerance=1e-5)
