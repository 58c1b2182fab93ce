"""Kappas against published examples, exact fractions worked by hand, and what must change nothing."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import DataError
from models.preferences.agreement import krippendorff_alpha
from models.preferences.kappa import cohen_kappa, fleiss_kappa

NAN = math.nan
# The table printed most often: 10 subjects, 14 raters, 5 categories; how many raters gave each category.
TEXTBOOK = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]
# Fleiss 1971, Table 1: 30 patients, 6 psychiatrists; depression, personality disorder, schizophrenia, neurosis, other.
PSYCHIATRISTS = [
    *([0, 0, 0, 6, 0], [0, 3, 0, 0, 3], [0, 1, 4, 0, 1], [0, 0, 0, 0, 6], [0, 3, 0, 3, 0], [2, 0, 4, 0, 0]),
    *([0, 0, 4, 0, 2], [2, 0, 3, 1, 0], [2, 0, 0, 4, 0], [0, 0, 0, 0, 6], [1, 0, 0, 5, 0], [1, 1, 0, 4, 0]),
    *([0, 3, 3, 0, 0], [1, 0, 0, 5, 0], [0, 2, 0, 3, 1], [0, 0, 5, 0, 1], [3, 0, 0, 1, 2], [5, 1, 0, 0, 0]),
    *([0, 2, 0, 4, 0], [1, 0, 2, 0, 3], [0, 0, 0, 0, 6], [0, 1, 0, 5, 0], [0, 2, 0, 1, 3], [2, 0, 0, 4, 0]),
    *([1, 0, 0, 4, 1], [0, 5, 0, 1, 0], [4, 0, 0, 0, 2], [0, 2, 0, 4, 0], [1, 0, 5, 0, 0], [0, 0, 0, 0, 6]),
]

same = settings(max_examples=100, deadline=None, derandomize=True)
category = st.sampled_from([0.0, 1.0, 2.0, NAN])
tables = st.tuples(st.integers(2, 5), st.integers(1, 8)).flatmap(
    lambda size: st.lists(st.lists(category, min_size=size[1], max_size=size[1]), min_size=size[0], max_size=size[0])
)


def two_raters(*table: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The ratings behind a square table: `table[i][j]` units were put into i by the first and into j by the second."""
    cells = [(i, j) for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)]
    a, b = np.array(cells, dtype=float).T
    return a, b


def ratings(counts: list[list[int]]) -> np.ndarray:
    """A table [raters, units] with so many raters of each category in each unit."""
    return np.array([np.repeat(np.arange(float(len(row))), row) for row in counts]).T


@pytest.mark.parametrize(
    ("table", "by_hand"),
    [
        # 50 proposals. p_o = 35/50; p_e = (25*30 + 25*20) / 2500 = 1/2; (.7 - .5) / .5
        (((20, 5), (10, 15)), 0.4),
        # Cohen 1960, printed .492. p_o = 140/200; p_e = (100*120 + 60*60 + 40*20) / 200^2 = 82/200; (140 - 82) / (200 - 82)
        (((88, 10, 2), (14, 40, 6), (18, 10, 12)), 58 / 118),
        # Gwet's abstractors, printed .7964094. p_o = 89/100; p_e = (13*13 + 27*24 + 60*63) / 100^2 = 4597/10000
        (((13, 0, 0), (0, 20, 7), (0, 4, 56)), 4303 / 5403),
        # each the opposite of the other: p_o = 0, p_e = 1/2
        (((0, 3), (3, 0)), -1.0),
        # the two share no category: p_o = p_e = 0
        (((0, 4), (0, 0)), 0.0),
    ],
)
def test_cohen_of_published_tables(table, by_hand):
    assert cohen_kappa(*two_raters(*table)) == pytest.approx(by_hand, abs=1e-12)


def test_cohen_leaves_out_units_that_one_rater_saw():
    a, b = two_raters((20, 5), (10, 15))
    a, b = np.append(a, [0, NAN, NAN, 7]), np.append(b, [NAN, 1, NAN, NAN])
    assert cohen_kappa(a, b) == pytest.approx(0.4, abs=1e-12)


def test_cohen_is_undefined_without_variation_or_overlap():
    assert math.isnan(cohen_kappa(np.full(3, 7), np.full(3, 7)))
    assert math.isnan(cohen_kappa(np.array([1.0, NAN]), np.array([NAN, 2.0])))
    assert math.isnan(cohen_kappa(np.array([]), np.array([])))
    with pytest.raises(DataError, match="found 2 and 3"):
        cohen_kappa(np.array([1, 2]), np.array([1, 2, 3]))


@pytest.mark.parametrize(
    ("counts", "by_hand"),
    [
        # sum n^2 = 828, P = (828 - 140) / (10*14*13) = 172/455; column sums 20 28 39 21 32,
        # P_e = 4170 / 140^2 = 417/1960; over 25480: (9632 - 5421) / (25480 - 5421) = .20993
        (TEXTBOOK, 4211 / 20059),
        # printed .430. sum n^2 = 680, P = (680 - 180) / (30*6*5) = 5/9; column sums 26 26 30 55 43,
        # P_e = 7126 / 180^2 = 3563/16200; over 16200: (9000 - 3563) / (16200 - 3563)
        (PSYCHIATRISTS, 5437 / 12637),
    ],
)
def test_fleiss_of_published_tables(counts, by_hand):
    assert fleiss_kappa(ratings(counts)) == pytest.approx(by_hand, abs=1e-12)


def test_fleiss_of_two_raters_is_scotts_pi():
    # Printed .7962397 (Gwet). p_o = .89; pooled 26 51 123 of 200: p_e = (676 + 2601 + 15129) / 40000 = 18406/40000
    table = np.stack(two_raters((13, 0, 0), (0, 20, 7), (0, 4, 56)))
    assert fleiss_kappa(table) == pytest.approx((35600 - 18406) / (40000 - 18406), abs=1e-12)


def test_fleiss_with_unequal_numbers_of_ratings():
    # Units (a a b), (a a), (b b), (b): the last has one rating and is left out.
    # P_u = 2/6, 1, 1, P = 7/9; p_a = (2/3 + 1 + 0) / 3 = 5/9, p_b = 4/9, P_e = 41/81; (63 - 41) / (81 - 41)
    table = np.array([[0.0, 0.0, NAN, 1.0], [0.0, NAN, 1.0, NAN], [1.0, 0.0, 1.0, NAN]])
    assert fleiss_kappa(table) == pytest.approx(22 / 40, abs=1e-12)


def test_fleiss_of_gwets_example_with_missing_ratings():
    # Krippendorff's twelve units; Gwet's package prints .76117, since it counts the last unit's one rating in p_3. Of the eleven
    # others 2 (2 2 3 2) and 8 (1 1 2 1) have P_u = 1/2, 6 (1 2 3 4) has 0, the rest 1: P = (8 + 2 * 1/2) / 11 = 9/11.
    # p_1 = (1 + 1/4 + 3/4 + 1) / 11 = 3/11, p_2 = (3/4 + 1 + 1/4 + 1/4 + 1) / 11 = 13/44, p_3 = (1/4 + 1 + 1 + 1/4) / 11 = 10/44,
    # p_4 = (1/4 + 1) / 11 = 5/44, p_5 = 1/11; P_e = (12^2 + 13^2 + 10^2 + 5^2 + 4^2) / 44^2 = 454/1936
    table = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
            [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
        ]
    )
    assert fleiss_kappa(table) == pytest.approx((1584 - 454) / (1936 - 454), abs=1e-12)


def test_fleiss_is_undefined_without_variation_or_overlap():
    assert math.isnan(fleiss_kappa(np.full((3, 4), 2)))
    assert math.isnan(fleiss_kappa(np.array([[1.0, NAN], [NAN, 2.0]])))
    assert math.isnan(fleiss_kappa(np.array([[1.0, 1.0], [1.0, NAN], [NAN, NAN]])))
    assert math.isnan(fleiss_kappa(np.full((2, 0), NAN)))


def test_kappa_of_full_agreement_is_one():
    assert cohen_kappa(np.array([1, 2, 2]), np.array([1, 2, 2])) == 1
    assert fleiss_kappa(np.array([[1, 2, 2], [1, 2, 2], [1, 2, 2]])) == 1


@pytest.mark.parametrize("counts", [TEXTBOOK, PSYCHIATRISTS])
def test_fleiss_and_krippendorff_differ_by_the_small_sample_term(counts):
    # Nothing missing, N ratings in all: 1 - alpha = (1 - kappa) (N - 1) / N (Krippendorff 2004, "Reliability in content analysis").
    table = ratings(counts)
    disagreement = (1 - fleiss_kappa(table)) * (table.size - 1) / table.size
    assert krippendorff_alpha(table, "nominal") == pytest.approx(1 - disagreement, abs=1e-12)


@same
@given(tables, st.permutations([0, 1, 2]), st.randoms())
def test_names_of_categories_and_order_of_raters_and_units_change_nothing(rows, names, chance):
    table = np.array(rows)
    known = ~np.isnan(table)
    renamed = np.full(table.shape, NAN)
    renamed[known] = 10.0 * np.array(names)[table[known].astype(int)] - 3
    raters, units = list(range(len(table))), list(range(table.shape[1]))
    chance.shuffle(raters)
    chance.shuffle(units)
    other = renamed[raters][:, units]
    assert fleiss_kappa(other) == pytest.approx(fleiss_kappa(table), abs=1e-12, nan_ok=True)
    assert cohen_kappa(renamed[1], renamed[0]) == pytest.approx(cohen_kappa(table[0], table[1]), abs=1e-12, nan_ok=True)


@same
@given(tables)
def test_kappa_is_at_most_one_and_one_only_for_full_agreement(rows):
    table = np.array(rows)
    compared = [unit[~np.isnan(unit)] for unit in table.T if np.count_nonzero(~np.isnan(unit)) >= 2]
    agree = all(len(set(unit)) == 1 for unit in compared)
    kappa = fleiss_kappa(table)
    if not math.isnan(kappa):
        assert (kappa == pytest.approx(1, abs=1e-12)) if agree else (kappa < 1)
