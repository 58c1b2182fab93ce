"""A figure of champion and challenger on the same held-out prompts, and how surely one is worse than the other. No torch."""

import math
from collections.abc import Sequence

import numpy as np

from models.evaluation.intervals import mean_interval
from models.records import Record


class Paired(Record):
    """The figure of each, and `difference`, challenger minus champion, with its 95 % interval `low` to `high`."""

    champion: float
    challenger: float
    difference: float
    low: float
    high: float

    @classmethod
    def of(cls, champion: Sequence[float], challenger: Sequence[float], weights: Sequence[float]) -> "Paired":
        """Means of one number per prompt from each, by the prompts' weights, and their difference prompt by prompt (`mean_interval`).

        No prompt is taken to differ more, to either side, than the one that is there and differs most. All is nan without prompts.
        """
        gains = np.subtract(challenger, champion)
        reach = np.max(np.abs(gains), initial=0)
        difference, low, high = mean_interval(gains * weights, weights, reach)
        mean = math.nan if not len(weights) else float(np.average(champion, weights=weights))
        return cls(champion=mean, challenger=mean + difference, difference=difference, low=low, high=high)
