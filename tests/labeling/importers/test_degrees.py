"""By how much one of two is better, in files of pairs and in folders."""

import pytest

from tests.labeling.importers.feedback_files import read, refusal, write_lines
from tests.labeling.importers.test_feedback_folder import A, B, C, folder, row
from tests.labeling.importers.test_pair_file import pair, pairs


def degrees_said(feedback) -> list:
    return [one.degree for one in feedback.rankings]


@pytest.mark.parametrize(
    ("written", "degree"),
    [
        ("significantly better", "significantly_better"),
        ("Slightly_Better", "slightly_better"),
        (" negligibly ", "negligibly_better"),
        ("better", "better"),
        ("", None),
        (None, None),
    ],
)
def test_a_column_says_by_how_much(tmp_path, written, degree):
    row = pair(strength=written, winner="b")
    assert degrees_said(read(pairs(tmp_path, row, degree_column="strength"))) == [degree]
    assert degrees_said(read(pairs(tmp_path, pair(degree=written)))) == [degree], (
        "a column of this name is read unasked"
    )
    assert degrees_said(read(pairs(tmp_path, pair(degree=written), degree_column=""))) == [None]


def test_a_degree_that_is_none_is_named_by_line(tmp_path):
    message = refusal(pairs(tmp_path, pair(), pair(degree="hugely better", prompt="Q"), pair(degree=3, prompt="R")))
    told = "degree: expected one of significantly_better, better, slightly_better, negligibly_better; found"
    assert f"pairs.jsonl:2: {told} 'hugely better'" in message and f"pairs.jsonl:3: {told} 3" in message
    tie = refusal(pairs(tmp_path, pair(degree="better", winner="tie")))
    assert "pairs.jsonl:1: degree: neither is better, so that there is no degree; leave it empty" in tie
    assert "how: no such column, but `degree_column` asks for it" in refusal(
        pairs(tmp_path, pair(), degree_column="how")
    )
    again = refusal(pairs(tmp_path, pair(degree="better"), pair(degree="slightly")))
    assert "unnamed said something else of these two already" in again


def test_a_degree_is_read_and_a_word_that_is_none_is_named(tmp_path):
    said = [row(levels=[[A.id], [B.id]], degree="slightly_better"), row(labeler="bob", levels=[[A.id], [C.id]])]
    config = folder(tmp_path, *said)
    assert {one.labeler: one.degree for one in read(config).rankings} == {"ann": "slightly_better", "bob": None}
    for bad, complaint in (
        (
            row(levels=[[A.id], [B.id]], degree="hugely"),
            "rankings.jsonl:1: degree: Input should be 'significantly_better'",
        ),
        (row(degree="better"), "rankings.jsonl:1: levels: a degree is of two completions of which one is better"),
    ):
        write_lines(tmp_path / "rankings.jsonl", [bad])
        assert complaint in refusal(config)
