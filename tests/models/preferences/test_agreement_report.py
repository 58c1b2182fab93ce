"""The report on agreement: by criterion, of rankings and of yes and no, and as people read it."""

import pytest

from models.errors import DataError
from models.preferences.agreement_report import AgreementReport, CriterionAgreement, LabelerReport
from models.preferences.consensus import agree
from models.records import Ranking, Rating
from models.settings.pipeline import ConsensusConfig

BORDA = ConsensusConfig(method="borda")
# Krippendorff 2011, "Computing Krippendorff's alpha-reliability", section A: ten articles, yes or no, two observers; alpha = .095.
MEG, OWEN = (0, 1, 0, 0, 0, 0, 0, 0, 1, 0), (1, 1, 1, 0, 0, 1, 0, 0, 0, 0)


def said(labeler: str, answers: tuple[int, ...], per_prompt: int) -> list[Rating]:
    return [
        Rating.of(f"p{number // per_prompt}", f"c{number}", labeler, "clear", bool(answer))
        for number, answer in enumerate(answers)
    ]


def ranked(ratings: list[Rating], per_prompt: int) -> list[Ranking]:
    """What follows from ratings: the wanted ones first."""
    rankings = []
    for begin in range(0, len(ratings), per_prompt):
        own = ratings[begin : begin + per_prompt]
        levels = [[one.completion_id for one in own if one.wanted is wanted] for wanted in (True, False)]
        rankings.append(Ranking.of(own[0].prompt_id, own[0].labeler, "clear", [level for level in levels if level]))
    return rankings


@pytest.mark.parametrize("per_prompt", [2, 5, 10])
def test_yes_and_no_is_taken_over_all_prompts_together(per_prompt):
    """However the ten are spread over prompts: one where all say yes tells nothing by itself, and much beside one where all say no."""
    meg, owen = said("meg", MEG, per_prompt), said("owen", OWEN, per_prompt)
    _, report = agree(ranked(meg, per_prompt) + ranked(owen, per_prompt), BORDA, meg + owen)
    assert round(report.krippendorff_alpha, 3) == 0.095
    assert (report.percent_agreement, report.leave_one_out_agreement) == (
        0.6,
        0.6,
    )  # 6 of 10 alike, whoever is left out
    assert report.mean_tau_b is None
    (row,) = report.criteria
    assert (row.criterion, row.judged, row.num_judgements) == ("clear", "ratings", 20)
    assert row.krippendorff_alpha == report.krippendorff_alpha


def test_all_yes_in_one_prompt_and_all_no_in_another_is_full_agreement():
    """By prompt there is nothing but ties, which a labeler who says no to everything would make as well."""
    alike = [said(name, (1, 1, 0, 0), 2) for name in ("ann", "bob")]
    never = said("cem", (0, 0, 0, 0), 2)
    rankings = [one for own in (*alike, never) for one in ranked(own, 2)]
    both = [one for own in alike for one in own]
    assert agree(rankings[:4], BORDA, both)[1].krippendorff_alpha == 1
    # units 110 110 000 000: o01 = 2 units x 2 pairs (1, 0) / (3 - 1) = 2; n1 = 4, n0 = 8: 1 - (12 - 1) o01 / (n0 n1)
    assert agree(rankings, BORDA, both + never)[1].krippendorff_alpha == pytest.approx(1 - 11 * 2 / 32)


def test_each_criterion_has_its_figures():
    rankings = [Ranking.of("p", name, "helpful", ["a", "b"]) for name in ("ann", "bob")]
    rankings += [Ranking.of("p", "ann", "safe", ["a", "b"]), Ranking.of("p", "bob", "safe", ["b", "a"])]
    _, report = agree(rankings, BORDA)
    helpful, safe = report.criteria
    assert (helpful.criterion, helpful.judged, helpful.num_judgements) == ("helpful", "rankings", 2)
    assert (helpful.percent_agreement, helpful.leave_one_out_agreement, helpful.mean_tau_b) == (1, 1, 1)
    assert (safe.percent_agreement, safe.leave_one_out_agreement, safe.mean_tau_b) == (0, 0, -1)
    assert (report.percent_agreement, report.leave_one_out_agreement, report.mean_tau_b) == (0.5, 0.5, 0)


def test_a_tie_agrees_with_a_tie_alone():
    rankings = [
        Ranking.of("p", name, "helpful", levels)
        for name, levels in [("ann", ["ab"]), ("bob", ["ab"]), ("cem", ["a", "b"])]
    ]
    _, report = agree(rankings, BORDA)
    # ann and bob alike, of three pairs; ann's others are a tie and a strict one: 1/2, so bob's; cem's are two ties
    assert (report.percent_agreement, report.leave_one_out_agreement) == (pytest.approx(1 / 3), pytest.approx(1 / 3))


def test_rankings_beside_ratings_have_their_own_row():
    ratings = said("ann", (1, 0), 2) + said("bob", (1, 1), 2)
    rankings = ranked(ratings[:2], 2) + ranked(ratings[2:], 2)
    rankings += [Ranking.of("q", name, "clear", ["x", "y"]) for name in ("ann", "bob")]
    _, report = agree(rankings, BORDA, ratings)
    assert [(one.judged, one.num_judgements, one.percent_agreement) for one in report.criteria] == [
        ("rankings", 2, 1),
        ("ratings", 4, 0.5),
    ]
    assert report.percent_agreement == 1


def test_nothing_to_agree_on():
    with pytest.raises(DataError, match="no rankings"):
        agree([], BORDA, said("ann", (1,), 1))


def test_the_summary_names_whoever_looks_upside_down():
    fair = LabelerReport(
        labeler="ann",
        num_rankings=12,
        reliability=0.9,
        agreement=None,
        tie_rate=0.25,
        unusable_rate=0.0,
        upside_down=False,
    )
    odd = fair.model_copy(update={"labeler": "bob|x", "agreement": -0.5, "reliability": 0.0, "upside_down": True})
    figures = {
        "krippendorff_alpha": None,
        "mean_tau_b": 0.5,
        "percent_agreement": 0.7123,
        "leave_one_out_agreement": 0.657,
    }
    row = CriterionAgreement(criterion="a|b", judged="rankings", num_judgements=24, **figures)
    report = AgreementReport(**figures, num_prompts=6, num_rankings=24, criteria=(row,), labelers=(fair, odd))
    text = report.summary()
    assert "24 rankings of 6 prompts" in text
    assert "| a\\|b | 24 rankings | n/a | 0.500 | 71.2% | 65.7% |" in text
    assert "| ann | 12 | 0.900 | n/a | 25% | 0% |  |" in text
    assert "| bob\\|x | 12 | 0.000 | -0.500 | 25% | 0% | upside down? |" in text
    assert text.count("ranks against the others: check whether the instructions were understood") == 1
    assert "ranks against" not in report.model_copy(update={"labelers": (fair,)}).summary()
