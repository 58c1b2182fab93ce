"""How often what a model writes is preferred to what people wrote, as in figure 1 of Stiennon et al. 2020, "Learning to summarize from human feedback".

No torch.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from models.evaluation.intervals import mean_interval, win_rate
from models.evaluation.judges.judge import Judge
from models.evaluation.metrics import Meeting, prompt_outcome
from models.records import Record
from models.written_numbers import nats

REFERENCE = "human reference"
VERSIONS = ("pretrained", "sft", "best_of_n", "policy")
"""What is compared with the references: what fine-tuning started from, the fine-tuned model, the best of n completions of what the policy
was tuned from, and the policy."""
FIGURE = "preferred_to_reference"


class VersionSample(Record):
    """What a version, or a person (`human reference`), wrote to a held-out prompt; `score` by the reward that the policy was tuned on."""

    prompt: str
    version: str
    completion: str
    score: float


def outcomes_by_version(judge: Judge, samples: Sequence[VersionSample]) -> dict[str, dict[str, float]]:
    """Version -> prompt -> the share of (completion, reference) of the prompt in which the completion is judged higher; equal counts half."""
    grades: dict[tuple[str, str], list[float]] = defaultdict(list)
    given = judge.grade([one.prompt for one in samples], [one.completion for one in samples])
    for sample, grade in zip(samples, given, strict=True):
        grades[sample.version, sample.prompt].append(grade)
    prompts = list(dict.fromkeys(sample.prompt for sample in samples))
    return {
        version: {prompt: prompt_outcome(grades[version, prompt], grades[REFERENCE, prompt]) for prompt in prompts}
        for version in VERSIONS
        if any(sample.version == version for sample in samples)
    }


def share_figures(judge: str, outcomes: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """`preferred_to_reference/<version>/<judge>` with `_low` and `_high`, the 95 % interval over prompts, of each version; and of each
    two, as `policy-sft`, by how much the later one's share is higher, prompt by prompt."""
    told = {version: win_rate(list(own.values())) for version, own in outcomes.items()}
    for first, second in combinations(outcomes, 2):
        gains = np.subtract(list(outcomes[second].values()), list(outcomes[first].values()))
        reach = np.max(np.abs(gains)) or 1.0  # prompts at which nothing differs do not show that nowhere anything does
        told[f"{second}-{first}"] = mean_interval(gains, np.ones(len(gains)), reach)
    return {
        f"{FIGURE}/{name}/{judge}{end}": value
        for name, rate in told.items()
        for end, value in zip(("", "_low", "_high"), rate, strict=True)
    }


def shares_told(report: Mapping[str, Any]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Judge -> version -> share preferred to the reference, with its interval, out of the figures of a report; of its judges in their order."""
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for judge in report["judges"]:
        for version in VERSIONS:
            name = f"{FIGURE}/{version}/{judge}"
            if name in report:
                found.setdefault(judge, {})[version] = (report[name], report[f"{name}_low"], report[f"{name}_high"])
    return found


def share_lines(report: Mapping[str, Any]) -> list[str]:
    """What a report says of the versions beside people, in lines for people: a line for each judge, and how far from the base the price is."""
    lines = []
    for judge, own in shares_told(report).items():
        shares = ", ".join(
            f"{version} {share:.3f} ({low:.3f} to {high:.3f})" for version, (share, low, high) in own.items()
        )
        learned_from = report["judges"][judge]["learned_from"]
        lines.append(f"{judge}: preferred to the human reference: {shares}; it has learned from {learned_from}")
    if lines:
        lines.append(
            f"KL to the base, nats a completion: policy {nats(report['kl_nats'])}, best of {report['best_of']} at most "
            f"{report['best_of_kl_nats_bound']:.1f}"
        )
    return lines


def meetings_with_reference(
    judge: str, outcomes: Mapping[str, Mapping[str, float]], names: Mapping[str, str]
) -> list[Meeting]:
    """Each version's meetings with the references, prompt by prompt, for Elo ratings. `names`: version -> what it goes by there."""
    return [
        Meeting(
            prompt=prompt,
            judge=judge,
            policy=names[version],
            base=REFERENCE,
            result=(outcome > 0.5) + 0.5 * (outcome == 0.5),
        )
        for version, own in outcomes.items()
        for prompt, outcome in own.items()
    ]
