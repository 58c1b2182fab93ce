"""How good a reward model and a policy are: accuracy, calibration, win rates with intervals. Pure Python, no torch."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

from models.records import Pair, Ranking, Record


class CalibrationBand(Record):
    """Pairs whose predicted probability lies in one band: how sure the reward model was, how often it was right."""

    lowest: float
    highest: float
    num_pairs: int
    mean_probability: float
    accuracy: float


class RewardReport(Record):
    """A reward model on held-out prompts.

    `accuracy`: share of strict consensus pairs whose preferred completion scores higher; `labeler_accuracy`: the same over
    every single labeler's strict preferences; `calibration_error`: mean distance, over pairs, of a band's mean predicted
    probability from its accuracy (expected calibration error, Naeini et al. 2015).
    """

    accuracy: float
    num_pairs: int
    labeler_accuracy: float
    accuracy_by_labeler: dict[str, float]
    calibration_error: float
    bands: tuple[CalibrationBand, ...]


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


def pair_accuracy(logits: Mapping[str, float], pairs: Sequence[tuple[str, str]]) -> float:
    """Share of (preferred, other) whose preferred one has the higher logit; equal logits count one half. nan without pairs."""
    if not pairs:
        return math.nan
    return sum((logits[a] > logits[b]) + 0.5 * (logits[a] == logits[b]) for a, b in pairs) / len(pairs)


def strict_preferences(ranking: Ranking, texts: Mapping[str, str]) -> list[tuple[str, str]]:
    """All (preferred, other) of one labeler's ranking; ties and pairs of identical texts left out."""
    places = ranking.places
    preferences = []
    for a, b in combinations(places, 2):
        if places[a] != places[b] and texts[a].strip() != texts[b].strip():
            preferences.append((a, b) if places[a] < places[b] else (b, a))
    return preferences


def calibration(
    logits: Mapping[str, float], pairs: Sequence[tuple[str, str]], num_bands: int = 5
) -> tuple[CalibrationBand, ...]:
    """Strict pairs sorted into bands by the probability `sigmoid(|difference of logits|)`, from .5 to 1; empty bands left out."""
    bands: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for better, worse in pairs:
        difference = logits[better] - logits[worse]
        probability = 1 / (1 + math.exp(-abs(difference)))
        right = 1.0 if difference > 0 else 0.5 if difference == 0 else 0.0
        bands[min(int((probability - 0.5) * 2 * num_bands), num_bands - 1)].append((probability, right))
    return tuple(
        CalibrationBand(
            lowest=0.5 + number / (2 * num_bands),
            highest=0.5 + (number + 1) / (2 * num_bands),
            num_pairs=len(rows),
            mean_probability=sum(probability for probability, _ in rows) / len(rows),
            accuracy=sum(right for _, right in rows) / len(rows),
        )
        for number, rows in sorted(bands.items())
    )


def evaluate_reward(
    logits: Mapping[str, float],
    pairs: Sequence[Pair],
    rankings: Sequence[Ranking],
    texts: Mapping[str, str],
) -> RewardReport:
    """The report of a reward model, from its logit of every held-out completion (by id)."""
    strict = [(pair.chosen, pair.rejected) for pair in pairs if pair.label > 0.5]
    by_labeler: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for ranking in rankings:
        by_labeler[ranking.labeler] += strict_preferences(ranking, texts)
    bands = calibration(logits, strict)
    return RewardReport(
        accuracy=pair_accuracy(logits, strict),
        num_pairs=len(strict),
        labeler_accuracy=pair_accuracy(logits, [pair for own in by_labeler.values() for pair in own]),
        accuracy_by_labeler={name: pair_accuracy(logits, own) for name, own in sorted(by_labeler.items()) if own},
        calibration_error=sum(band.num_pairs * abs(band.accuracy - band.mean_probability) for band in bands)
        / max(1, len(strict)),
        bands=bands,
    )


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
