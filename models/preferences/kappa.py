"""Agreement on categories beyond chance: Cohen's kappa of two raters, Fleiss' kappa of any number. Loads no torch."""

import math

import numpy as np

from models.errors import DataError
from models.shapes import Real


def cohen_kappa(a: Real[np.ndarray, " U"], b: Real[np.ndarray, " _U"]) -> float:
    """Cohen's kappa of two raters, `a[u]` and `b[u]` the categories of unit u: 1 = full agreement, 0 = chance, below 0 = against.

    kappa = (p_o - p_e) / (1 - p_e): p_o is the share of units with equal categories, p_e = sum_c p_ac p_bc what two raters who
    use the categories as often, but at random, would reach. A unit with nan on either side is left out. nan where no unit is
    left or both used one and the same category throughout. Raises DataError for unequal lengths.
    Source: Cohen 1960, "A coefficient of agreement for nominal scales", eq. 1.
    """
    if a.shape != b.shape:
        raise DataError(f"kappa compares two raters of the same units, found {len(a)} and {len(b)} ratings")
    both = ~(np.isnan(a) | np.isnan(b))
    distinct, category = np.unique(np.stack([a[both], b[both]]), return_inverse=True)
    if len(distinct) < 2:
        return math.nan
    counts_a, counts_b = (np.bincount(one, minlength=len(distinct)) for one in category.reshape(2, -1))
    num_units = np.count_nonzero(both)
    agreed, by_chance = np.count_nonzero(a[both] == b[both]) * num_units, counts_a @ counts_b
    return float((agreed - by_chance) / (num_units**2 - by_chance))


def fleiss_kappa(ratings: Real[np.ndarray, "raters units"]) -> float:
    """Fleiss' kappa of a table of categories with nan for missing: 1 = full agreement, 0 = chance, below 0 = against.

    kappa = (P - P_e) / (1 - P_e). P is the mean over units of the share of agreeing pairs of ratings,
    P_u = sum_c n_uc (n_uc - 1) / (n_u (n_u - 1)), and P_e = sum_c p_c^2 with p_c the mean over units of n_uc / n_u. Raters need
    not be the same people from unit to unit. Units with fewer than two ratings are left out; nan where no unit is left or only
    one category was used.
    Source: Fleiss 1971, "Measuring nominal scale agreement among many raters", for equal numbers of ratings. For unequal
    ones every unit counts the same in both means: Gwet 2014, "Handbook of Inter-Rater Reliability", 4th ed., ch. 2, whose p_c
    takes in units with one rating too. With two raters and nothing missing this is Scott's pi.
    """
    units, raters = np.nonzero(~np.isnan(ratings.T))
    kept = np.bincount(units)[units] >= 2
    distinct, category = np.unique(ratings[raters[kept], units[kept]], return_inverse=True)
    if len(distinct) < 2:
        return math.nan
    _, unit = np.unique(units[kept], return_inverse=True)
    cells = np.bincount(unit * len(distinct) + category, minlength=(unit[-1] + 1) * len(distinct))
    counts = cells.reshape(-1, len(distinct))
    size = counts.sum(axis=1)
    observed = ((counts * (counts - 1)).sum(axis=1) / (size * (size - 1))).mean()
    expected = ((counts / size[:, None]).mean(axis=0) ** 2).sum()
    return float((observed - expected) / (1 - expected))
