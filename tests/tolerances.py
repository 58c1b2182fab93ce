"""The one tolerance helper: how near a computed number must come to its expected value."""

import numpy as np
from numpy.typing import ArrayLike


def close(actual: ArrayLike, expected: ArrayLike, tolerance: float = 1e-6) -> bool:
    """Whether two numbers or arrays have one shape and differ nowhere by more than `tolerance` (absolute). nan is never close."""
    left, right = (
        np.asarray(one.detach().cpu() if hasattr(one, "detach") else one, dtype=np.float64)
        for one in (actual, expected)
    )
    return left.shape == right.shape and bool(np.all(np.abs(left - right) <= tolerance))
