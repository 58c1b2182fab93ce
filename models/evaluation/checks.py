"""A policy on its way: what judges say of what it wrote to validation prompts before several updates, and where score and judge part. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from models.evaluation.comparison import compare
from models.evaluation.intervals import win_rate
from models.evaluation.judges.judge import Judge
from models.evaluation.progress_sample import ProgressSample
from models.records import StepMetrics


@dataclass(frozen=True)
class Checks:
    """The completions of the same prompts at each check, those of a check in a row (in the order of the prompts)."""

    prompts: list[str]
    completions: dict[int, list[str]]
    """Update -> what the policy wrote before it."""

    @classmethod
    def of(cls, samples: Sequence[ProgressSample]) -> "Checks":
        """From the records beside a tuned policy."""
        by_update = {update: list(own) for update, own in groupby(samples, key=lambda sample: sample.update)}
        first = next(iter(by_update.values()), [])
        return cls(
            [one.prompt for one in first],
            {update: [one.completion for one in own] for update, own in by_update.items()},
        )

    def win_rates(self, judge: Judge) -> dict[int, tuple[float, float, float]]:
        """Update -> win rate over the policy as it began, with its 95 % interval; one half for the first check itself."""
        start = next(iter(self.completions.values()), [])
        return {
            update: win_rate(compare(judge, self.prompts, texts, start, num_samples=1).outcomes)
            for update, texts in self.completions.items()
        }


@dataclass(frozen=True)
class Parting:
    """Where a judge liked the policy best, and whether tuning then went on to please the score alone.

    `peak_update`: of the check with the highest win rate over the policy as it began (the first such). `parted`: whether at the last
    check the score was higher than at the peak, but the judge's win rate over the policy of the peak, on the same prompts, surely below
    one half (95 % interval): over-optimisation (Gao et al. 2022). It is seen afterwards, on the prompts of the checks.
    """

    peak_update: int
    parted: bool

    @classmethod
    def of(cls, checks: Checks, judge: Judge, scores: Mapping[int, float]) -> "Parting":
        """`scores`: update -> mean score of the check's completions."""
        rates = checks.win_rates(judge)
        peak = max(rates, key=lambda update: (rates[update][0], -update))
        last = max(rates)
        _, _, high = win_rate(
            compare(judge, checks.prompts, checks.completions[last], checks.completions[peak], num_samples=1).outcomes
        )
        return cls(peak, scores[last] > scores[peak] and high < 0.5)


def check_steps(
    checks: Checks, judges: Mapping[str, Judge], scores: Mapping[int, float], num_updates: int
) -> list[StepMetrics]:
    """The curves: of each check the mean score and every judge's win rate over the policy as it began, with its 95 % interval."""
    steps = {update: {"score": scores[update]} for update in checks.completions}
    for kind, judge in judges.items():
        for update, figures in checks.win_rates(judge).items():
            names = (f"{kind}/win_rate", f"{kind}/win_rate_low", f"{kind}/win_rate_high")
            steps[update] |= dict(zip(names, figures, strict=True))
    return [StepMetrics(step=update, num_steps=num_updates + 1, values=values) for update, values in steps.items()]
