"""An order of completions from what is said of every two of them."""

from collections.abc import Mapping


def levels_of(count: int, labels: Mapping[tuple[int, int], float], tie_width: float) -> list[list[int]]:
    """Levels of places from 0, best first. `labels`: (i, j), i < j -> the probability that i is better; pairs may be missing.

    Completions are ordered by their wins `sum_j P(i better than j)`, and stand on the level of its best one when they have at most
    2 `tie_width` wins less: of two completions that is where the better one's probability is within `tie_width` of one half. Who could not
    be compared with all others is left out, those with most such pairs first, until all that are left are compared.
    """
    chance = {**labels, **{(j, i): 1 - p for (i, j), p in labels.items()}}
    left = list(range(count))
    while missing := {i: sum((i, j) not in chance for j in left if j != i) for i in left}:
        worst = max(left, key=missing.__getitem__)
        if not missing[worst]:
            break
        left.remove(worst)
    wins = {i: sum(chance[i, j] for j in left if j != i) for i in left}
    levels: list[list[int]] = []
    for one in sorted(left, key=lambda i: -wins[i]):
        if not levels or wins[levels[-1][0]] - wins[one] > 2 * tie_width + 1e-9:
            levels.append([])
        levels[-1].append(one)
    return levels if len(left) > 1 else []
