"""A reward that learns in a second: Bradley-Terry over hashed words. What is compared is which judgements it is given, not how good it is.

The features of a completion: its words, and each word of the prompt with each of its own; the counts are hashed to 2^16 places and damped to their
square roots. Fitted by logistic regression on the differences of two completions, a tie as half a preference each way.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy import sparse
from sklearn.feature_extraction import FeatureHasher
from sklearn.linear_model import LogisticRegression

from models.records import Ranking
from models.shapes import Float

NUM_MEMBERS = 5
STRENGTH = 0.01  # of the fit against its prior: scikit-learn's C. Chosen with seed 0


def words_of(prompt: str, text: str) -> list[str]:
    """Names of the features, each as often as it is there."""
    asked, said = (re.findall(r"\w+", one.lower()) for one in (prompt, text))
    return said + [f"{one}|{other}" for one in dict.fromkeys(asked) for other in dict.fromkeys(said)]


class Features:
    """The vectors of all completions of a world."""

    def __init__(self, texts: Mapping[str, tuple[str, str]]) -> None:
        self.place = {name: number for number, name in enumerate(texts)}
        hasher = FeatureHasher(2**16, input_type="string", alternate_sign=False)
        self.vectors = sparse.csr_matrix(hasher.transform(words_of(*both) for both in texts.values())).sqrt()

    def differences(self, pairs: Iterable[tuple[str, str]]) -> sparse.csr_matrix:
        """That of the first of each pair less that of the second."""
        first, second = ([self.place[pair[side]] for pair in pairs] for side in (0, 1))
        return self.vectors[first] - self.vectors[second]


def preferences_of(rankings: Iterable[Ranking]) -> list[tuple[str, str, float]]:
    """(one, other, how far the first is preferred: 1, or 1/2 for a tie) for every two completions of each ranking."""
    found = []
    for ranking in rankings:
        places = ranking.places
        for one, other in combinations(sorted(places, key=lambda name: (places[name], name)), 2):
            found.append((one, other, 1.0 if places[one] < places[other] else 0.5))
    return found


def fit(features: Features, rankings: Sequence[Ranking]) -> Float[np.ndarray, " N"]:
    """The logit that a reward gives to every completion, learned from these."""
    said = preferences_of(rankings)
    apart = features.differences([(one, other) for one, other, _ in said])
    share = np.array([share for *_, share in said])
    rows = sparse.vstack([apart, -apart])  # each pair both ways round, so that there are two classes
    answers, weights = np.repeat([1, 0], len(said)), np.concatenate([share, share])
    ties = share == 0.5  # half of it says the opposite
    rows = sparse.vstack([rows, apart[ties], -apart[ties]])
    answers = np.concatenate([answers, np.repeat([0, 1], ties.sum())])
    weights = np.concatenate([weights, np.full(2 * ties.sum(), 0.5)])
    model = LogisticRegression(C=STRENGTH, fit_intercept=False, max_iter=300)
    return features.vectors @ model.fit(rows, answers, weights / 2).coef_[0]


def fit_members(
    features: Features, rankings: Sequence[Ranking], generator: np.random.Generator
) -> Float[np.ndarray, "M N"]:
    """The same of several, each of which has learned from another draw of the judgements, with replacement."""
    draws = (generator.integers(len(rankings), size=len(rankings)) for _ in range(NUM_MEMBERS))
    return np.stack([fit(features, [rankings[number] for number in draw]) for draw in draws])
