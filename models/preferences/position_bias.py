"""Whether the order in which completions were shown sways those who rank them. Loads no torch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from statistics import fmean, stdev

from scipy.special import stdtrit

from models.records import Record

MIN_RANKINGS = 10  # with fewer, chance looks like a habit


class PositionBias(Record):
    """How far rankings follow the order in which the completions were shown, which is a random one.

    `mean` tau-b between the two, 0 = not at all, 1 = always the order shown, -1 = always its reverse, over `num_rankings` that
    do not tie everything; (`low`, `high`) is the mean's 95 % interval (Student's t, within -1 and 1), None with one ranking.
    """

    mean: float
    low: float | None
    high: float | None
    num_rankings: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0, on 10 rankings or more. By chance alone one labeler in 20 looks so."""
        if self.low is None or self.high is None or self.num_rankings < MIN_RANKINGS:
            return False
        return self.low > 0 or self.high < 0

    def told(self) -> str:
        """The figure, its interval and of how many rankings, in words for people."""
        interval = "" if self.low is None else f" ({self.low:+z.2f} to {self.high:+z.2f})"
        return f"tau-b {self.mean:+z.2f}{interval} between a ranking and the order shown, over {self.num_rankings} rankings"


def position_bias(rankings: Iterable[Sequence[int]]) -> PositionBias | None:
    """The position bias of rankings given as places in the order shown; None where none of them has a tau-b."""
    taus = [tau for tau in map(_tau_with_shown, rankings) if tau is not None]
    if not taus:
        return None
    mean = fmean(taus)
    if len(taus) == 1:
        return PositionBias(mean=mean, low=None, high=None, num_rankings=1)
    half = float(stdtrit(len(taus) - 1, 0.975)) * stdev(taus) / math.sqrt(len(taus))
    return PositionBias(mean=mean, low=max(mean - half, -1.0), high=min(mean + half, 1.0), num_rankings=len(taus))


def places_as_shown(places: Mapping[str, int], shown: Iterable[str]) -> list[int]:
    """The places that a ranking gives (completion -> place), in the order in which the completions were shown; none where nobody noted it."""
    return [places[name] for name in shown]


def _tau_with_shown(places: Sequence[int]) -> float | None:
    """Kendall's tau-b between 1, 2, …, K and these places; None if all are equal. Plain Python: many short lists."""
    follows = against = 0
    for former, latter in combinations(places, 2):
        follows += former < latter
        against += former > latter
    num_pairs, untied = len(places) * (len(places) - 1) // 2, follows + against
    return (follows - against) / math.sqrt(num_pairs * untied) if untied else None
