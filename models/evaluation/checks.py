"""A policy on its way: what judges say of what it wrote to validation prompts before several updates, and where score and judge part. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from models.evaluation.comparison import ENDS
from models.evaluation.intervals import win_rate
from models.evaluation.judges.judge import Judge
from models.evaluation.metrics import outcomes_by_prompt
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

    def judged_by(self, judge: Judge) -> "JudgedChecks":
        """What a judge says of all of them; each completion is graded once."""
        return JudgedChecks({update: judge.grade(self.prompts, texts) for update, texts in self.completions.items()})


@dataclass(frozen=True)
class JudgedChecks:
    """Update -> a judge's grade of each completion of the check, in the order of the prompts."""

    grades: Mapping[int, Sequence[float]]

    @cached_property
    def win_rates(self) -> dict[int, tuple[float, float, float]]:
        """Update -> win rate over the policy as it began, with its 95 % interval; one half for the first check itself."""
        start = next(iter(self.grades), 0)
        return {update: self._win_rate(update, start) for update in self.grades}

    def parting(self, scores: Mapping[int, float]) -> "Parting":
        """`scores`: update -> mean score of the check's completions."""
        peak = max(self.win_rates, key=lambda update: (self.win_rates[update][0], -update))
        last = max(self.grades)
        _, _, high = self._win_rate(last, peak)
        return Parting(peak, scores[last] > scores[peak] and high < 0.5)

    def _win_rate(self, update: int, over: int) -> tuple[float, float, float]:
        return win_rate(outcomes_by_prompt(self.grades[update], self.grades[over], num_samples=1))


@dataclass(frozen=True)
class Parting:
    """Where a judge liked the policy best, and whether tuning then went on to please the score alone.

    `peak_update`: of the check with the highest win rate over the policy as it began (the first such). `parted`: whether at the last
    check the score was higher than at the peak, but the judge's win rate over the policy of the peak, on the same prompts, surely below
    one half (95 % interval): over-optimisation (Gao et al. 2022). It is seen afterwards, on the prompts of the checks.
    """

    peak_update: int
    parted: bool


def check_steps(judged: Mapping[str, JudgedChecks], scores: Mapping[int, float], num_updates: int) -> list[StepMetrics]:
    """The curves: of each check the mean score and every judge's win rate over the policy as it began, with its 95 % interval."""
    steps = {update: {"score": score} for update, score in scores.items()}
    for kind, own in judged.items():
        for update, figures in own.win_rates.items():
            steps[update] |= {f"{kind}/win_rate{end}": figure for end, figure in zip(ENDS, figures, strict=True)}
    return [StepMetrics(step=update, num_steps=num_updates + 1, values=values) for update, values in steps.items()]
