"""The side of the split is a pure function of the prompt's text and the seed."""

import math
from collections import Counter

from models.preferences.splits import assign_split, side_of, sides_of
from models.records import Prompt
from models.settings.pipeline import SplitConfig

CONFIG = SplitConfig(validation=0.1, test=0.2)
PROMPTS = [f"prompt number {number}" for number in range(4000)]


def test_the_same_text_always_falls_on_the_same_side():
    # `printf '0:my sink leaks' | sha256sum` and so on; the first 8 bytes over 2^64:
    # 6cf824d7… = 0.426 -> train, 33f558e2… = 0.203 -> validation (.2 to .3), 1ef319ce… = 0.121 -> test (below .2)
    assert assign_split("my sink leaks", CONFIG, seed=0) == "train"
    assert assign_split("change the bulb", CONFIG, seed=0) == "validation"
    assert assign_split("my door squeaks", CONFIG, seed=0) == "test"


def test_shares_are_as_configured():
    counts = Counter(assign_split(prompt, CONFIG, seed=3) for prompt in PROMPTS)
    for split, share in {"train": 0.7, "validation": 0.1, "test": 0.2}.items():
        # four standard deviations of a binomial: wrong once in 16,000 seeds, and the seed is fixed
        bound = 4 * math.sqrt(share * (1 - share) / len(PROMPTS))
        assert abs(counts[split] / len(PROMPTS) - share) < bound


def test_outer_white_space_does_not_count():
    for prompt in PROMPTS[:200]:
        assert assign_split(f"  {prompt}\n", CONFIG, seed=0) == assign_split(prompt, CONFIG, seed=0)


def test_another_seed_divides_differently():
    sides = [[assign_split(prompt, CONFIG, seed) for prompt in PROMPTS[:200]] for seed in (0, 1)]
    assert sides[0] != sides[1]


def test_a_larger_test_share_keeps_the_test_prompts():
    larger = SplitConfig(validation=0.1, test=0.3)
    for prompt in PROMPTS[:500]:
        if assign_split(prompt, CONFIG, seed=0) == "test":
            assert assign_split(prompt, larger, seed=0) == "test"


def test_empty_shares_are_empty():
    only_train = SplitConfig(validation=0.0, test=0.0)
    assert {assign_split(prompt, only_train, seed=0) for prompt in PROMPTS[:500]} == {"train"}


def test_a_side_that_is_known_goes_before_and_outer_white_space_does_not_count():
    """By its text "my sink leaks" is a training prompt (above), and "my door squeaks" is held out."""
    known = sides_of([Prompt.of("my sink leaks ", "test"), Prompt.of("\n\nHuman: my tap\n\nAssistant:", "validation")])
    for text in ("my sink leaks", " my sink leaks", "my sink leaks\n"):
        assert side_of(text, known, CONFIG, seed=0) == "test"
    assert side_of("Human: my tap\n\nAssistant:", known, CONFIG, seed=0) == "validation"
    assert side_of("my door squeaks", known, CONFIG, seed=0) == "test"
    assert side_of("my sink leaks", sides_of([]), CONFIG, seed=0) == "train"
