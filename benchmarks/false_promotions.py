"""How often a challenger that is no better is promoted, a better one is not, and an equally good reward model is refused: simulated.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.false_promotions

1. A champion meets 200 challengers, one after the other, on the same held-out prompts, and none is better. In how many such histories is
   any of them promoted? Each kind of `KINDS` is another way in which outcomes can fall.
2. How surely is a better policy promoted, by its win rate, the number of prompts and how many challengers came before it? By the
   binomial, for outcomes without ties and with one game a prompt: with more games or with ties it is promoted sooner.
3. How often is a reward model refused for its accuracy that is as good as the champion's, or worse?

The checks are those of the program itself (models/evaluation). Prints a table of each.
"""

import argparse
from collections.abc import Callable
from itertools import product

import numpy as np
from scipy.stats import binom

from models.evaluation.intervals import sign_flip_p_value
from models.evaluation.paired import Paired
from models.evaluation.promotion import level_of
from models.settings.retraining import PromotionConfig

NUM_LOOKS = 200
NUM_PROMPTS = (20, 50, 200)
LOOKS_SHOWN, PROMPTS_SHOWN, WIN_RATES = (1, 10, 50, 200), (50, 100, 200), (0.6, 0.7, 0.84)
LOSSES = (0.0, 0.05, 0.1, 0.2)
PAIRS_PER_PROMPT = 6  # of four completions
MAX_LOSS = PromotionConfig().max_accuracy_loss

Outcomes = Callable[[np.random.Generator, int, int], np.ndarray]
"""(generator, looks, prompts) -> outcomes, a row for each look."""


def coin(rng: np.random.Generator, num_looks: int, num_prompts: int) -> np.ndarray:
    """Won or lost, one game a prompt."""
    return rng.integers(0, 2, (num_looks, num_prompts)).astype(float)


def ties(rng: np.random.Generator, num_looks: int, num_prompts: int) -> np.ndarray:
    """Four of five prompts end equal."""
    return rng.choice([0.0, 0.5, 1.0], (num_looks, num_prompts), p=[0.1, 0.8, 0.1])


def averages(rng: np.random.Generator, num_looks: int, num_prompts: int) -> np.ndarray:
    """Two completions of each, four games a prompt; all are drawn anew for each look."""
    champion, challenger = rng.normal(size=(2, num_looks, num_prompts, 2))
    return _shares(challenger, champion)


def alike(rng: np.random.Generator, num_looks: int, num_prompts: int) -> np.ndarray:
    """The champion's two completions are the same at each look, and nine tenths of what a challenger writes are as its predecessors'."""
    champion, shared = rng.normal(size=(2, num_prompts, 2))
    own = rng.normal(size=(num_looks, num_prompts, 2))
    return _shares(np.sqrt(0.9) * shared + np.sqrt(0.1) * own, champion)


def lopsided(rng: np.random.Generator, num_looks: int, num_prompts: int) -> np.ndarray:
    """Another policy, not an equal one: a little better on four of five prompts, lost on the fifth; .8 * .625 = .5. Two completions of each."""
    return rng.choice([0.625, 0.0], (num_looks, num_prompts), p=[0.8, 0.2])


KINDS: dict[str, tuple[Outcomes, int]] = {
    **{"coin": (coin, 1), "ties": (ties, 1), "averages": (averages, 2), "alike": (alike, 2)},
    "lopsided": (lopsided, 2),
}
"""Name -> how outcomes fall, and the number of completions of a prompt from each policy."""


def _shares(challenger: np.ndarray, champion: np.ndarray) -> np.ndarray:
    return (challenger[..., :, None] > champion[..., None, :]).mean(axis=(-2, -1))


def any_promoted(outcomes: np.ndarray, num_samples: int, level: Callable[[int], float] = level_of) -> bool:
    """Whether any of the challengers, a row of outcomes each, is promoted by its win rate.

    A sum of random signs is at least its standard deviation with a chance above .05 (Oleszkiewicz 1996), which promotes nobody;
    so those below it are left out.
    """
    above = outcomes - 0.5
    high = above.sum(axis=1) > np.sqrt((above**2).sum(axis=1))
    return any(sign_flip_p_value(outcomes[row], num_samples**2) <= level(row + 1) for row in np.flatnonzero(high))


def count_false_promotions(
    kind: str, num_prompts: int, num_histories: int, seed: int, level: Callable[[int], float] = level_of
) -> int:
    """In how many histories of 200 challengers that are no better one is promoted."""
    outcomes, num_samples = KINDS[kind]
    rng = np.random.default_rng([seed, num_prompts, list(KINDS).index(kind)])
    return sum(any_promoted(outcomes(rng, NUM_LOOKS, num_prompts), num_samples, level) for _ in range(num_histories))


def power(win_rate: float, num_prompts: int, look: int) -> float:
    """The chance that a policy that wins so many of its games is promoted at this look: one game a prompt, no ties."""
    for wins in range(num_prompts + 1):
        if sign_flip_p_value([1.0] * wins + [0.0] * (num_prompts - wins), 1) <= level_of(look):
            return float(binom.sf(wins - 1, num_prompts, win_rate))
    return 0.0


def refusals(loss: float, num_prompts: int, num_trials: int, seed: int) -> tuple[float, float]:
    """How often a reward model is refused whose accuracy is `loss` lower: by the interval, and if the difference itself decided.

    The champion's is right for .8 of six pairs a prompt, for more on easy prompts than on hard ones; of ten pairs the two are alike in five.
    """
    rng = np.random.default_rng([seed, num_prompts, round(1000 * loss)])
    refused = np.zeros(2)
    for _ in range(num_trials):
        chance = rng.beta(4, 1, num_prompts)[:, None]  # mean .8
        draws = rng.random((2, num_prompts, PAIRS_PER_PROMPT))
        draws[1] = np.where(rng.random(draws[1].shape) < 0.5, draws[0], draws[1])
        champion = (draws[0] < chance).mean(axis=1)
        challenger = (draws[1] < chance * (1 - loss / 0.8)).mean(axis=1)
        found = Paired.of(champion, challenger, weights=[PAIRS_PER_PROMPT] * num_prompts)
        refused += [found.high < -MAX_LOSS, found.difference < -MAX_LOSS]
    by_interval, by_difference = refused / num_trials
    return float(by_interval), float(by_difference)


def main() -> None:
    """Reads the command line, simulates, and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--histories", type=int, default=1000, help="of 200 challengers")
    parser.add_argument("--trials", type=int, default=200, help="of two reward models")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("any of 200 promoted, none better".ljust(34), *(f"{num:>4} prompts" for num in NUM_PROMPTS))
    for kind in KINDS:
        counts = (count_false_promotions(kind, num, given.histories, given.seed) for num in NUM_PROMPTS)
        print(kind.ljust(34), *(f"{count / given.histories:>12.4f}" for count in counts), flush=True)
    print("promoted, by its true win rate".ljust(34), *(f"look {look:>7}" for look in LOOKS_SHOWN))
    for rate, num in product(WIN_RATES, PROMPTS_SHOWN):
        chances = (power(rate, num, look) for look in LOOKS_SHOWN)
        print(f"{rate:.2f}, {num} prompts".ljust(34), *(f"{chance:>12.4f}" for chance in chances))
    print("reward model refused: by interval (by difference)")
    for loss, num in product(LOSSES, NUM_PROMPTS):
        by_interval, by_difference = refusals(loss, num, given.trials, given.seed)
        print(f"{loss:.2f} worse, {num} prompts".ljust(34), f"{by_interval:.4f} ({by_difference:.4f})", flush=True)


if __name__ == "__main__":
    main()
