"""The report on how far labelers agree, by criterion and labeler, which a person can read. Loads no torch."""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from models.plain_text import plain
from models.preferences.agreement import alpha_of_values, looks_upside_down, mean_tau_b_of, shares_of_agreement
from models.preferences.position_bias import PositionBias, places_as_shown, position_bias
from models.preferences.vote_table import VoteTable
from models.records import Ranking, Rating, Record
from models.shapes import Float


class LabelerReport(Record):
    """How one labeler works.

    `reliability`: 1 = counts in full, 0 = says nothing of what the others say (as do ties where the others see a difference); `agreement`: mean tau-b against the mean places that the
    *others* gave (None where nobody else ranked the same); `tie_rate`: share of ties among comparisons of usable completions;
    `unusable_rate`: share of seen completions marked unusable; `upside_down`: ranks against the others too often for chance;
    `position_bias`: None where the order shown is not known.
    """

    labeler: str
    num_rankings: int
    reliability: float
    agreement: float | None
    tie_rate: float
    unusable_rate: float
    upside_down: bool
    position_bias: PositionBias | None = None


class Agreement(Record):
    """How far labelers agree; a figure is None where nothing can be compared.

    Of rankings: `krippendorff_alpha` is ordinal, over the places that they give (a unit is one completion by one criterion);
    `mean_tau_b` as `mean_tau_b`; `percent_agreement` and `leave_one_out_agreement` as `shares_of_agreement`, over what was said of
    the same two completions (above, tied, below). Of yes and no: `krippendorff_alpha` is nominal, a unit is a completion, and
    all prompts are taken together; the shares are over yes and no; there is no tau-b.
    """

    krippendorff_alpha: float | None
    mean_tau_b: float | None
    percent_agreement: float | None
    leave_one_out_agreement: float | None


class CriterionAgreement(Agreement):
    """How far labelers agree by one criterion, where they ranked or where they said yes or no."""

    criterion: str
    judged: Literal["rankings", "ratings"]
    num_judgements: int


class AgreementReport(Agreement):
    """Agreement of all labelers: of all criteria together, of each (`criteria`), and each labeler's.

    A ranking that follows from the ratings of its labeler is none in these figures: the ratings are what was said. Together,
    rankings count where there are any, and ratings where there are none.
    """

    num_prompts: int
    num_rankings: int
    position_bias: PositionBias | None = None
    criteria: tuple[CriterionAgreement, ...]
    labelers: tuple[LabelerReport, ...]

    def summary(self) -> str:
        """Markdown: the figures, one table row per criterion and per labeler, and a warning for each who looks upside down."""
        lines = [
            f"{self.num_rankings} rankings of {self.num_prompts} prompts. Krippendorff's alpha (ordinal over places; nominal over yes and no) and "
            "Kendall's tau-b: 1 = full agreement, 0 = chance. Percent agreement: two people say the same of the same two completions "
            "(or of one, yes or no). Leave-one-out: one says what most of the others say. A tie agrees with a tie alone.",
            "",
            "| criterion | judgements | alpha | mean tau-b | percent agreement | leave-one-out |",
            "|---|---:|---:|---:|---:|---:|",
        ]
        for of in self.criteria:
            shares = f"{_percent(of.percent_agreement)} | {_percent(of.leave_one_out_agreement)}"
            lines.append(
                f"| {plain(of.criterion)} | {of.num_judgements} {of.judged} | {_figure(of.krippendorff_alpha)} "
                f"| {_figure(of.mean_tau_b)} | {shares} |"
            )
        lines += [
            "",
            "| labeler | rankings | reliability | agreement with the others | ties | unusable | note |",
            "|---|---:|---:|---:|---:|---:|---|",
        ]
        for one in self.labelers:
            note = "upside down?" if one.upside_down else ""
            lines.append(
                f"| {plain(one.labeler)} | {one.num_rankings} | {_figure(one.reliability)} | {_figure(one.agreement)} "
                f"| {one.tie_rate:.0%} | {one.unusable_rate:.0%} | {note} |"
            )
        if self.position_bias:
            lines += ["", f"Position bias: {self.position_bias.told()}."]
        warnings = [
            f"- **{plain(one.labeler)}** ranks against the others: check whether the instructions were understood."
            for one in self.labelers
            if one.upside_down
        ]
        warnings += [
            f"- **{plain(one.labeler)}** is swayed by the order in which completions are shown: {one.position_bias.told()}."
            for one in self.labelers
            if one.position_bias and one.position_bias.is_clear
        ]
        return "\n".join([*lines, "", *warnings]) if warnings else "\n".join(lines)


def _figure(value: float | None) -> str:
    return "n/a" if value is None else f"{value:z.3f}"


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.1%}"


def report_agreement(
    votes: VoteTable, rankings: Sequence[Ranking], ratings: Sequence[Rating], labelers: tuple[LabelerReport, ...]
) -> AgreementReport:
    """The report. `votes`: the table of all rankings; `ratings`: the yes and no that some of the rankings follow from."""
    rated = {(one.prompt_id, one.labeler, one.criterion) for one in ratings}
    outright = [one for one in rankings if (one.prompt_id, one.labeler, one.criterion) not in rated]
    table = VoteTable(outright) if rated else votes
    together = of_rankings(table) if outright else of_ratings(ratings)
    rows = []
    ranked_by = sorted({one.criterion for one in outright})
    for criterion in ranked_by:
        own = [one for one in outright if one.criterion == criterion]
        found = together if len(ranked_by) == 1 else of_rankings(VoteTable(own))
        rows.append(_row(criterion, "rankings", len(own), found))
    for criterion in sorted({one.criterion for one in ratings}):
        said = [one for one in ratings if one.criterion == criterion]
        rows.append(_row(criterion, "ratings", len(said), of_ratings(said)))
    return AgreementReport(
        **together.model_dump(),
        num_prompts=len({prompt_id for prompt_id, _ in votes.questions}),
        num_rankings=votes.num_rankings,
        position_bias=position_bias(places_as_shown(one.places, one.shown) for one in rankings),
        criteria=tuple(rows),
        labelers=labelers,
    )


def _row(
    criterion: str, judged: Literal["rankings", "ratings"], num_judgements: int, found: Agreement
) -> CriterionAgreement:
    return CriterionAgreement(criterion=criterion, judged=judged, num_judgements=num_judgements, **found.model_dump())


def of_rankings(votes: VoteTable) -> Agreement:
    """How far rankings agree."""
    two = votes.first_item * (len(votes.item_names) + 1) + votes.second_item
    percent, leave_one_out = shares_of_agreement(two, votes.sign + 1, votes.labeler[votes.ranking])
    return Agreement(
        krippendorff_alpha=known(_alpha_of_places(votes)),
        mean_tau_b=known(mean_tau_b_of(votes)),
        percent_agreement=known(percent),
        leave_one_out_agreement=known(leave_one_out),
    )


def of_ratings(ratings: Iterable[Rating]) -> Agreement:
    """How far yes and no agree. Of several ratings of one completion by one labeler the last counts."""
    last = {(one.criterion, one.completion_id, one.labeler): one.wanted for one in ratings}
    wanted = np.array(list(last.values()), dtype=np.int64)
    unit, who = (
        np.unique(names, return_inverse=True)[1]
        for names in ([f"{criterion} {name}" for criterion, name, _ in last], [labeler for _, _, labeler in last])
    )
    percent, leave_one_out = shares_of_agreement(unit, wanted, who)
    return Agreement(
        krippendorff_alpha=known(alpha_of_values(unit, wanted.astype(float), "nominal")),
        mean_tau_b=None,
        percent_agreement=known(percent),
        leave_one_out_agreement=known(leave_one_out),
    )


def report_labelers(
    votes: VoteTable,
    taus: Float[np.ndarray, " R"],
    agreements: Float[np.ndarray, " L"],
    reliability: Float[np.ndarray, " L"],
    rankings: Iterable[Ranking],
) -> tuple[LabelerReport, ...]:
    """Each labeler by name. `taus`: tau-b of each ranking with what the others say; `agreements`: a labeler's agreement with them."""
    shown_to: dict[str, list[list[int]]] = {}
    for ranking in rankings:
        shown_to.setdefault(ranking.labeler, []).append(places_as_shown(ranking.places, ranking.shown))
    size = len(votes.labelers)
    usable = ~(votes.entry_unusable[votes.first] | votes.entry_unusable[votes.second])
    of_comparison, of_entry = votes.labeler[votes.ranking], votes.labeler[votes.entry_ranking]
    compared = np.bincount(of_comparison[usable], minlength=size)
    tied = np.bincount(of_comparison[usable & (votes.sign == 0)], minlength=size)
    seen, marked = np.bincount(of_entry), np.bincount(of_entry, votes.entry_unusable)
    num_rankings = np.bincount(votes.labeler)
    by_labeler = np.argsort(votes.labeler, kind="stable")
    taus_of = np.split(taus[by_labeler], np.cumsum(num_rankings)[:-1])
    return tuple(
        LabelerReport(
            labeler=name,
            num_rankings=int(num_rankings[one]),
            reliability=float(reliability[one]),
            agreement=known(agreements[one]),
            tie_rate=float(tied[one] / max(compared[one], 1)),
            unusable_rate=float(marked[one] / seen[one]),
            upside_down=looks_upside_down(taus_of[one][~np.isnan(taus_of[one])]),
            position_bias=position_bias(shown_to[name]),
        )
        for one, name in enumerate(votes.labelers)
    )


def _alpha_of_places(votes: VoteTable) -> float:
    """A unit is an item, a rating what a labeler says of it; the place of a lone completion says nothing."""
    several = (votes.num_entries[votes.entry_ranking] >= 2).astype(float)
    share = votes.voice_mean(several)
    said = share > 0
    places = votes.voice_mean(votes.place * several)[said] / share[said]
    return alpha_of_values(votes.voice_item[said], places, "ordinal")


def known(value: float) -> float | None:
    """The figure, None for nan."""
    return None if np.isnan(value) else float(value)
