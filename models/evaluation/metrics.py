"""How good a policy is beside another one: matches, outcomes, win rates with intervals. Pure Python, no torch."""

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


def wilson_interval(share: float, num_trials: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927): `(p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)`."""
    spread = z * z / num_trials
    centre = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / num_trials + spread / (4 * num_trials))
    return max(0.0, (centre - half) / (1 + spread)), min(1.0, (centre + half) / (1 + spread))


def win_rate(wins: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval of one outcome per prompt (1 = the policy is better, .5 = equal, 0 = worse).

    One number per prompt, since several completions of one prompt are no independent trials. A tie varies less than a coin,
    so the interval is, if anything, too wide.
    """
    mean = sum(wins) / len(wins)
    low, high = wilson_interval(mean, len(wins))
    return mean, low, high


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
