"""Held-out prompts before and after, as a reader wants them: the best gain, the worst loss, and some drawn blindly."""

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from models.conversation import transcript
from models.evaluation.metrics import Match

NUM_EACH = 3


class Sample(NamedTuple):
    """What the base and the policy wrote to a prompt. `judged`: who was better there by the headline judge, in words; None where it says nothing."""

    prompt: str
    base: str
    policy: str
    base_score: float
    policy_score: float
    kl_nats: float
    judged: str | None


def chosen_samples(matches: Sequence[Match], results: Mapping[str, float], seed: int) -> dict[str, list[Sample]]:
    """Heading -> samples, no prompt twice. Gain and loss are of the run's own score; the random ones are drawn without looking.

    `results`: prompt -> what the headline judge says of it, 1 = the policy is better, 0 = the base is.
    """
    firsts = {one.prompt: one for one in reversed(matches)}
    by_gain = sorted(firsts.values(), key=lambda one: one.policy_score - one.base_score)
    rng = random.Random(seed)
    drawn = rng.sample(by_gain, min(NUM_EACH, len(by_gain)))
    shown = {one.prompt for one in drawn}
    rest = [one for one in by_gain if one.prompt not in shown]
    gained = [one for one in reversed(rest) if one.policy_score > one.base_score][:NUM_EACH]
    lost = [one for one in rest if one.policy_score < one.base_score][:NUM_EACH]
    groups = {"Drawn blindly": drawn, "Score rose most": gained, "Score fell most": lost}
    return {heading: [_sample(one, results) for one in own] for heading, own in groups.items() if own}


def _sample(one: Match, results: Mapping[str, float]) -> Sample:
    result = results.get(one.prompt)
    said = None if result is None else "better" if result > 0.5 else "worse" if result < 0.5 else "no better, no worse"
    return Sample(
        transcript(one.prompt),
        one.base_completion,
        one.policy_completion,
        one.base_score,
        one.policy_score,
        one.kl_nats,
        said,
    )
