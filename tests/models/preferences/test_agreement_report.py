"""The report on agreement: by criterion, of rankings and of yes and no, and as people read it."""

import math

import pytest
from scipy.stats import kendalltau

from models.errors import DataError
from models.preferences.agreement_report import AgreementReport, CriterionAgreement, LabelerReport
from models.preferences.consensus import agree
from models.preferences.position_bias import PositionBias, position_bias
from models.records import Ranking, Rating
from models.settings.pipeline import ConsensusConfig
from tests.tolerances import close

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


def test_position_bias_by_hand():
    # 1 2 3 has tau-b 1; 1 1 2 has 2 / sqrt(3 * 2); all tied has none. Student's t with one degree of freedom: 12.7062
    one, other = 1.0, 2 / math.sqrt(6)
    mean, half = (one + other) / 2, 12.7062 * (one - other) / math.sqrt(2) / math.sqrt(2)
    found = position_bias([[1, 2, 3], [1, 1, 2], [1, 1, 1]])
    assert found.num_rankings == 2
    assert close((found.mean, found.low, found.high), (mean, mean - half, 1), 1e-5)  # no mean is above 1
    assert close(position_bias([[2, 1, 1, 3]]).mean, kendalltau([1, 2, 3, 4], [2, 1, 1, 3]).statistic, 1e-9)
    assert position_bias([[2, 1]]).low is None
    assert position_bias([[1, 1]]) is None


@pytest.mark.parametrize(
    ("rankings", "is_clear"),
    [([[1, 2]] * 10, True), ([[2, 1]] * 10, True), ([[1, 2]] * 9, False), ([[1, 2]] * 8 + [[2, 1]] * 4, False)],
)
def test_position_bias_is_clear_when_its_interval_leaves_out_0_on_10_rankings(rankings, is_clear):
    # the last one: mean 1/3, sd .985, half width 2.201 * .985 / sqrt(12) = .626
    assert position_bias(rankings).is_clear is is_clear


def test_the_report_tells_it_of_each_labeler_whose_order_is_known():
    """ann repeats the order shown, bob reverses it, of cleo nobody noted it."""
    rankings = []
    for prompt in range(10):
        a, b = f"c_{prompt}a", f"c_{prompt}b"
        asked = (f"p_{prompt}", "helpfulness")
        rankings += [
            Ranking.of(asked[0], "ann", asked[1], [[a], [b]], shown=[a, b]),
            Ranking.of(asked[0], "bob", asked[1], [[a], [b]], shown=[b, a]),
            Ranking.of(asked[0], "cleo", asked[1], [[a], [b]]),
        ]
    _, report = agree(rankings, ConsensusConfig())
    assert [one.position_bias and one.position_bias.mean for one in report.labelers] == [1, -1, None]
    assert (report.position_bias.mean, report.position_bias.num_rankings) == (0, 20)
    text = report.summary()
    assert (
        "Position bias: tau-b +0.00 (-0.48 to +0.48) between a ranking and the order shown, over 20 rankings." in text
    )
    assert "**ann** is swayed by the order in which completions are shown: tau-b +1.00 (+1.00 to +1.00)" in text
    assert "**cleo** is swayed" not in text


def test_an_order_is_of_the_completions_ranked_and_no_part_of_the_id():
    levels = [["a"], ["b"]]
    known, unknown = (Ranking.of("p", "ann", "helpfulness", levels, shown=shown) for shown in (["b", "a"], ()))
    assert known.id == unknown.id
    with pytest.raises(ValueError, match="shown must hold each completion of the ranking once"):
        Ranking.of("p", "ann", "helpfulness", levels, shown=["a"])


def test_a_bias_of_next_to_nothing_has_no_sign_of_its_own():
    told = PositionBias(mean=-0.001, low=-0.004, high=0.002, num_rankings=12).told()
    assert told.startswith("tau-b +0.00 (+0.00 to +0.00) between")
    assert (
        PositionBias(mean=-0.25, low=-0.5, high=-0.004, num_rankings=12)
        .told()
        .startswith("tau-b -0.25 (-0.50 to +0.00)")
    )
