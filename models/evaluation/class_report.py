"""How good a reward is at telling classes apart, on held-out texts, beside n-grams on the same texts."""

import math
from collections.abc import Sequence

import numpy as np

from models.class_votes import ClassVotes
from models.errors import DataError
from models.evaluation.baselines import ngram_probabilities
from models.preferences.ratings import of_split
from models.records import Record
from models.rewards.scorer import Classes

NUM_BANDS = 10


class ClassFigures(Record):
    """What class probabilities are worth by what most people called each text; texts on which they are evenly split are left out.

    `accuracy`: share of texts whose likeliest class is the one; `macro_f1`: mean over classes of 2 TP / (2 TP + FP + FN); `auroc`: mean
    over classes of the chance that a text of the class is given a higher probability of it than one of another class (equal ones count
    one half); `calibration_error`: mean distance, over texts in ten bands of the likeliest class's probability, of its mean from the
    accuracy (expected calibration error, Naeini et al. 2015). All are nan without texts; `auroc` is, too, where all are of one class.
    """

    accuracy: float
    macro_f1: float
    auroc: float
    calibration_error: float

    @classmethod
    def of(cls, probabilities: np.ndarray, labels: np.ndarray) -> "ClassFigures":
        """From the probabilities [N, C] of N texts, and the place of each one's class, [N]."""
        if not len(labels):
            return cls(accuracy=math.nan, macro_f1=math.nan, auroc=math.nan, calibration_error=math.nan)
        likeliest = probabilities.argmax(axis=1)
        return cls(
            accuracy=float((likeliest == labels).mean()),
            macro_f1=macro_f1(likeliest, labels, probabilities.shape[1]),
            auroc=mean_auroc(probabilities, labels),
            calibration_error=calibration_error(probabilities.max(axis=1), likeliest == labels),
        )


class ClassReport(Record):
    """A reward's figures on `num_texts` held-out texts, and those of logistic regression on hashed n-grams (`ngrams`), which knows nothing
    of language. `shares`: how many of these texts most people put into each class."""

    num_texts: int
    num_split: int
    shares: dict[str, float]
    figures: ClassFigures
    ngrams: ClassFigures


def report_classes(classes: Classes, votes: Sequence[ClassVotes]) -> ClassReport:
    """The report by the texts of the test split; n-grams learn from those of the training split. Raises DataError where none is held out."""
    held_out, learned = of_split(votes, "test"), of_split(votes, "train")
    if not held_out:
        raise DataError("no text with votes is held out to judge the reward model by; hold more out, see split")
    (texts, labels), seen = (_decided(side, classes.names) for side in (held_out, learned))
    given = classes.probabilities([one.prompt for one in texts], [one.text for one in texts]).double().numpy()
    counted = ngram_probabilities(
        [one.text for one in seen[0]], seen[1], [one.text for one in texts], len(classes.names)
    )
    shares = np.bincount(labels, minlength=len(classes.names)) / max(1, len(labels))
    return ClassReport(
        num_texts=len(texts),
        num_split=len(held_out) - len(texts),
        shares=dict(zip(classes.names, shares.tolist(), strict=True)),
        figures=ClassFigures.of(given, labels),
        ngrams=ClassFigures.of(counted, labels),
    )


def macro_f1(guessed: np.ndarray, labels: np.ndarray, num_classes: int) -> float:
    """Mean over classes of 2 TP / (2 TP + FP + FN), from two vectors [N] of classes' places; a class that neither is guessed nor occurs is left out."""
    scores = []
    for place in range(num_classes):
        right = ((guessed == place) & (labels == place)).sum()
        named = (guessed == place).sum() + (labels == place).sum()
        if named:
            scores.append(2 * right / named)
    return float(np.mean(scores))


def mean_auroc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean, over the classes that occur, of the area under the ROC curve of one class against the others. nan where one class is all."""
    from sklearn.metrics import roc_auc_score

    occur = np.unique(labels)
    if len(occur) < 2:
        return math.nan
    return float(np.mean([roc_auc_score(labels == place, probabilities[:, place]) for place in occur]))


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Mean distance, over bands of confidence, of the mean confidence from the share that is right, each weighted by its texts."""
    band = np.minimum((confidence * NUM_BANDS).astype(int), NUM_BANDS - 1)
    surplus = np.bincount(band, confidence - right, minlength=NUM_BANDS)
    return float(np.abs(surplus).sum() / len(confidence))


def _decided(votes: Sequence[ClassVotes], names: Sequence[str]) -> tuple[list[ClassVotes], np.ndarray]:
    """The texts that most people put into one class, and the place of that class."""
    place = {name: number for number, name in enumerate(names)}
    texts = [one for one in votes if one.majority is not None]
    return texts, np.array([place[one.majority] for one in texts], dtype=int)
