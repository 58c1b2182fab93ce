"""The reward of thumbs: its loss against arithmetic, what it learns from thumbs, pairs and both, and what it refuses."""

import math
from pathlib import Path

import pytest
import torch

from models.class_votes import ClassVotes
from models.errors import DataError
from models.records import Completion, Pair, Prompt
from models.rewards.scorer import RewardTask
from models.rewards.thumbs import Judged, judged_loss, judged_prompts, load, train
from models.settings.compute import Compute
from models.settings.rewards import ThumbsReward
from models.training.checkpoints import Checkpoints
from tests.tolerances import close

COMPUTE = Compute(device="cpu", precision="float32")
SINK, LAMP = (Prompt.of(f"my {name} is broken", "train") for name in ("sink", "lamp"))
CONFIG = ThumbsReward(num_epochs=30, batch_size=2, learning_rate=3e-3)


def vote(prompt: Prompt, text: str, split: str = "train", **votes: int) -> ClassVotes:
    return ClassVotes(prompt=prompt.text, text=text, split=split, votes=votes)


def task(folder: Path, base: Path, votes: list[ClassVotes], pairs: list[tuple[Prompt, str, str]] = ()) -> RewardTask:
    texts = [(prompt, text) for prompt, *both in pairs for text in both]
    completions = [Completion.of(prompt.id, text) for prompt, text in texts]
    made = [
        Pair(prompt_id=p.id, chosen=Completion.of(p.id, better).id, rejected=Completion.of(p.id, worse).id)
        for p, better, worse in pairs
    ]
    return RewardTask(
        folder=folder,
        base=base,
        prompts=[SINK, LAMP],
        completions=completions,
        pairs=made,
        draws=[],
        rankings=[],
        votes=votes,
        compute=COMPUTE,
        seed=0,
        checkpoints=Checkpoints(folder / "checkpoints", every=50),
    )


def test_a_prompt_counts_once_with_its_thumbs_and_its_pairs(reward_model):
    """Three completions: thumbs on the first two, a pair of the second and the third that weighs three times a thumb, with a margin."""
    row = Judged(
        sequences=[[1, 20, 30, 2], [1, 20, 40, 2], [1, 20, 50, 60, 2]],
        rated=[0, 1],
        share=[1.0, 0.25],
        chosen=[2],
        rejected=[1],
        label=[1.0],
        weight=[3.0],
        margin=[0.7],
    )
    alone = Judged([[1, 70, 2]], rated=[0], share=[0.0], chosen=[], rejected=[], label=[], weight=[], margin=[])
    head = reward_model.model.score.weight[0]
    with torch.no_grad():
        s, t, u, v = (
            (reward_model.model.model(torch.tensor([one])).last_hidden_state[0, -1] @ head).item()
            for one in (*row.sequences, *alone.sequences)
        )

    def cost(logit: float, share: float) -> float:
        p = 1 / (1 + math.exp(-logit))
        return -share * math.log(p) - (1 - share) * math.log(1 - p)

    expected = (cost(s, 1) + cost(t, 0.25) + 3 * cost(u - t - 0.7, 1)) / 5 + cost(v, 0)
    found = judged_loss(reward_model, [row, alone])
    assert close(found.loss, expected, tolerance=1e-5)
    right = ((s > 0) + (t < 0) + 3 * (u > t)) / 5 + (v < 0)
    assert found.right == pytest.approx(right)


def test_single_completions_teach_which_are_wanted(base_folder_once, tmp_path):
    """No prompt has two, so that there is no pair: above zero is what was wanted, for both prompts."""
    votes = [vote(SINK, "tighten the nut", wanted=2), vote(LAMP, "what is wrong?", unwanted=1)]
    steps = list(train(task(tmp_path, base_folder_once, votes), CONFIG))
    assert steps[0].values["loss"] == pytest.approx(math.log(2)), "the head begins at zero"
    assert steps[-1].values["accuracy"] == 1.0 and steps[-1].values["loss"] < 0.3
    scorer = load(tmp_path, COMPUTE)
    probabilities = scorer.classes.probabilities([SINK.text, LAMP.text], ["tighten the nut", "what is wrong?"])
    assert scorer.classes.names == ("unwanted", "wanted")
    assert probabilities[0, 1] > 0.75 and probabilities[1, 0] > 0.75
    assert close(probabilities.sum(dim=1), [1.0, 1.0], tolerance=1e-6)
    scores = scorer.score([SINK.text, LAMP.text], ["tighten the nut", "what is wrong?"])
    assert close(scores, [1.0, -1.0], tolerance=1e-4), "normalised over the two"


def test_thumbs_and_rankings_are_learned_from_together(base_folder_once, tmp_path):
    """Only thumbs tell the lamp's completions apart, only the pair tells the sink's."""
    votes = [vote(LAMP, "change the bulb", wanted=1), vote(LAMP, "what is wrong?", unwanted=1)]
    pairs = [(SINK, "tighten the nut", "look at the fuse")]
    list(train(task(tmp_path, base_folder_once, votes, pairs), CONFIG))
    score = load(tmp_path, COMPUTE).score
    good, bad = score([LAMP.text] * 2, ["change the bulb", "what is wrong?"])
    better, worse = score([SINK.text] * 2, ["tighten the nut", "look at the fuse"])
    assert good > bad + 0.5 and better > worse + 0.5


def test_a_text_that_is_longer_than_the_context_is_named(base_folder_once, tokenizer, tmp_path):
    votes = [vote(LAMP, "look " * 200, wanted=1)]
    with pytest.raises(DataError, match="the reward model reads 96: 'my lamp is broken'"):
        judged_prompts(tokenizer, task(tmp_path, base_folder_once, votes), 96)


UP, DOWN = vote(SINK, "tighten the nut", wanted=2), vote(LAMP, "what is wrong?", unwanted=1)
HELD_OUT = vote(LAMP, "so", split="test", wanted=1, unwanted=2)


@pytest.mark.parametrize(
    ("votes", "said"),
    [
        ([], "of 0 thumbs on completions of training prompts none is up"),
        ([UP, HELD_OUT], "of 2 thumbs on completions of training prompts none is down"),
        ([DOWN, HELD_OUT], "of 1 thumbs on completions of training prompts none is up"),
        ([UP, DOWN], "none of 2 texts with votes is held out"),
        ([UP, vote(SINK, "no", rude=1), HELD_OUT], "not from classes such as 'rude'; take classifier"),
    ],
)
def test_votes_that_teach_nothing_are_refused(votes, said):
    with pytest.raises(DataError, match=said):
        CONFIG.require_votes(votes)


def test_both_thumbs_and_held_out_ones_are_enough():
    CONFIG.require_votes([UP, DOWN, HELD_OUT])
