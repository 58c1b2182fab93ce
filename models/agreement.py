"""How far labelers agree: Krippendorff's alpha, Kendall's tau-b, and a report that a person can read. Loads no torch."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from models.errors import DataError
from models.records import Ranking, Record
from models.shapes import Float, Int, Real

UPSIDE_DOWN_TAU = -0.2  # weaker disagreement than this may be taste
UPSIDE_DOWN_RANKINGS = 10  # with fewer rankings, bad luck looks like a misread instruction


class LabelerReport(Record):
    """How one labeler works.

    `reliability`: 1 = counts in full, 0 = says nothing of what the others say (as do ties where the others see a difference); `agreement`: mean tau-b against the mean places that the
    *others* gave (None where nobody else ranked the same); `tie_rate`: share of ties among comparisons of usable completions;
    `unusable_rate`: share of seen completions marked unusable; `upside_down`: ranks against the others too often for chance.
    """

    labeler: str
    num_rankings: int
    reliability: float
    agreement: float | None
    tie_rate: float
    unusable_rate: float
    upside_down: bool


class AgreementReport(Record):
    """Agreement of all labelers; a figure is None where nothing can be compared.

    `krippendorff_alpha` is ordinal, over the places that rankings give (a unit is one completion by one criterion).
    """

    krippendorff_alpha: float | None
    mean_tau_b: float | None
    num_prompts: int
    num_rankings: int
    labelers: tuple[LabelerReport, ...]

    def summary(self) -> str:
        """Markdown: the figures, one table row per labeler, and a warning for each who looks upside down."""
        lines = [
            f"{self.num_rankings} rankings of {self.num_prompts} prompts. Krippendorff's alpha (ordinal, places) "
            f"{_figure(self.krippendorff_alpha)}, mean Kendall tau-b {_figure(self.mean_tau_b)} (1 = full agreement, 0 = chance).",
            "",
            "| labeler | rankings | reliability | agreement with the others | ties | unusable | note |",
            "|---|---:|---:|---:|---:|---:|---|",
        ]
        for one in self.labelers:
            note = "upside down?" if one.upside_down else ""
            name = one.labeler.replace("|", "\\|")
            lines.append(
                f"| {name} | {one.num_rankings} | {_figure(one.reliability)} | {_figure(one.agreement)} "
                f"| {one.tie_rate:.0%} | {one.unusable_rate:.0%} | {note} |"
            )
        warnings = [
            f"- **{one.labeler}** ranks against the others: check whether the instructions were understood."
            for one in self.labelers
            if one.upside_down
        ]
        return "\n".join([*lines, "", *warnings]) if warnings else "\n".join(lines)


def _figure(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def krippendorff_alpha(
    ratings: Float[np.ndarray, "raters units"], level: Literal["nominal", "ordinal", "interval"]
) -> float:
    """Krippendorff's alpha of a ratings table with nan for missing: 1 = full agreement, 0 = chance, below 0 = against.

    alpha = 1 - D_o / D_e from the coincidence matrix; units with fewer than two ratings are left out; nan where
    no rating varies or none can be compared. Source: Krippendorff 2011, "Computing Krippendorff's alpha-reliability".
    """
    units, raters = np.nonzero(~np.isnan(ratings.T))
    return alpha_of_values(units, ratings[raters, units], level)


def alpha_of_values(
    units: Int[np.ndarray, " R"], values: Float[np.ndarray, " R"], level: Literal["nominal", "ordinal", "interval"]
) -> float:
    """Krippendorff's alpha of a list of ratings (`values[r]` was given to unit `units[r]`), in time linear in its length.

    Coincidences o_ck = sum_u n_uc (n_uk - [c = k]) / (m_u - 1) and marginals n_c, with distances nominal [c != k], interval
    (c - k)^2, and ordinal (sum_{g=c..k} n_g - (n_c + n_k) / 2)^2. The ordinal one is the interval one between the mid-ranks
    cumsum(n)_c - n_c / 2; sums of squared differences follow from sums and sums of squares, so o is never written out.
    """
    sizes = np.bincount(units)
    kept = sizes[units] >= 2 if len(units) else np.zeros(0, dtype=bool)
    if not kept.any():
        return math.nan
    _, unit = np.unique(units[kept], return_inverse=True)
    distinct, value = np.unique(values[kept], return_inverse=True)
    size, marginal = np.bincount(unit), np.bincount(value)
    total = len(unit)
    if level == "nominal":
        cells, in_cell = np.unique(unit * len(distinct) + value, return_counts=True)
        same = np.bincount(cells // len(distinct), in_cell.astype(float) ** 2)
        observed = ((size**2 - same) / (size - 1)).sum()
        expected = total**2 - (marginal.astype(float) ** 2).sum()
    else:
        scale = distinct if level == "interval" else np.cumsum(marginal) - marginal / 2
        x = (scale - scale[value].mean())[value]  # centred: the difference of large sums would lose digits
        sums, squares = np.bincount(unit, x), np.bincount(unit, x**2)
        observed = (2 * (size * squares - sums**2) / (size - 1)).sum()
        expected = 2 * (total * squares.sum() - sums.sum() ** 2)
    if len(distinct) < 2:
        return math.nan
    return float(1 - observed * (total - 1) / expected)


def kendall_tau_b(a: Real[np.ndarray, " K"], b: Real[np.ndarray, " _K"]) -> float:
    """Kendall's tau-b of two orders of the same things: 1 = same order, -1 = reversed; nan if one side is all ties.

    (concordant - discordant) / sqrt(pairs untied in a * pairs untied in b). Source: Kendall 1945, "The treatment of ties in
    ranking problems". Raises DataError for unequal lengths.
    """
    if a.shape != b.shape:
        raise DataError(f"tau-b compares equally many places, found {len(a)} and {len(b)}")
    i, j = np.triu_indices(len(a), 1)
    x, y = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
    untied = np.count_nonzero(x) * np.count_nonzero(y)
    return float((x * y).sum() / math.sqrt(untied)) if untied else math.nan


def mean_tau_b(rankings: Sequence[Ranking]) -> float:
    """Mean tau-b over every two labelers of every prompt and criterion, on the completions both saw; nan if there is none.

    Unusable completions stand last together. Two rankings of which one ties everything have no tau-b and do not count.
    Raises DataError where one labeler ranked one prompt by one criterion twice.
    """
    return VoteTable(rankings).mean_tau_b()


class VoteTable:
    """Rankings as flat arrays, in an order that does not depend on the order of the input.

    A *question* is one prompt by one criterion, an *item* one completion in a question, an *entry* one completion in one
    ranking, a *comparison* two entries of one ranking. R rankings, E entries, M comparisons, I items. `place[E]` is 0 for best
    and 1 for last, ties share their mean; `sign[M]` is 1 if the first entry is above the second, -1 if below, 0 if tied.
    Raises DataError naming prompt, labeler and criterion of a duplicate.
    """

    def __init__(self, rankings: Sequence[Ranking]):
        self.rankings = sorted(rankings, key=lambda one: (one.prompt_id, one.criterion, one.labeler))
        for one, other in zip(self.rankings, self.rankings[1:], strict=False):
            if (one.prompt_id, one.criterion, one.labeler) == (other.prompt_id, other.criterion, other.labeler):
                raise DataError(f"prompt {one.prompt_id}: labeler {one.labeler} ranked it twice by {one.criterion}")
        self.labelers = sorted({one.labeler for one in self.rankings})
        number = {name: index for index, name in enumerate(self.labelers)}
        self.labeler = np.array([number[one.labeler] for one in self.rankings], dtype=np.int64)
        self._collect_entries()
        self._collect_comparisons()

    def _collect_entries(self) -> None:
        questions: dict[tuple[str, str], set[str]] = {}
        for one in self.rankings:
            questions.setdefault((one.prompt_id, one.criterion), set()).update(one.places)
        self.questions = list(questions)
        names = [sorted(seen) for seen in questions.values()]
        self.item_names = [name for seen in names for name in seen]
        self.num_items = np.array([len(seen) for seen in names], dtype=np.int64)
        self.item_start = np.cumsum(self.num_items) - self.num_items
        index = {key: number for number, key in enumerate(self.questions)}
        item = {
            (question, name): int(self.item_start[question]) + slot
            for question, seen in enumerate(names)
            for slot, name in enumerate(seen)
        }
        self.question = np.array([index[one.prompt_id, one.criterion] for one in self.rankings], dtype=np.int64)
        self.num_rankings = np.bincount(self.question, minlength=len(self.questions))
        rows = [
            (ranking, item[question, name], place, place > len(one.levels))
            for ranking, (one, question) in enumerate(zip(self.rankings, self.question.tolist(), strict=True))
            for name, place in sorted(one.places.items())
        ]
        columns = np.array(rows, dtype=np.int64).reshape(-1, 4)
        self.entry_ranking, self.entry_item, self._level, marked = columns.T
        self.entry_unusable = marked.astype(bool)

    def _collect_comparisons(self) -> None:
        self.num_entries = np.bincount(self.entry_ranking, minlength=len(self.rankings))
        start = np.cumsum(self.num_entries) - self.num_entries
        firsts, seconds = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for size in np.unique(self.num_entries):
            i, j = np.triu_indices(size, 1)
            starts = start[self.num_entries == size]
            firsts.append((starts[:, None] + i).ravel())
            seconds.append((starts[:, None] + j).ravel())
        first, second = np.concatenate(firsts), np.concatenate(seconds)
        by_ranking = np.argsort(self.entry_ranking[first], kind="stable")
        self.first, self.second = first[by_ranking], second[by_ranking]
        self.ranking = self.entry_ranking[self.first]
        self.sign = np.sign(self._level[self.second] - self._level[self.first])
        below = np.bincount(self.first, (1 - self.sign) / 2, len(self.entry_item))
        below += np.bincount(self.second, (1 + self.sign) / 2, len(self.entry_item))
        self.place = below / np.maximum(self.num_entries[self.entry_ranking] - 1, 1)

    def mean_tau_b(self) -> float:
        """See the function of this name. Rankings of one question are joined on the pair of items they compare."""
        pair = self.entry_item[self.first] * (len(self.item_names) + 1) + self.entry_item[self.second]
        order = np.lexsort((self.ranking, pair))
        pair, ranking, sign = pair[order], self.ranking[order], self.sign[order]
        keys, lefts, rights = [], [], []
        for lag in range(1, len(pair)):
            both = np.flatnonzero(pair[lag:] == pair[:-lag])
            if not len(both):
                break
            keys.append(ranking[both] * len(self.rankings) + ranking[both + lag])
            lefts.append(sign[both])
            rights.append(sign[both + lag])
        if not keys:
            return math.nan
        _, group = np.unique(np.concatenate(keys), return_inverse=True)
        taus = _grouped_tau_b(group, np.concatenate(lefts), np.concatenate(rights))
        return float(np.nanmean(taus)) if not np.isnan(taus).all() else math.nan

    def tau_with_others(self) -> Float[np.ndarray, " R"]:
        """Tau-b of each ranking with the mean places that the others gave in its question; nan where undefined."""
        total = np.bincount(self.entry_item, self.place)[self.entry_item]
        others = np.bincount(self.entry_item)[self.entry_item] - 1
        mean = np.where(others > 0, (total - self.place) / np.maximum(others, 1), np.nan)
        difference = np.round(mean[self.second] - mean[self.first], 9)  # equal means must not differ by a rounding
        known = ~np.isnan(difference)
        return _grouped_tau_b(
            self.ranking[known], self.sign[known], np.sign(difference[known]), num_groups=len(self.rankings)
        )


def _grouped_tau_b(
    group: Int[np.ndarray, " M"], a: np.ndarray, b: np.ndarray, num_groups: int = 0
) -> Float[np.ndarray, " G"]:
    """Tau-b of each group from the signs of its comparisons on both sides; nan where one side is all ties."""
    shared = np.bincount(group, a * b, num_groups)
    untied = np.bincount(group, a * a, num_groups) * np.bincount(group, b * b, num_groups)
    return np.where(untied > 0, shared / np.sqrt(np.maximum(untied, 1)), np.nan)


def looks_upside_down(taus: Float[np.ndarray, " R"]) -> bool:
    """Whether a labeler's tau-b values with the others are clearly negative: at least 10, mean below -.2, and the upper end
    of the mean's 95 % interval (mean + 1.96 standard errors) below 0."""
    if len(taus) < UPSIDE_DOWN_RANKINGS:
        return False
    upper = taus.mean() + 1.96 * taus.std(ddof=1) / math.sqrt(len(taus))
    return bool(taus.mean() < UPSIDE_DOWN_TAU and upper < 0)
