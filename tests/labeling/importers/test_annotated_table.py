"""Feedback from annotated tables: a rank or score a row."""

from pathlib import Path

import pytest

from labeling.feedback import Feedback, in_order
from models.preferences.splits import assign_split
from models.records import Completion, Prompt, Ranking
from models.settings.labels import AnnotatedFile
from tests.labeling.importers.feedback_files import SEED, SPLIT, read, read_rest, refusal


def table(tmp_path: Path, text: str, **more) -> AnnotatedFile:
    (tmp_path / "ranked.csv").write_text(text, encoding="utf-8")
    return AnnotatedFile(path=str(tmp_path / "ranked.csv"), criterion="taste", **more)


RANKED = """prompt,completion,annotator,rank
Name a fruit.,Plum,w1,2
Name a fruit.,Pear,w1,1
Name a fruit.,Sand,w1,2
Name a fruit.,Sand,w2,2
Name a fruit.,Fig,w2,1
"Name a
bird.",Owl,w2,1
"Name a
bird.",Dog,w2,2
"""


def test_a_table_is_read(tmp_path):
    feedback = read(table(tmp_path, RANKED))
    fruit, bird = (Prompt.of(text, assign_split(text, SPLIT, SEED)) for text in ("Name a fruit.", "Name a\nbird."))
    plum, pear, sand, fig = (Completion.of(fruit.id, text) for text in ["Plum", "Pear", "Sand", "Fig"])
    owl, dog = (Completion.of(bird.id, text) for text in ["Owl", "Dog"])
    rankings = [
        Ranking.of(fruit.id, "w1", "taste", [[pear.id], [plum.id, sand.id]]),
        Ranking.of(fruit.id, "w2", "taste", [[fig.id], [sand.id]]),
        Ranking.of(bird.id, "w2", "taste", [[owl.id], [dog.id]]),
    ]
    assert feedback == in_order(Feedback([fruit, bird], [plum, pear, sand, fig, owl, dog], rankings))


def test_scores_of_a_table_are_compared_exactly(tmp_path):
    """9007199254740993 and …992 are one number as floats; 10 and 1e1 are one number as written."""
    text = (
        "prompt,completion,annotator,score,criterion,wave,number\n"
        "P,a,w,9007199254740992,taste,1,12\nP,b,w,9007199254740993,taste,1,12\nP,c,w,-.5,taste,1,12\n"
        "P,a,w,10,taste,2,12\nP,b,w,1e1,taste,2,12\nP,a,w,10,colour,2,12\n"
    )
    more = {"where": {"criterion": "taste"}, "session_column": "wave", "held_out_column": "number"}
    feedback = read(table(tmp_path, text, by="scores", **more))
    a, b, c = (Completion.of(feedback.prompts[0].id, text).id for text in "abc")
    assert [one.split for one in feedback.prompts] == ["test"]
    assert {(one.labeler, one.session): one.levels for one in feedback.rankings} == {
        ("w", "1"): ((b,), (a,), (c,)),
        ("w", "2"): (tuple(sorted((a, b))),),
    }


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ("P,a,w,1.05", "rank: expected a whole number from 1 on, found '1.05'"),
        ("P,a,w,1.5", "rank: expected a whole number from 1 on, found '1.5'"),
        ("P,a,w,0", "rank: expected a whole number from 1 on, found '0'"),
        ("P,a,w, 1", "rank: expected a whole number from 1 on, found ' 1'"),
        ("P,a,w,\u0661", "rank: expected a whole number from 1 on"),
        ("P,a,w,", "rank: expected a whole number from 1 on, found ''"),
        ("P,a,,1", "annotator: expected a name, found ''"),
        (",a,w,1", "prompt: expected text, found ''"),
        ("P,b,w,1", "completion: w has a row for it already, at ranked.csv:2"),
        ("P,a,w", "expected 4 fields, found 3"),
        ("P,a,w,1,1", "expected 4 fields, found 5"),
        ("Q,a,w,1", "annotator: w has no second completion of this prompt to rank it against"),
    ],
)
def test_a_bad_row_of_a_table_is_named_by_line(tmp_path, bad, complaint):
    text = f"prompt,completion,annotator,rank\nP,b,w,1\nP,c,w,2\n{bad}\n"
    assert f"ranked.csv:4: {complaint}" in refusal(table(tmp_path, text))


def test_a_ranking_with_a_bad_row_is_set_aside_whole(tmp_path):
    text = "prompt,completion,annotator,rank\nP,a,w1,1\nP,b,w1,2\nP,c,w1,first\nP,a,w2,2\nP,b,w2,1\n"
    feedback, rejected = read_rest(table(tmp_path, text), tmp_path)
    assert [one.labeler for one in feedback.rankings] == ["w2"]
    assert {one.text for one in feedback.completions} == {"a", "b"}
    assert [one["line"] for one in rejected] == [2, 3, 4]
    reason = "a row of the same prompt and annotator is bad, at ranked.csv:4"
    assert rejected[0]["reasons"] == [{"field": "annotator", "reason": reason}]


@pytest.mark.parametrize("column", ["completion", "annotator", "rank"])
def test_a_table_without_a_column_says_so(tmp_path, column):
    names = "prompt,completion,annotator,rank".replace(column, "other")
    message = refusal(table(tmp_path, f"{names}\nP,a,w,1\n"))
    assert f"ranked.csv: columns.{column}: no column {column!r}; there are " in message


# --- real rankings


def test_a_table_has_a_system_in_each_row(tmp_path):
    text = "prompt,completion,annotator,rank,by\nP,a,w,1,x\nP,b,w,2,y\nP,a,v,1,x\nP,c,v,2,z\n"
    feedback = read(table(tmp_path, text, systems_column="by"))
    texts = {one.id: one.text for one in feedback.completions}
    assert sorted((texts[one.completion_id], one.system) for one in feedback.systems) == [
        ("a", "x"),
        ("b", "y"),
        ("c", "z"),
    ]
    assert "by: no such column, but the settings ask for it" in refusal(table(tmp_path, RANKED, systems_column="by"))
