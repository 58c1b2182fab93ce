"""How well classes are told apart: figures worked out by hand, and n-grams beside them."""

import math

import numpy as np
import pytest
import torch

from models.class_votes import ClassVotes
from models.errors import DataError
from models.evaluation.class_report import ClassFigures, report_classes
from models.rewards.scorer import Classes

THREE = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])


def test_figures_by_hand():
    """Classes 0, 0, 1, 1 of probabilities whose likeliest are 0, 0, 1, 0: three right.

    F1 of class 0: 2 * 2 / (3 + 2) = .8; of class 1: 2 * 1 / (1 + 2) = 2/3; class 2 neither is guessed nor occurs.
    AUROC of class 0: .8 and .6 are both above .2 and .5: 1; of class 1: .7 and .4 are both above .1 and .3: 1.
    Calibration, bands of a tenth: |.8 - 1| + |.6 - 1| + |.7 - 1| + |.5 - 0| over 4 texts = 1.4 / 4.
    """
    figures = ClassFigures.of(THREE, np.array([0, 0, 1, 1]))
    assert figures.accuracy == 0.75
    assert figures.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    assert figures.auroc == 1.0
    assert figures.calibration_error == pytest.approx(1.4 / 4)


def test_a_wrong_order_costs_its_share_of_the_pairs():
    """Class 1 of two has .1, .4 against the others' .3, .7: one of four comparisons is right, as seen from either class."""
    wanted = np.array([0.1, 0.4, 0.3, 0.7])
    figures = ClassFigures.of(np.stack([1 - wanted, wanted], axis=1), np.array([1, 1, 0, 0]))
    assert figures.auroc == pytest.approx(0.25)


def test_errors_of_a_band_that_cancel_are_no_miscalibration():
    """Both at .5 in one band, one right and one wrong: mean confidence .5, accuracy .5."""
    figures = ClassFigures.of(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0, 1]))
    assert figures.calibration_error == 0


def test_without_texts_nothing_is_known():
    figures = ClassFigures.of(np.zeros((0, 2)), np.zeros(0, dtype=int))
    assert all(math.isnan(value) for value in figures.model_dump().values())
    assert math.isnan(ClassFigures.of(np.array([[0.9, 0.1]]), np.array([0])).auroc), "of one class alone"


def vote(text: str, split: str, **votes: int) -> ClassVotes:
    return ClassVotes(prompt=None, text=text, split=split, votes=votes)


def by_word(prompts, texts) -> torch.Tensor:
    """Certain that whatever says "no" is rude; here half of what is held out."""
    rude = torch.tensor([float("no" in text.split()) for text in texts])
    return torch.stack([1 - rude, rude], dim=1)


def test_the_report_is_on_held_out_texts_and_ngrams_learn_from_the_others():
    """Of the two held-out texts with a majority the reward gets one; n-grams, which have seen both words, get both."""
    seen = [vote("you fool", "train", rude=3), vote("dear friend", "train", polite=2, rude=1)] * 4
    held_out = [
        vote("a fool", "test", rude=2),
        vote("a friend", "test", polite=1),
        vote("no", "test", rude=1, polite=1),
    ]
    report = report_classes(Classes(("polite", "rude"), by_word), [*seen, *held_out, vote("no", "validation", rude=1)])
    assert (report.num_texts, report.num_split) == (2, 1)
    assert report.shares == {"polite": 0.5, "rude": 0.5}
    assert report.figures.accuracy == 0.5 and report.ngrams.accuracy == 1.0
    assert report.figures.calibration_error == 0.5 and 0 < report.ngrams.calibration_error < 0.5


def test_nothing_held_out_is_said():
    with pytest.raises(DataError, match="no text with votes is held out"):
        report_classes(Classes(("polite", "rude"), by_word), [vote("no", "train", rude=1)])
