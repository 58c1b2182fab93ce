"""How good a policy is beside another one: matches and outcomes. Pure Python, no torch."""

import math
from collections.abc import Sequence

from models.records import Record


class Meeting(Record):
    """Two models met at one held-out prompt before a judge. They go by the digests of their artifacts.

    `result`: 1 = the policy was better, .5 = equal, 0 = the base was better.
    """

    prompt: str
    judge: str
    policy: str
    base: str
    result: float


class Match(Record):
    """One held-out prompt, a completion of the base and one of the policy, both scored; `kl_nats` of the policy's own."""

    prompt: str
    base_completion: str
    policy_completion: str
    base_score: float
    policy_score: float
    base_ended: bool
    policy_ended: bool
    kl_nats: float


class Game(Record):
    """One held-out prompt, a completion of the champion and one of the challenger, and what the judge's model gives each."""

    prompt: str
    champion_completion: str
    challenger_completion: str
    champion_score: float
    challenger_score: float
    champion_ended: bool
    challenger_ended: bool


def best_of_n_kl_bound(n: int) -> float:
    """The KL of best-of-n to what it picks from is at most this, in nats: `log n - (n - 1) / n` (Stiennon et al. 2020, appendix G.3)."""
    return math.log(n) - (n - 1) / n


def prompt_outcome(policy: Sequence[float], base: Sequence[float]) -> float:
    """Share of (policy completion, base completion) of one prompt in which the policy's is judged higher; equal counts half."""
    games = [(p > b) + 0.5 * (p == b) for p in policy for b in base]
    return sum(games) / len(games)


def outcomes_by_prompt(policy: Sequence[float], base: Sequence[float], num_samples: int) -> list[float]:
    """`prompt_outcome` of each prompt, from the grades of `num_samples` completions per prompt, those of a prompt in a row."""
    return [
        prompt_outcome(policy[start : start + num_samples], base[start : start + num_samples])
        for start in range(0, len(policy), num_samples)
    ]
