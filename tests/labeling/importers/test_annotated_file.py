"""Feedback from annotated files: ranks and scores, lists and tables."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from models.preferences.splits import assign_split
from models.records import Completion, Prompt, Ranking
from models.settings.labels import AnnotatedFile
from tests.labeling.importers.feedback_files import SEED, SPLIT, read, read_rest, refusal, write_lines


def annotated(number=5, prompt="Name a fruit.", completions=("Plum", "Pear", "Sand"), ranks=(1, 1, 3), **more) -> dict:
    return {
        "number": number,
        "prompt": prompt,
        "completions": list(completions),
        "annotations": [{"annotator": "w1", "scores": [9, 9, 0], "ranks": list(ranks)}],
    } | more


def config_for(tmp_path: Path, *rows, **more) -> AnnotatedFile:
    file = write_lines(tmp_path / "ranked.jsonl", rows)
    return AnnotatedFile(path=str(file), criterion="taste", held_out_column="number", **more)


def test_an_annotated_row_becomes_records(tmp_path):
    feedback = read(config_for(tmp_path, annotated(ranks=(3, 1, 1)), annotated(12, "Name a bird.")))
    fruit = Prompt.of("Name a fruit.", "train")  # 5 % 10 = 5, not below 3
    bird = Prompt.of("Name a bird.", "test")  # 12 % 10 = 2, below 3
    assert feedback.prompts == [fruit, bird]
    texts = ["Plum", "Pear", "Sand"]
    made = [Completion.of(prompt.id, index, text) for prompt in (fruit, bird) for index, text in enumerate(texts)]
    assert feedback.completions == made
    plum, pear, sand = (one.id for one in made[:3])
    assert feedback.rankings[0] == Ranking.of(fruit.id, "w1", "taste", [[pear, sand], [plum]])
    assert len(feedback.rankings) == 2


def test_sessions_tell_one_person_apart_and_equal_lists_are_shared(tmp_path):
    rows = [annotated(setup="one"), annotated(setup="two", ranks=(1, 2, 3))]
    feedback = read(config_for(tmp_path, *rows, session_column="setup"))
    assert len(feedback.prompts) == 1
    assert len(feedback.completions) == 3
    assert [one.labeler for one in feedback.rankings] == ["w1/one", "w1/two"]
    file = tmp_path / "ranked.jsonl"
    message = refusal(config_for(tmp_path, *rows))
    assert f"{file}:2: annotations: w1 ranked this prompt by taste already, at ranked.jsonl:1" in message


def test_another_list_of_the_same_prompt_gets_new_indices(tmp_path):
    rows = [
        annotated(setup="one"),
        annotated(setup="two", completions=["Plum", "Fig"], ranks=(2, 1)),
        annotated(setup="three", completions=["Plum", "Fig"], ranks=(1, 1)),
    ]
    feedback = read(config_for(tmp_path, *rows, session_column="setup"))
    assert [(one.index, one.text) for one in feedback.completions] == [
        (0, "Plum"),
        (1, "Pear"),
        (2, "Sand"),
        (3, "Plum"),
        (4, "Fig"),
    ]
    plum, fig = (one.id for one in feedback.completions[3:])
    assert [one.levels for one in feedback.rankings[1:]] == [((fig,), (plum,)), ((plum, fig),)]


def test_where_chooses_rows(tmp_path):
    rows = [annotated(kind="a"), annotated(prompt="Other", kind="b"), annotated(prompt="Third", kind=7)]
    feedback = read(config_for(tmp_path, *rows, where={"kind": "b"}))
    assert [one.text for one in feedback.prompts] == ["Other"]
    assert [one.text for one in read(config_for(tmp_path, *rows, where={"kind": "7"})).prompts] == ["Third"]
    message = refusal(config_for(tmp_path, *rows, where={"kind": "c"}))
    assert "no row is left of 3 after where {'kind': 'c'}" in message
    message = refusal(config_for(tmp_path, *rows, where={"sort": "c"}))
    assert "ranked.jsonl:1: sort: no such column, but `where` asks for it" in message


def test_an_empty_file_is_refused(tmp_path):
    assert "no row is left of 0" in refusal(config_for(tmp_path))
    config = AnnotatedFile(path=str(tmp_path / "none.jsonl"), criterion="taste", held_out_column="number")
    assert "none.jsonl: no such file" in refusal(config)


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (annotated(ranks=(1, 2)), "annotations.0.ranks: expected 3 ranks, found [1, 2]"),
        (annotated(ranks=(1, 2, 3, 4)), "annotations.0.ranks: expected 3 ranks, found [1, 2, 3, 4]"),
        (annotated(ranks=(0, 1, 2)), "annotations.0.ranks: expected whole numbers from 1 on, found 0"),
        (annotated(ranks=(1, -2, 2)), "annotations.0.ranks: expected whole numbers from 1 on, found -2"),
        (annotated(ranks=(1, 1.5, 2)), "annotations.0.ranks: expected whole numbers from 1 on, found 1.5"),
        (annotated(ranks=(1, float("nan"), 2)), "annotations.0.ranks: expected whole numbers from 1 on, found nan"),
        (annotated(ranks=(1, None, 2)), "annotations.0.ranks: expected whole numbers from 1 on, found None"),
        (annotated(ranks=(1, True, 2)), "annotations.0.ranks: expected whole numbers from 1 on, found True"),
        (annotated(annotations=[{"annotator": "w", "ranks": "123"}]), "annotations.0.ranks: expected 3 ranks"),
        (annotated(annotations=[{"ranks": [1, 2, 3]}]), "annotations.0.annotator: expected {annotator, ranks}"),
        (annotated(annotations=[]), "annotations: expected a list with at least one annotation, found []"),
        (annotated(completions=["Plum"], ranks=[1]), "completions: a ranking needs at least 2, found 1"),
        (annotated(completions=["Plum", None, "Fig"]), "completions: expected a list of texts"),
        (annotated(prompt=" "), "prompt: expected text, found ' '"),
        (annotated(number="5"), "number: expected a whole number, found '5'"),
        (annotated(number=True), "number: expected a whole number, found True"),
        (
            {},
            "prompt: no such column; completions: expected a list of texts, found None; number: expected a whole number",
        ),
        (annotated(12, "Name a bird."), "number: makes the prompt test, but the same text is train at "),
        ("nope", "not JSON"),
    ],
)
def test_a_bad_annotated_row_is_named_by_line_and_field(tmp_path, bad, complaint):
    good = annotated(5, "Name a bird.", annotations=[{"annotator": "w9", "ranks": [1, 2, 3]}])
    message = refusal(config_for(tmp_path, good, bad))
    assert f"ranked.jsonl:2: {complaint}" in message
    assert "  " + str(tmp_path / "ranked.jsonl:1") not in message


def test_a_missing_session_column_is_named(tmp_path):
    message = refusal(config_for(tmp_path, annotated(), session_column="setup"))
    assert "ranked.jsonl:1: setup: no such column, but `session_column` asks for it" in message


def test_mixed_criteria_are_refused(tmp_path):
    rows = [annotated(criterion="taste"), annotated(prompt="Other", criterion="colour")]
    message = refusal(config_for(tmp_path, *rows))
    assert "criterion: rows by colour, taste are mixed; choose one by `where`" in message
    assert len(read(config_for(tmp_path, *rows, where={"criterion": "taste"})).rankings) == 1


def test_every_bad_annotated_row_is_listed_at_once(tmp_path):
    rows = [annotated(ranks=(1, 2)), annotated(prompt=3), annotated(), annotated()]
    message = refusal(config_for(tmp_path, *rows))
    assert "(bad rows: 3)" in message  # lines 1 and 2 by themselves, line 4 repeats line 3
    for line in (1, 2, 4):
        assert f"  {tmp_path / 'ranked.jsonl'}:{line}: " in message


@pytest.mark.parametrize(
    ("scores", "order"),
    [([9, 9, 0], [[0, 1], [2]]), ([0.5, 1, -3], [[1], [0], [2]]), ([1, 1.0, 10**400], [[2], [0, 1]])],
)
def test_scores_rank_the_higher_one_first(tmp_path, scores, order):
    row = annotated(annotations=[{"annotator": "w1", "scores": scores}])
    feedback = read(config_for(tmp_path, row, by="scores"))
    names = [one.id for one in feedback.completions]
    assert feedback.rankings[0].levels == tuple(tuple(names[place] for place in level) for level in order)


@pytest.mark.parametrize("wrong", ["3", True, None, float("nan"), float("inf"), [1]])
def test_a_score_that_is_no_number_is_named(tmp_path, wrong):
    row = annotated(annotations=[{"annotator": "w1", "scores": [1, wrong, 2]}])
    message = refusal(config_for(tmp_path, row, by="scores"))
    assert f"ranked.jsonl:1: annotations.0.scores: expected numbers, found {wrong!r}" in message


def test_without_a_column_the_text_decides_the_split(tmp_path):
    rows = [annotated(prompt=f"Name fruit {number}.") for number in range(40)]
    file = write_lines(tmp_path / "ranked.jsonl", rows)
    sides = [one.split for one in read(AnnotatedFile(path=str(file), criterion="taste")).prompts]
    assert sides == [assign_split(one["prompt"], SPLIT, SEED) for one in rows]
    assert set(sides) == {"train", "validation", "test"}


def test_a_bad_annotation_sets_its_whole_row_aside(tmp_path):
    """Nothing of it is taken: no prompt, no completions, no side of the split."""
    two = [{"annotator": "w1", "ranks": [1, 2, 3]}, {"annotator": "w1", "ranks": [3, 2, 1]}]
    rows = [annotated(12, annotations=two), annotated(5), annotated(5, "Name a bird.")]
    feedback, rejected = read_rest(config_for(tmp_path, *rows), tmp_path)
    assert feedback.prompts == [Prompt.of("Name a fruit.", "train"), Prompt.of("Name a bird.", "train")]
    assert len(feedback.completions) == 6
    assert len(feedback.rankings) == 2
    assert [(one["line"], one["row"]) for one in rejected] == [(1, rows[0])]
    assert rejected[0]["reasons"] == [{"field": "annotations.1.annotator", "reason": "w1 stands twice in the row"}]


# --- tables


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
    plum, pear, sand, fig = (
        Completion.of(fruit.id, index, text) for index, text in enumerate(["Plum", "Pear", "Sand", "Fig"])
    )
    owl, dog = (Completion.of(bird.id, index, text) for index, text in enumerate(["Owl", "Dog"]))
    assert feedback.prompts == [fruit, bird]
    assert feedback.completions == [plum, pear, sand, fig, owl, dog]
    assert feedback.rankings == [
        Ranking.of(fruit.id, "w1", "taste", [[pear.id], [plum.id, sand.id]]),
        Ranking.of(fruit.id, "w2", "taste", [[fig.id], [sand.id]]),
        Ranking.of(bird.id, "w2", "taste", [[owl.id], [dog.id]]),
    ]


def test_scores_of_a_table_are_compared_exactly(tmp_path):
    """9007199254740993 and …992 are one number as floats; 10 and 1e1 are one number as written."""
    text = (
        "prompt,completion,annotator,score,criterion,wave,number\n"
        "P,a,w,9007199254740992,taste,1,12\nP,b,w,9007199254740993,taste,1,12\nP,c,w,-.5,taste,1,12\n"
        "P,a,w,10,taste,2,12\nP,b,w,1e1,taste,2,12\nP,a,w,10,colour,2,12\n"
    )
    more = {"where": {"criterion": "taste"}, "session_column": "wave", "held_out_column": "number"}
    feedback = read(table(tmp_path, text, by="scores", **more))
    a, b, c = (one.id for one in feedback.completions)
    assert [one.split for one in feedback.prompts] == ["test"]
    assert [(one.labeler, one.levels) for one in feedback.rankings] == [("w/1", ((b,), (a,), (c,))), ("w/2", ((a, b),))]


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
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
    assert [one.text for one in feedback.completions] == ["a", "b"]
    assert [one["line"] for one in rejected] == [2, 3, 4]
    reason = "a row of the same prompt and annotator is bad, at ranked.csv:4"
    assert rejected[0]["reasons"] == [{"field": "annotator", "reason": reason}]


@pytest.mark.parametrize("column", ["completion", "annotator", "rank"])
def test_a_table_without_a_column_says_so(tmp_path, column):
    names = "prompt,completion,annotator,rank".replace(column, "other")
    message = refusal(table(tmp_path, f"{names}\nP,a,w,1\n"))
    assert f"ranked.csv:2: {column}: " in message


# --- real rankings


def test_real_rankings():
    data = os.environ.get("REIN_DATA")
    if not data:
        pytest.skip("REIN_DATA is not set: no folder with real rankings")
    file = Path(data) / "rankings" / "rankme_rankings.jsonl"
    if not file.is_file():
        pytest.skip("REIN_DATA holds no rankings/rankme_rankings.jsonl")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    rows = [one for one in rows if one["criterion"] == "quality"]
    config = AnnotatedFile(
        path=str(file),
        where={"criterion": "quality"},
        criterion="quality",
        session_column="setup",
        held_out_column="mr_id",
    )
    feedback = read(config)
    assert len(feedback.prompts) == len({one["prompt"] for one in rows}) == 100
    assert len(feedback.completions) == len({(one["prompt"], i) for one in rows for i in range(3)}) == 300
    assert len(feedback.rankings) == sum(len(one["annotations"]) for one in rows) == 600
    assert {one.labeler for one in feedback.rankings} == {
        f"{said['annotator']}/{one['setup']}" for one in rows for said in one["annotations"]
    }
    assert Counter(one.split for one in feedback.prompts) == Counter(
        "test" if number % 10 < 3 else "train" for number in {one["mr_id"] for one in rows}
    )
    assert read(config) == feedback, "importing twice changes nothing"
    text = {one.id: one.text for one in feedback.completions}
    said = rows[0]["annotations"][0]
    best = [rows[0]["completions"][place] for place, rank in enumerate(said["ranks"]) if rank == min(said["ranks"])]
    assert [text[name] for name in feedback.rankings[0].levels[0]] == best
