"""What each labeler of a batch does: speed, ties, agreement, gold accuracy, and whether the order shown sways them."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from labeling.store.counted import Counted
from labeling.store.qualification import pairs_in_order
from models.preferences.agreement_report import LabelerReport
from models.preferences.position_bias import PositionBias, places_as_shown, position_bias
from models.records import Rating

MIN_FOR_SPEED = 5  # judgements with a time
FAST_SHARE = 1 / 3  # of the median time of the others
LEAST_SECONDS = 1.0  # for a completion: nobody reads one in less
MIN_PROMPTS = 10  # to be relied on
MIN_RELIABILITY = 0.5


@dataclass(frozen=True)
class LabelerFigures:
    """One labeler in one batch. A figure is None where there is nothing to compute it from, or the labeler has withdrawn or
    is left out.

    `num_judgements` leaves out gold prompts. `tie_rate`, `unusable_rate`, `reliability`, `is_upside_down` as in the report of
    models/preferences/agreement.py. `agreement`: mean tau-b with the others; of ratings, the share of the others' ratings of the same
    completions that say the same. `wanted_rate`: share of ratings that want the completion. `gold_accuracy`: share of
    `num_gold_pairs` that are ordered as known. `as_shown_quickly`: share of rankings that repeat the order shown exactly and
    took less than half the batch's median time. `is_very_fast`: of 5 judgements or more, the median time is less than a third of the
    others', or less than a second for each completion shown.
    """

    labeler: str
    is_withdrawn: bool
    is_left_out: bool
    is_unqualified: bool
    num_judgements: int
    num_prompts: int
    median_seconds: float | None
    is_very_fast: bool
    tie_rate: float | None
    unusable_rate: float | None
    wanted_rate: float | None
    agreement: float | None
    reliability: float | None
    is_upside_down: bool
    gold_accuracy: float | None
    num_gold_pairs: int
    position_bias: PositionBias | None
    as_shown_quickly: float | None

    @property
    def can_be_relied_on(self) -> bool:
        """Whether 10 prompts or more show a reliability of .5 or more, and the labeler does not rank upside down."""
        is_known = self.num_prompts >= MIN_PROMPTS and self.reliability is not None
        return is_known and self.reliability >= MIN_RELIABILITY and not self.is_upside_down


def labeler_figures(
    counted: Sequence[Counted],
    ratings: Sequence[Rating],
    reports: Mapping[str, LabelerReport],
    unqualified: Container[str],
) -> list[LabelerFigures]:
    """One entry per labeler with a judgement that counts, by name; those who are left out and who withdrew stand last. `unqualified`: who
    did not qualify for the batch."""
    of_labeler: dict[tuple[bool, bool, str], list[Counted]] = {}
    for one in counted:
        of_labeler.setdefault((one.is_withdrawn, one.is_left_out, one.labeler), []).append(one)
    times = [(one.labeler, one.seconds) for one in counted if one.is_learned_from and one.seconds is not None]
    quick = median(seconds for _, seconds in times) / 2 if times else 0.0
    same = _same_as_others(ratings)
    found = []
    for (is_withdrawn, is_left_out, name), own in sorted(of_labeler.items()):
        judged = [one for one in own if one.gold_levels is None]
        seconds = [one.seconds for one in judged if one.seconds is not None]
        report = None if judged and judged[0].wanted is not None else reports.get(name)
        right, num_gold_pairs = gold_pairs(own)
        found.append(
            LabelerFigures(
                labeler=name,
                is_withdrawn=is_withdrawn,
                is_left_out=is_left_out,
                is_unqualified=name in unqualified,
                num_judgements=len(judged),
                num_prompts=len({one.prompt_id for one in judged}),
                median_seconds=median(seconds) if seconds else None,
                is_very_fast=is_very_fast(judged, [taken for other, taken in times if other != name]),
                tie_rate=report.tie_rate if report else None,
                unusable_rate=report.unusable_rate if report else None,
                wanted_rate=_share([one.wanted for one in judged if one.wanted is not None]),
                agreement=report.agreement if report else same.get(name),
                reliability=report.reliability if report else None,
                is_upside_down=report is not None and report.upside_down,
                gold_accuracy=right / num_gold_pairs if num_gold_pairs else None,
                num_gold_pairs=num_gold_pairs,
                position_bias=position_bias(
                    [places_as_shown(one.places, one.shown) for one in judged if one.levels is not None]
                ),
                as_shown_quickly=_share([repeats_order(one, quick) for one in judged if one.levels and one.shown]),
            )
        )
    return found


def gold_pairs(counted: Sequence[Counted]) -> tuple[float, int]:
    """(how many, of how many) pairs of gold completions stand in the known order; a tie where one is better counts half.

    Pairs that are tied in the known order say nothing, and a completion that is not in it is not compared.
    """
    counts = [pairs_in_order(one.gold_levels, one.places) for one in counted if one.gold_levels and one.levels]
    return sum(right for right, _ in counts), sum(of for _, of in counts)


def repeats_order(one: Counted, quick: float) -> bool:
    """Whether a ranking is exactly the order shown, with nothing tied, and took less than `quick` seconds."""
    if one.seconds is None or one.seconds >= quick:
        return False
    return places_as_shown(one.places, one.shown) == list(range(1, len(one.shown) + 1))


def is_very_fast(judged: Sequence[Counted], others: Sequence[float]) -> bool:
    """Whether someone takes less than a third of the `others`' median time (in seconds), or less than a second for each completion shown."""
    timed = [one for one in judged if one.seconds is not None]
    if len(timed) < MIN_FOR_SPEED:
        return False
    if median(one.seconds / len(one.completion_ids) for one in timed) < LEAST_SECONDS:
        return True
    return bool(others) and median(one.seconds for one in timed) < FAST_SHARE * median(others)


def _same_as_others(ratings: Sequence[Rating]) -> dict[str, float]:
    """Labeler -> share of the others' ratings of the completions they rated that say the same."""
    said = Counter((one.completion_id, one.wanted) for one in ratings)
    same, others = Counter(), Counter()
    for one in ratings:
        agreeing = said[one.completion_id, one.wanted] - 1
        same[one.labeler] += agreeing
        others[one.labeler] += agreeing + said[one.completion_id, not one.wanted]
    return {name: same[name] / number for name, number in others.items() if number}


def _share(truths: Sequence[bool]) -> float | None:
    return sum(truths) / len(truths) if truths else None
