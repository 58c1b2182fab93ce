"""What a tuned policy's texts may show long before anybody reads them: longer and longer, the same again and again, cut off, all alike."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from models.evaluation.metrics import Match

DRIFT, RISE, FEWER = 0.25, 0.05, 0.2


class Sign(NamedTuple):
    """A figure of the base's texts and of the policy's; `warning`: what is wrong and what to do, where something is."""

    name: str
    base: float
    policy: float
    is_share: bool
    warning: str | None


def repeats_itself(text: str) -> bool:
    """Whether some three words in a row stand in it three times or more."""
    words = text.split()
    counted = Counter(zip(words, words[1:], words[2:], strict=False))
    return max(counted.values(), default=0) >= 3


def warning_signs(matches: Sequence[Match]) -> list[Sign]:
    """Words a text; shares of texts that repeat themselves, that were cut off, and of different ones among all."""
    texts = ([one.base_completion for one in matches], [one.policy_completion for one in matches])
    ended = ([one.base_ended for one in matches], [one.policy_ended for one in matches])
    count = len(matches)
    words = [sum(len(text.split()) for text in own) / count for own in texts]
    repeated = [sum(map(repeats_itself, own)) / count for own in texts]
    cut_off = [1 - sum(own) / count for own in ended]
    distinct = [len(set(own)) / count for own in texts]
    longer = words[1] / words[0] - 1 if words[0] else 0.0
    return [
        Sign(
            "words a text",
            *words,
            False,
            f"{abs(longer):.0%} {'longer' if longer > 0 else 'shorter'}: does the reward pay for length? Compare win rates at equal lengths."
            if abs(longer) > DRIFT
            else None,
        ),
        Sign(
            "texts that repeat themselves",
            *repeated,
            True,
            "more of them: raise tuning.kl.coef, or stop earlier" if repeated[1] - repeated[0] > RISE else None,
        ),
        Sign(
            "texts that were cut off",
            *cut_off,
            True,
            "more of them: raise sampling.max_new_tokens, or let tuning.missing_end cost more"
            if cut_off[1] - cut_off[0] > RISE
            else None,
        ),
        Sign(
            "different texts among all",
            *distinct,
            True,
            "fewer: the policy falls back on a few texts; raise tuning.kl.coef, or lower the learning rate"
            if distinct[0] - distinct[1] > FEWER
            else None,
        ),
    ]
