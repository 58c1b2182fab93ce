"""Which prompts to label next: those that the members of a reward disagree on most. Loads no torch.

Sources: Seung, Opper and Sompolinsky 1992, "Query by committee"; Christiano et al. 2017, "Deep reinforcement learning from human preferences",
section 2.2.4 (the variance of an ensemble's predictions of who is preferred).
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy.special import expit

from models.records import Prompt


def disagreement(members: np.ndarray, prompts: Sequence[str]) -> dict[str, float]:
    """Prompt -> the mean, over every two of its completions, of the variance over M members of `sigmoid(l_i - l_j)`: from 0 to 1/4.

    `members`: the logit that each gives to each of N completions, [M, N]; `prompts`: whose completion each is. A prompt with a single one is left out.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for number, prompt in enumerate(prompts):
        places[prompt].append(number)
    found = {}
    for prompt, own in places.items():
        if pairs := list(combinations(own, 2)):
            first, second = np.transpose(pairs)
            found[prompt] = float(expit(members[:, first] - members[:, second]).var(axis=0).mean())
    return found


def most_disputed(sampled: Sequence[Prompt], members: np.ndarray, prompts: Sequence[str], num_prompts: int) -> set[str]:
    """The ids of so many prompts: of training prompts those with the most disagreement (`members` and `prompts` as above).

    Of validation and test prompts as large a share, the first ones that were sampled: what tells how good a reward is must not be harder than
    the prompts that it is for.
    """
    share = min(1.0, num_prompts / len(sampled))
    found = disagreement(members, prompts)
    training = [one.id for one in sampled if one.split == "train"]
    others = [one.id for one in sampled if one.split != "train"]
    held = others[: round(share * len(others))]
    disputed = sorted(training, key=lambda name: -found.get(name, 0.0))
    return {*held, *disputed[: num_prompts - len(held)]}
