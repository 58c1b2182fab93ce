"""The reward model that is fitted to strengths: the targets against equations solved here, the loss against numpy, and what it learns."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from models.errors import DataError
from models.preferences.consensus import agree
from models.preferences.pairs import make_pairs
from models.records import Completion, Prompt, Ranking, write_records
from models.rewards import regression
from models.rewards.kind_file import write_kind
from models.rewards.pairwise import Comparison
from models.rewards.regression import spread_of, squared_error, strengths_of
from models.rewards.scorer import RewardTask, load_scorer
from models.settings.pipeline import ConsensusConfig, PairsConfig
from models.settings.rewards import RegressionReward
from models.training.checkpoints import Checkpoints
from tests.tolerances import close

PRIOR_PRECISION = 1 / math.log(10) ** 2  # ratings are within 400 points, ln 10, of the mean


def ranked(prompt: str, labeler: str, *levels: str) -> Ranking:
    return Ranking.of(prompt, labeler, "helpful", [[name] for name in levels])


def elo_gap(wins: int, losses: int) -> float:
    """Of two who met, t - (-t): where the log-posterior is level in t, wins - (wins + losses) sigmoid(2 t) = precision * t."""
    played = wins + losses
    return 2 * brentq(lambda t: wins - played / (1 + math.exp(-2 * t)) - PRIOR_PRECISION * t, -20, 20)


def test_elo_counts_every_labeler_alike_and_prompt_by_prompt():
    people = [ranked("p", name, "a", "b") for name in ("ann", "bob", "cem")] + [ranked("p", "dan", "b", "a")]
    other = [ranked("q", name, "c", "d") for name in ("ann", "bob")]
    strength = strengths_of(people + other, "elo")
    assert close(strength["a"] - strength["b"], elo_gap(3, 1), 1e-5) and 0 < elo_gap(3, 1) < math.log(3)
    assert close(strength["c"] - strength["d"], elo_gap(2, 0), 1e-5)
    assert close(strength["a"] + strength["b"], 0, 1e-5) and close(strength["c"] + strength["d"], 0, 1e-5)
    assert strengths_of([Ranking.of("p", "ann", "helpful", [], unusable="ab")], "elo") == {}


def test_bradley_terry_does_not_listen_to_who_ranks_upside_down():
    people = [ranked(f"p{n}", name, f"a{n}", f"b{n}", f"c{n}") for n in range(12) for name in ("ann", "bob", "cem")]
    upside_down = [ranked(f"p{n}", "dan", f"c{n}", f"b{n}", f"a{n}") for n in range(12)]
    gaps = {
        (targets, len(told)): strength["a0"] - strength["c0"]
        for targets in ("elo", "bradley_terry")
        for told in (people, people + upside_down)
        for strength in [strengths_of(told, targets)]
    }
    assert gaps["elo", 48] < 0.7 * gaps["elo", 36], "one in four wins the other way"
    assert gaps["bradley_terry", 48] > 0.95 * gaps["bradley_terry", 36]


def test_over_all_pairs_it_is_least_squares_on_the_scores_around_their_mean():
    generator = np.random.default_rng(0)
    scores, targets = generator.normal(size=(2, 5))
    first, second = np.triu_indices(5, k=1)
    loss = squared_error(
        *(torch.tensor(x) for x in (scores[first], scores[second], (targets[first] - targets[second]))), 2.0
    )
    residuals = scores - targets
    assert close(loss.sum(), 5 * np.square(residuals - residuals.mean()).sum() / 2.0)


def test_the_spread_is_what_equal_scores_cost_each_prompt_counting_once():
    pairs = {"sequences": [[1], [1]], "chosen": [0, 0], "rejected": [1, 1], "label": [1.0, 1.0]}
    one = Comparison(**pairs, weight=[1.0, 3.0], margin=[2.0, -1.0])  # (4 + 3 * 1) / 4
    other = Comparison(**pairs, weight=[0.5, 0.5], margin=[0.0, 3.0])  # 9 / 2
    assert close(spread_of([one, other]), (7 / 4 + 9 / 2) / 2)
    with pytest.raises(DataError, match=r"reward.kind regression: .* equally strong"):
        spread_of([replace(one, margin=[0.0, 0.0])])


# training

WORDS = ("turn the water off", "the lamp", "change the bulb")
CONFIG = RegressionReward(num_epochs=40, batch_size=8, learning_rate=3e-3, centering=0)


@pytest.fixture
def task(base_folder_once, compute, tmp_path) -> RewardTask:
    """Of three completions the first is put before the second by 3 : 1 labelers, and both before the third by all four."""
    prompts = [Prompt.of(f"my sink {number}", "train") for number in range(8)]
    completions = [Completion.of(prompt.id, text) for prompt in prompts for text in WORDS]
    rankings = []
    for number, prompt in enumerate(prompts):
        first, second, third = ([one.id] for one in completions[3 * number : 3 * number + 3])
        for name in ("ann", "bob", "cem"):
            rankings.append(Ranking.of(prompt.id, name, "helpful", [first, second, third]))
        rankings.append(Ranking.of(prompt.id, "dan", "helpful", [second, first, third]))
    pairs, _ = make_pairs(agree(rankings, ConsensusConfig(tie_width=0))[0], completions, PairsConfig())
    checkpoints = Checkpoints(tmp_path / "checkpoints", CONFIG.checkpoint_every)
    return RewardTask(
        tmp_path / "model", base_folder_once, prompts, completions, pairs, [], rankings, compute, 0, checkpoints
    )


def logits_of(task: RewardTask) -> np.ndarray:
    """[prompt, completion], from the files that were written."""
    write_kind(task.folder, CONFIG)
    scorer = load_scorer(task.folder, task.compute)
    asked = [prompt.text for prompt in task.prompts for _ in WORDS]
    scores = scorer.score(asked, [one.text for one in task.completions])
    return scorer.logit_std * scores.view(-1, 3).numpy()


@pytest.mark.parametrize("targets", ["elo", "bradley_terry"])
def test_differences_of_logits_become_those_of_strengths(task, targets):
    steps = list(regression.train(task, CONFIG.model_copy(update={"targets": targets})))
    assert close(steps[0].values["loss"], 1.0, 1e-5), "scores start equal, and explain nothing"
    assert steps[-1].values["loss"] < 0.01 and steps[-1].values["accuracy"] == 1.0
    strength = strengths_of(task.rankings, targets)
    wanted = np.array([strength[one.id] for one in task.completions]).reshape(-1, 3)
    logits = logits_of(task)
    assert wanted[0, 0] - wanted[0, 1] < wanted[0, 1] - wanted[0, 2], "3 : 1 is less than 4 : 0"
    assert np.abs(np.diff(logits) - np.diff(wanted)).max() < 0.2


def test_pairs_that_are_left_out_teach_nothing(task):
    worst = {one.id for one in task.completions if one.text == WORDS[2]}
    left = [pair for pair in task.pairs if not worst & {pair.chosen, pair.rejected}]
    list(regression.train(replace(task, pairs=left), CONFIG))
    first, second, third = logits_of(task).mean(axis=0)
    met = strengths_of(task.rankings, "elo")
    gap = met[task.completions[0].id] - met[task.completions[1].id]
    assert abs(first - second - gap) < 0.2 and third > second - gap, "nobody has said that the third is worse"


def test_a_folder_gives_the_rankings_of_training_prompts_alone(task, tmp_path):
    held_out = Prompt.of("the lamp", "test")
    folder = tmp_path / "told"
    folder.mkdir()
    write_records(folder / "prompts.jsonl", [*task.prompts, held_out])
    write_records(folder / "completions.jsonl", task.completions)
    write_records(folder / "rankings.jsonl", [*task.rankings, Ranking.of(held_out.id, "eve", "helpful", ["a", "b"])])
    write_records(folder / "pairs.jsonl", task.pairs)
    read = RewardTask.read(Path(), tmp_path, folder, folder, None, folder, task.compute, 0, task.checkpoints, {})
    assert read.rankings == task.rankings and held_out not in read.prompts
