"""Every two labelers of every prompt: how alike they order it, over time and where they contradict each other most."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

import numpy as np

from models.preferences.agreement import alpha_of_values, compared_by_both
from models.preferences.vote_table import VoteTable
from models.records import Rating
from models.shapes import Float, Int

MAX_POINTS = 20  # of a line over time
MAX_DISAGREEMENTS = 100


@dataclass(frozen=True)
class AgreementPoint:
    """The agreement of all judgements made until a moment; None where nothing can be compared."""

    label: str
    num_judgements: int
    alpha: float | None
    tau_b: float | None


@dataclass(frozen=True)
class Disagreement:
    """A prompt and the two labelers who contradict each other most about it: of what both compared, how many are reversed."""

    prompt_id: str
    labelers: tuple[str, str]
    num_reversed: int
    num_compared: int
    is_of_reliable: bool = False
    """Whether both can be relied on."""


class AlphaValues(NamedTuple):
    """What Krippendorff's alpha is computed from: `value[r]` was given to `unit[r]` at POSIX time `at[r]`."""

    unit: Int[np.ndarray, " R"]
    value: Float[np.ndarray, " R"]
    at: Float[np.ndarray, " R"]
    level: Literal["nominal", "ordinal"]


SaidAt = Mapping[tuple[str, str], datetime]
"""(prompt id, labeler) -> when this labeler last judged the prompt."""


class LabelerPairs:
    """One entry per prompt and two labelers who both compared some of its completions.

    P pairs: `first[P]` and `second[P]` are voters of `votes`, `tau_b[P]` is Kendall's tau-b on what both compared (nan where one
    of them ties everything), `num_reversed[P]` of `num_compared[P]` comparisons stand the other way round.
    """

    def __init__(self, votes: VoteTable):
        self.votes = votes
        pair, left, right = compared_by_both(votes)
        found, pair = np.unique(pair, return_inverse=True)
        self.first, self.second = np.divmod(found, max(len(votes.voter_labeler), 1))
        untied = np.bincount(pair, left**2) * np.bincount(pair, right**2)
        with np.errstate(invalid="ignore"):
            self.tau_b = np.bincount(pair, left * right) / np.sqrt(untied)  # 0 / 0 = nan: no order to compare
        self.num_reversed = np.bincount(pair, left * right < 0).astype(np.int64)
        self.num_compared = np.bincount(pair)

    def disagreements(self, reliability: Mapping[str, float], relied_on: Collection[str] = ()) -> list[Disagreement]:
        """The prompts that two labelers see most differently, the sharpest contradiction first.

        Contradictions of two who are both `relied_on` come before the others. Of each prompt the pair of labelers counts whose share
        of reversed comparisons, times the reliability of both, is highest; without reliability, the share alone.
        """
        votes = self.votes
        trust = np.array([reliability[name] for name in votes.labelers])[votes.voter_labeler]
        is_known = np.array([name in relied_on for name in votes.labelers])[votes.voter_labeler]
        both = is_known[self.first] & is_known[self.second]
        share = self.num_reversed / self.num_compared
        order = np.lexsort((-share, -share * trust[self.first] * trust[self.second], ~both))
        found: dict[str, Disagreement] = {}
        for pair in order[self.num_reversed[order] > 0].tolist():
            prompt_id, _ = votes.questions[votes.voter_question[self.first[pair]]]
            if prompt_id not in found:
                one, other = (votes.labelers[votes.voter_labeler[side[pair]]] for side in (self.first, self.second))
                reversed_of = int(self.num_reversed[pair]), int(self.num_compared[pair])
                found[prompt_id] = Disagreement(prompt_id, (one, other), *reversed_of, bool(both[pair]))
                if len(found) == MAX_DISAGREEMENTS:
                    break
        return list(found.values())


def agreement_over_time(
    values: AlphaValues, pairs: LabelerPairs | None, said_at: SaidAt, moments: Sequence[datetime]
) -> list[AgreementPoint]:
    """Alpha and mean tau-b of all that was said until each point of `points_in_time(moments)`.

    The figures are those of models/preferences/agreement.py on what was said until then; `pairs` None: no tau-b.
    """
    tau_b, pair_at = np.zeros(0), np.zeros(0)
    if pairs is not None:
        at = _voter_times(pairs.votes, said_at)
        known = ~np.isnan(pairs.tau_b)
        tau_b, pair_at = pairs.tau_b[known], np.maximum(at[pairs.first], at[pairs.second])[known]
    found = []
    for label, until, number in points_in_time(moments):
        then = values.at <= until
        alpha = alpha_of_values(values.unit[then], values.value[then], values.level)
        taus = tau_b[pair_at <= until]
        found.append(
            AgreementPoint(
                label, number, None if math.isnan(alpha) else alpha, float(taus.mean()) if len(taus) else None
            )
        )
    return found


def values_of_rankings(votes: VoteTable, said_at: SaidAt) -> AlphaValues:
    """The place that each labeler gives each completion among two or more: 0 for best, 1 for last, ties share their mean."""
    several = (votes.num_entries[votes.entry_ranking] >= 2).astype(float)
    share = votes.voice_mean(several)
    said = share > 0
    places = votes.voice_mean(votes.place * several)[said] / share[said]
    at = _voter_times(votes, said_at)[votes.voice_voter[said]]
    return AlphaValues(votes.voice_item[said], places, at, "ordinal")


def values_of_ratings(ratings: Sequence[Rating], said_at: SaidAt) -> AlphaValues:
    """The yes or no to each completion."""
    _, unit = np.unique([one.completion_id for one in ratings], return_inverse=True)
    at = np.array([said_at[one.prompt_id, one.labeler].timestamp() for one in ratings])
    return AlphaValues(unit, np.array([one.wanted for one in ratings], dtype=float), at, "nominal")


def disagreements_of_ratings(ratings: Sequence[Rating]) -> list[Disagreement]:
    """The prompts with a completion that some labelers want and others do not, the most evenly split first."""
    said: dict[tuple[str, str], dict[bool, list[str]]] = {}
    for one in ratings:
        said.setdefault((one.prompt_id, one.completion_id), {True: [], False: []})[one.wanted].append(one.labeler)
    sharpest: dict[str, tuple[float, Disagreement]] = {}
    for (prompt_id, _), by in said.items():
        if by[True] and by[False]:
            size = len(by[True]) + len(by[False])
            apart, pairs = len(by[True]) * len(by[False]), size * (size - 1) // 2
            one = Disagreement(prompt_id, (min(by[True]), min(by[False])), apart, pairs)
            sharpest[prompt_id] = max(sharpest.get(prompt_id, (0, one)), (apart / pairs, one), key=lambda two: two[0])
    ordered = sorted(sharpest.values(), key=lambda two: -two[0])
    return [one for _, one in ordered[:MAX_DISAGREEMENTS]]


def points_in_time(moments: Sequence[datetime]) -> list[tuple[str, float, int]]:
    """(label, POSIX time, number of moments until then): the end of each day (UTC), or each tenth if all lie on one day.

    Of more than 20 days, 20 evenly spread ones with the last among them.
    """
    ordered = sorted(moments)
    last_of_day = {moment.date().isoformat(): number for number, moment in enumerate(ordered, start=1)}
    if len(last_of_day) > 1:
        days = list(last_of_day.items())
        step = max(1, len(days) / MAX_POINTS)
        chosen = [days[math.ceil((n + 1) * step) - 1] for n in range(min(len(days), MAX_POINTS))]
    else:
        ends = sorted({math.ceil(len(ordered) * tenth / 10) for tenth in range(1, 11)} - {0})
        chosen = [(ordered[end - 1].strftime("%H:%M"), end) for end in ends]
    return [(label, ordered[end - 1].timestamp(), end) for label, end in chosen]


def _voter_times(votes: VoteTable, said_at: SaidAt) -> Float[np.ndarray, " V"]:
    places = zip(votes.voter_question.tolist(), votes.voter_labeler.tolist(), strict=True)
    moments = (said_at[votes.questions[question][0], votes.labelers[labeler]] for question, labeler in places)
    return np.array([moment.timestamp() for moment in moments])
