"""Rules that a reward model has to beat, with values that a reader can count."""

import math

from models.evaluation.baselines import length_rule_accuracy, ngram_accuracy

TEXTS = {
    "a": "good tea",
    "b": "bad tea today",
    "c": "good coffee",
    "d": "bad coffee",
    "e": "good milk",
    "f": "bad milk",
    "g": "tea",
}


def test_the_longer_one():
    # "good tea" (8) loses to "bad tea today" (13), "good coffee" (11) wins over "bad coffee" (10), a text ties with itself in length
    assert length_rule_accuracy(TEXTS, [("a", "b"), ("c", "d"), ("a", "a")]) == (0 + 1 + 0.5) / 3
    assert math.isnan(length_rule_accuracy(TEXTS, []))


def test_words_learned_from_some_preferences_foretell_others():
    learned_from = [("a", "b"), ("c", "d")]  # what is good goes before what is bad
    assert ngram_accuracy(TEXTS, learned_from, [("e", "f")]) == 1
    assert ngram_accuracy(TEXTS, learned_from, [("f", "e")]) == 0
    assert ngram_accuracy(TEXTS, learned_from, [("e", "f"), ("f", "e"), ("e", "e")]) == 0.5
    assert math.isnan(ngram_accuracy(TEXTS, [], [("e", "f")])) and math.isnan(ngram_accuracy(TEXTS, learned_from, []))
