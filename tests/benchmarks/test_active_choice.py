"""The arithmetic of benchmarks/active_choice: doubt, what is uncovered next, labels needed. The trial itself does not run here."""

import math

import numpy as np
import pytest

from benchmarks.active_choice.learner import Features, fit, words_of
from benchmarks.active_choice.picture import draw
from benchmarks.active_choice.runs import CHOICES, accuracy, by_doubt, curve, known_of, labels_needed
from benchmarks.active_choice.worlds import Pool
from benchmarks.trials import student_interval
from models.records import Ranking
from tests.tolerances import close


def said(prompt: str, labeler: str, *order: str) -> Ranking:
    return Ranking.of(prompt, labeler, "helpful", [[f"{prompt}-{name}"] for name in order])


@pytest.fixture
def pool() -> Pool:
    """Twenty prompts: of each a good completion and a bad one, on which two people agree."""
    texts = {f"{n}-{text}": (f"ask {n}", text) for n in range(20) for text in ("good", "bad", "else")}
    learned = [said(str(n), name, "good", "bad") for n in range(16) for name in ("ann", "ben")]
    return Pool.of(texts, learned, [said(str(n), "cem", "good", "bad") for n in range(16, 20)], seed=0)


def test_words_stand_alone_and_with_each_word_of_the_prompt():
    assert words_of("My sink?", "Fix sink. Fix") == [
        *("fix", "sink", "fix", "my|fix", "my|sink", "sink|fix", "sink|sink")
    ]


def test_the_reward_learns_what_is_preferred_and_nothing_from_ties(pool):
    features = Features(pool.texts)
    logits = fit(features, known_of(pool, np.ones(16, dtype=int)))
    assert accuracy(features, logits, pool.held_out) == 1.0
    assert accuracy(features, np.zeros(len(pool.texts)), pool.held_out) == 0.5
    ties = [Ranking.of(str(n), "ann", "helpful", [[f"{n}-good", f"{n}-bad"]]) for n in range(16)]
    assert close(fit(features, ties), np.zeros(len(pool.texts)), 1e-6)


def test_the_consensus_leaves_open_what_nobody_has_judged_and_less_so_what_two_agree_on(pool):
    one, two = (said[0].prompt_id for said in pool.items[:2])
    known = [pool.items[0][0], *pool.items[1]]
    doubts = dict(
        zip((s[0].prompt_id for s in pool.items), by_doubt(pool, None, known, np.random.default_rng(0)), strict=True)
    )
    others = [value for prompt, value in doubts.items() if prompt not in (one, two)]
    assert doubts[two] < doubts[one] < 0.4 and close(others, [0.5] * 14, 1e-6)


@pytest.mark.parametrize("choice", CHOICES)
def test_all_choices_begin_alike_and_uncover_each_judgement_once(pool, choice):
    seen: list[list[Ranking]] = []

    def noted(pool, features, known, generator):
        seen.append(known)
        return CHOICES[choice](pool, features, known, generator)

    accuracies = curve(pool, Features(pool.texts), noted, seed=3, budgets=(4, 10, 20, 32, 33))
    assert len(accuracies) == 4, "there are 32 judgements"
    assert seen[0] == [said[0] for said in pool.items[:4]]
    counts = [len(known) for known in seen]
    assert counts == sorted(counts) and all(len({one.id for one in known}) == len(known) for known in seen)
    if choice == "doubt":
        first = [one.prompt_id for known in seen if len(known) <= 16 for one in known[-4:]]
        assert len(set(first)) > 4 and all(
            len({one.prompt_id for one in known}) == len(known) for known in seen if len(known) <= 16
        )


def test_labels_needed_are_read_off_the_best_so_far_over_the_logarithm():
    # half way between 100 and 400 by the logarithm is 200; the fall at 200 does not count
    assert close(labels_needed([50, 100, 200, 400], [0.5, 0.6, 0.55, 0.6], 0.6), 100)
    assert close(labels_needed([100, 400], [0.6, 0.7], 0.65), 200)
    assert labels_needed([100, 400], [0.6, 0.7], 0.6) == 100
    assert math.isinf(labels_needed([100, 400], [0.6, 0.7], 0.71))


def test_an_interval_over_seeds_may_lie_below_zero():
    # mean -1, standard deviation 1, t(.975, 2) = 4.3027: half a width 4.3027 / sqrt 3
    assert close(student_interval([-2, -1, 0]), (-1, -1 - 2.48414, -1 + 2.48414), 1e-4)


def test_the_picture_has_two_panels_for_each_world(tmp_path):
    rows = [
        {"world": world, "seed": seed, "chosen_by": name, "labels": [50, 100], "accuracy": [0.5, 0.6 + seed / 100]}
        for world in ("tiny", "e2e")
        for seed in (1, 2)
        for name in CHOICES
    ]
    draw(rows, tmp_path / "pictures" / "choice.svg")
    assert "<svg" in (tmp_path / "pictures" / "choice.svg").read_text(encoding="utf-8")
