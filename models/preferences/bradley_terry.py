"""Bradley-Terry strengths: the most probable ones, by Newton's method for any number of prompts at once. Loads no torch."""

import numpy as np
from scipy.sparse import csr_array
from scipy.special import expit

from models.shapes import Float, Int

MAX_STEPS = 100


def fit_strengths(
    first: Int[np.ndarray, " M"],
    second: Int[np.ndarray, " M"],
    won: Float[np.ndarray, " M"],
    sharpness: Float[np.ndarray, " M"],
    weight: Float[np.ndarray, " M"],
    variance: Float[np.ndarray, " I"],
    start: Float[np.ndarray, " I"],
    tolerance: float = 1e-9,
) -> Float[np.ndarray, " I"]:
    """The most probable strengths given how sharply each comparison tells (`won`: 1 first above, .5 tie, 0 below).

    Minimises sum weight [log(1 + e^z) - won z] + sum theta^2 / (2 variance), z = sharpness (theta_first - theta_second).
    Strictly convex, so there is one answer; it is taken when no slope exceeds `tolerance`. Newton's method, its steps by
    conjugate gradients (Nocedal & Wright 2006, section 7.1) and shortened where they overshoot. Comparisons of the same two that
    stand next to each other are summed first, which is what makes it quick.
    """
    starts = np.flatnonzero(np.diff(first, prepend=-1) | np.diff(second, prepend=-1))
    if not len(starts):
        return np.zeros(len(variance))
    count = np.diff(starts, append=len(first))
    ends = np.stack([first[starts], second[starts]], axis=1).ravel()
    signs = np.tile([1.0, -1.0], len(starts))
    gaps = csr_array((signs, ends, np.arange(0, len(ends) + 1, 2)), shape=(len(starts), len(variance)))
    pull = weight * sharpness
    pull_won = np.add.reduceat(pull * won, starts)

    def slope_and_curvature(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p = expit(sharpness * np.repeat(gaps @ theta, count))
        bend = pull * p
        slope = gaps.T @ (np.add.reduceat(bend, starts) - pull_won) + theta / variance
        return slope, np.add.reduceat(bend * (1 - p) * sharpness, starts)

    theta = start
    slope, curvature = slope_and_curvature(theta)
    for _ in range(MAX_STEPS):
        if np.abs(slope).max() < tolerance:
            break
        step = _newton_step(gaps, curvature, variance, slope)
        downhill, length = slope @ step, 1.0
        while True:
            slope, curvature = slope_and_curvature(theta + length * step)
            if slope @ step < -0.9 * downhill:
                break
            length *= downhill / (
                downhill - slope @ step
            )  # it rises there as steeply as it fell: where it would be level
        theta = theta + length * step
    return theta


def _newton_step(
    gaps: csr_array,
    curvature: Float[np.ndarray, " C"],
    variance: Float[np.ndarray, " I"],
    slope: Float[np.ndarray, " I"],
) -> Float[np.ndarray, " I"]:
    """Solves (G^T diag(curvature) G + diag(1 / variance)) step = -slope by conjugate gradients, more closely near the end."""
    step, rest = np.zeros(len(slope)), -slope
    direction, size = rest, rest @ rest
    enough = size * min(0.01, np.sqrt(size))
    while size > enough:
        bent = gaps.T @ (curvature * (gaps @ direction)) + direction / variance
        along = size / (direction @ bent)
        step, rest = step + along * direction, rest - along * bent
        size, before = rest @ rest, size
        direction = rest + size / before * direction
    return step
