"""What a reward model has to beat: rules that know nothing of language, on the same held-out preferences and texts. No torch."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

Preference = tuple[str, str]
"""Ids of the preferred completion and of the other."""


def length_rule_accuracy(texts: Mapping[str, str], preferences: Sequence[Preference]) -> float:
    """Share of preferences whose preferred text is the longer one, in characters; equal lengths count one half. nan without any."""
    if not preferences:
        return math.nan
    longer = [len(texts[better]) - len(texts[worse]) for better, worse in preferences]
    return sum((gap > 0) + 0.5 * (gap == 0) for gap in longer) / len(longer)


def ngram_accuracy(
    texts: Mapping[str, str], learned_from: Sequence[Preference], preferences: Sequence[Preference]
) -> float:
    """Share of preferences that a Bradley-Terry model over hashed words and pairs of words orders rightly.

    Logistic regression without an intercept on the difference of both texts' vectors (2^18 places, length 1), learned from other
    preferences. nan without any of either.
    """
    if not (learned_from and preferences):
        return math.nan
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorize = HashingVectorizer(ngram_range=(1, 2), n_features=2**18, alternate_sign=False)

    def differences(pairs: Sequence[Preference]):
        better, worse = (vectorize.transform([texts[pair[place]] for pair in pairs]) for place in (0, 1))
        return better - worse

    seen = differences([*learned_from, *((worse, better) for better, worse in learned_from)])
    answers = [1] * len(learned_from) + [0] * len(learned_from)
    model = LogisticRegression(fit_intercept=False, max_iter=1000).fit(seen, answers)
    gaps = model.decision_function(differences(preferences))
    return float(((gaps > 0) + 0.5 * (gaps == 0)).mean())


def ngram_probabilities(
    learned_from: Sequence[str], labels: Sequence[int] | np.ndarray, texts: Sequence[str], num_classes: int
) -> np.ndarray:
    """Class probabilities [N, C] of texts, by logistic regression over hashed words and pairs of words (as above, with an intercept).

    `labels`: the class of each text that is learned from, a number below C. Where these are all of one class, that one is certain.
    """
    found = np.zeros((len(texts), num_classes))
    seen = sorted({int(label) for label in labels})
    if len(seen) < 2 or not len(texts):
        found[:, seen] = 1.0
        return found
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorize = HashingVectorizer(ngram_range=(1, 2), n_features=2**18, alternate_sign=False)
    model = LogisticRegression(max_iter=1000).fit(vectorize.transform(learned_from), labels)
    found[:, model.classes_] = model.predict_proba(vectorize.transform(texts))
    return found
