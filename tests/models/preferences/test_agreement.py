"""Agreement figures against published numbers and hand-worked cases."""

import json
import math
import os
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from models.preferences.agreement import (
    krippendorff_alpha,
    looks_upside_down,
    mean_tau_b,
    order_agreement,
    shares_of_agreement,
)
from models.records import Ranking

NAN = math.nan
# Krippendorff 2011, section C: four observers, twelve units, missing values.
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)


def ranking(labeler: str, *levels: str, prompt: str = "p", unusable: str = "") -> Ranking:
    """Levels as texts of one-letter completion ids: ranking("ann", "ab", "c") ties a and b above c."""
    return Ranking.of(prompt, labeler, "helpful", levels, unusable)


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_krippendorffs_own_example(level, published):
    assert round(krippendorff_alpha(PUBLISHED, level), 3) == published


@pytest.mark.parametrize(
    ("level", "by_hand"),
    [
        # Units (1,1) (1,2) (2,4). Coincidences: o11 = 2, o12 = o21 = 1, o24 = o42 = 1; n = 6, n1 = 3, n2 = 2, n4 = 1.
        # nominal: D_o = 4; D_e = (36 - 9 - 4 - 1) / 5 = 22/5; 1 - 20/22
        ("nominal", 1 - 4 / (22 / 5)),
        # interval: D_o = 2*1 + 2*4 = 10; D_e = 2 (3*2*1 + 3*1*9 + 2*1*4) / 5 = 82/5
        ("interval", 1 - 10 / (82 / 5)),
        # ordinal: d12 = 3+2 - 5/2 = 2.5, d24 = 2+1 - 3/2 = 1.5, d14 = 3+2+1 - 4/2 = 4;
        # D_o = 2*6.25 + 2*2.25 = 17; D_e = 2 (6*6.25 + 3*16 + 2*2.25) / 5 = 180/5
        ("ordinal", 1 - 17 / (180 / 5)),
    ],
)
def test_alpha_by_hand(level, by_hand):
    ratings = np.array([[1.0, 1.0, 2.0, 9.0], [1.0, 2.0, 4.0, NAN]])  # the last unit has one rating: left out
    assert krippendorff_alpha(ratings, level) == pytest.approx(by_hand, abs=1e-9)


def test_alpha_keeps_its_digits_far_from_zero():
    # Interval alpha depends on differences alone; sums of squares of 1e8 would drown them.
    assert krippendorff_alpha(PUBLISHED + 1e8, "interval") == pytest.approx(
        krippendorff_alpha(PUBLISHED, "interval"), abs=1e-9
    )


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_alpha_is_undefined_without_variation_or_overlap(level):
    assert math.isnan(krippendorff_alpha(np.full((2, 3), 7.0), level))
    assert math.isnan(krippendorff_alpha(np.array([[1.0, NAN], [NAN, 2.0]]), level))
    assert math.isnan(krippendorff_alpha(np.full((2, 0), NAN), level))


def test_mean_tau_b_takes_every_two_labelers_of_a_prompt():
    rankings = [
        ranking("ann", "a", "b", "c"),
        ranking("bob", "b", "a", "c"),  # ann 1/3
        ranking("cem", "ab", "c"),  # ann 2/sqrt 6, bob 2/sqrt 6
        ranking("dan", "abc"),  # says nothing: no tau-b
        ranking("ann", "x", "y", prompt="q"),
        ranking("bob", "y", prompt="q", unusable="x"),  # unusable comes last: -1
        ranking("eve", "s", "t", prompt="r"),  # alone
    ]
    expected = (1 / 3 + 2 * 2 / math.sqrt(6) - 1) / 4
    assert mean_tau_b(rankings) == pytest.approx(expected, abs=1e-9)
    assert mean_tau_b(rankings[::-1]) == mean_tau_b(rankings)


def test_mean_tau_b_compares_only_what_both_saw():
    # On a, b, c alone the two agree; d and e were seen by one each.
    assert mean_tau_b([ranking("ann", "d", "a", "b", "c"), ranking("bob", "a", "b", "e", "c")]) == pytest.approx(1)


def test_mean_tau_b_of_nothing_comparable():
    assert math.isnan(mean_tau_b([]))
    assert math.isnan(mean_tau_b([ranking("ann", "a", "b"), ranking("bob", "a", "b", prompt="q")]))


def test_upside_down_needs_ten_rankings_a_clear_mean_and_a_narrow_interval():
    assert looks_upside_down(np.full(10, -0.21))
    assert not looks_upside_down(np.full(9, -1.0))
    assert not looks_upside_down(np.full(10, -0.2))
    # mean -.3, sample sd sqrt(10/9) * .9539 = 1.0055, upper end -.3 + 1.96 * 1.0055 / sqrt(10) = +.323
    wide = np.array([1.0] * 3 + [-1.0] * 6 + [0.0])
    assert wide.mean() == pytest.approx(-0.3)
    assert not looks_upside_down(wide)
    # the same mean forty times over: sd .9659, upper end -.3 + 1.96 * .955 / 20 = -.206
    assert looks_upside_down(np.tile(wide, 40))


def test_shares_are_those_of_alpacaeval():
    # The two examples in the docstring of its `Analyzer.agreement_of_annotations`: four people say 1 1 1 1 of the one and 2 2 2 1 of
    # the other. One against one: (6 + 3) of 12 pairs; one against the mode of the other three: (4 + 3) of 8.
    unit, said, who = [0] * 4 + [1] * 4, [0] * 4 + [1, 1, 1, 0], [*range(4), *range(4)]
    assert shares_of_agreement(np.array(unit), np.array(said), np.array(who)) == pytest.approx((0.75, 0.875))


def test_a_mode_that_is_not_the_only_one_counts_its_share():
    # 0 0 1 2: pairs alike: 1 of 6. Each 0 has 0 1 2 for others, all three the mode: 1/3; 1 has 0 0 2: no; 2 has 0 0 1: no.
    unit, who = np.zeros(4, dtype=int), np.arange(4)
    assert shares_of_agreement(unit, np.array([0, 0, 1, 2]), who) == pytest.approx((1 / 6, 2 / 3 / 4))


def test_nobody_agrees_with_themselves_and_who_is_alone_says_nothing():
    # Person 0 says 1 three times of unit 7, person 1 says 1 and 0; unit 9 has person 2 alone.
    unit, said, who = np.array([7, 7, 7, 7, 7, 9]), np.array([1, 1, 1, 1, 0, 1]), np.array([0, 0, 0, 1, 1, 2])
    # pairs of two people: 3 x 2, half alike; 0 has others 1 0 (1/2 each), 1 has others 1 1 1 (1 and 0)
    assert shares_of_agreement(unit, said, who) == pytest.approx((0.5, (3 * 0.5 + 1 + 0) / 5))
    assert np.isnan(shares_of_agreement(unit[:3], said[:3], who[:3])).all()
    assert np.isnan(shares_of_agreement(np.zeros(0, int), np.zeros(0, int), np.zeros(0, int))).all()


@pytest.fixture(scope="module")
def rankme() -> list[dict]:
    """The rows of the RankME file, setup separate."""
    folder = os.environ.get("REIN_DATA")
    if not folder:
        pytest.skip("REIN_DATA is not set: no folder with real rankings")
    file = Path(folder) / "rankings" / "rankme_rankings.jsonl"
    if not file.is_file():
        pytest.skip("REIN_DATA holds no rankings/rankme_rankings.jsonl")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["setup"] == "separate"]


def test_alpha_of_real_scores(rankme):
    rows = [row for row in rankme if row["criterion"] == "informativeness"]
    people = sorted({one["annotator"] for row in rows for one in row["annotations"]})
    ratings = np.full((len(people), 3 * len(rows)), NAN)
    for number, row in enumerate(rows):
        for one in row["annotations"]:
            ratings[people.index(one["annotator"]), 3 * number : 3 * number + 3] = one["scores"]
    assert round(krippendorff_alpha(ratings, "interval"), 3) == 0.575


@pytest.mark.parametrize(("criterion", "known"), [("informativeness", 0.899), ("quality", 0.173)])
def test_tau_b_of_real_rankings(rankme, criterion, known):
    rankings, taus = [], []
    for row in rankme:
        if row["criterion"] != criterion:
            continue
        for one in row["annotations"]:
            levels = defaultdict(list)
            for place, rank in enumerate(one["ranks"]):
                levels[rank].append(f"{row['id']}-{place}")
            rankings.append(
                Ranking.of(row["id"], one["annotator"], criterion, [levels[rank] for rank in sorted(levels)])
            )
        taus += [kendalltau(a["ranks"], b["ranks"]).statistic for a, b in combinations(row["annotations"], 2)]
    assert round(mean_tau_b(rankings), 3) == known
    assert mean_tau_b(rankings) == pytest.approx(
        np.nanmean(taus), abs=1e-9
    )  # the joined way gives the plain one's mean


@pytest.mark.parametrize("criterion", ["informativeness", "quality"])
def test_shares_of_real_rankings_are_those_of_plain_counting(rankme, criterion):
    unit, said, who, alike, modes = [], [], [], [], []
    for number, row in enumerate(row for row in rankme if row["criterion"] == criterion):
        assert len({one["annotator"] for one in row["annotations"]}) == len(row["annotations"])
        for i, j in combinations(range(3), 2):
            signs = [int(np.sign(one["ranks"][j] - one["ranks"][i])) for one in row["annotations"]]
            alike += [a == b for a, b in combinations(signs, 2)]
            for place, sign in enumerate(signs):
                others = signs[:place] + signs[place + 1 :]
                most = [answer for answer in set(others) if others.count(answer) == max(map(others.count, others))]
                modes.append((sign in most) / len(most))
            unit += [9 * number + 3 * i + j] * len(signs)
            said += [sign + 1 for sign in signs]
            who += [int("".join(filter(str.isdigit, one["annotator"]))) for one in row["annotations"]]
    found = shares_of_agreement(np.array(unit), np.array(said), np.array(who))
    assert found == pytest.approx((np.mean(alike), np.mean(modes)), abs=1e-12)


def test_agreement_with_the_order_of_others():
    """Ann puts a > b = c. The model has a > b right, a > c tied (half) and b, c does not count; of ben's b > a it has none, and of
    what it said itself nothing is asked: (1 + .5 + 0) / 3."""
    people = [ranking("ann", "a", "bc"), ranking("ben", "b", "a"), ranking("model", "a", "b")]
    assert order_agreement([ranking("model", "ac", "b")], people) == 1.5 / 3
    assert order_agreement([ranking("model", "a", "b", prompt="q")], people) is None, "nobody else saw that prompt"
    assert order_agreement(people[:2], people[:2]) == 0, "ann and ben have a and b the other way round"
