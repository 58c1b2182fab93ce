"""Feedback from annotated files: ranks and scores, lists and tables."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from labeling.feedback import Feedback, in_order
from labeling.importers.read_feedback import read_feedback
from models.preferences.splits import assign_split
from models.records import Completion, Prompt, Ranking
from models.settings.labels import AnnotatedFile
from models.settings.pipeline import SplitConfig
from tests.labeling.importers.feedback_files import SEED, SPLIT, read, read_rest, refusal, write_lines
from tests.labeling.importers.test_annotated_table import table


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
    plum, pear, sand = fruits = [Completion.of(fruit.id, text) for text in ("Plum", "Pear", "Sand")]
    birds = [Completion.of(bird.id, text) for text in ("Plum", "Pear", "Sand")]
    rankings = [
        Ranking.of(fruit.id, "w1", "taste", [[pear.id, sand.id], [plum.id]]),
        Ranking.of(bird.id, "w1", "taste", [[birds[0].id, birds[1].id], [birds[2].id]]),
    ]
    assert feedback == in_order(Feedback([fruit, bird], fruits + birds, rankings))


def test_the_order_of_lists_and_rows_changes_nothing(tmp_path):
    """WMT16 shows each judge the systems in another order."""
    rows = [
        annotated(annotations=[{"annotator": name, "ranks": ranks} for name, ranks in said.items()], completions=texts)
        for texts, said in [
            (("Plum", "Pear", "Sand"), {"w1": [1, 2, 2], "w2": [3, 1, 2]}),
            (("Fig", "Plum"), {"w1": [2, 1]}),
        ]
    ]
    shuffled = [
        annotated(annotations=[{"annotator": "w1", "ranks": [1, 2]}], completions=("Plum", "Fig")),
        annotated(annotations=[{"annotator": "w2", "ranks": [2, 3, 1]}], completions=("Sand", "Plum", "Pear")),
        annotated(annotations=[{"annotator": "w1", "ranks": [2, 2, 1]}], completions=("Pear", "Sand", "Plum")),
    ]
    feedback = read(config_for(tmp_path, *rows))
    assert len(feedback.completions) == 4 and len(feedback.rankings) == 3
    assert read(config_for(tmp_path, *shuffled)) == feedback
    texts = "prompt,completion,annotator,rank\n" + "".join(
        f"Name a fruit.,{text},{name},{rank}\n"
        for text, name, rank in [
            ("Sand", "w2", 2),
            ("Pear", "w2", 1),
            ("Plum", "w2", 3),
            ("Pear", "w1", 2),
            ("Plum", "w1", 1),
        ]
    )
    of_table = read(table(tmp_path, texts))
    assert {one.text: one.id for one in of_table.completions}.items() <= {
        one.text: one.id for one in feedback.completions
    }.items()
    assert [one for one in of_table.rankings if one.labeler == "w2"] == [
        one for one in feedback.rankings if one.labeler == "w2"
    ]


def test_one_person_in_two_sessions_stays_one_labeler(tmp_path):
    rows = [annotated(setup="one"), annotated(setup="two", ranks=(1, 2, 3))]
    feedback = read(config_for(tmp_path, *rows, session_column="setup"))
    assert len(feedback.prompts) == 1
    assert len(feedback.completions) == 3
    assert {(one.labeler, one.session) for one in feedback.rankings} == {("w1", "one"), ("w1", "two")}
    file = tmp_path / "ranked.jsonl"
    message = refusal(config_for(tmp_path, *rows))
    said = "w1 ranked these completions of this prompt by taste already, at ranked.jsonl:1"
    assert f"{file}:2: annotations: {said}" in message


def test_one_person_may_rank_several_sets_of_one_prompt(tmp_path):
    rows = [
        annotated(),
        annotated(completions=["Plum", "Pear"], ranks=(2, 1)),
        annotated(completions=["Plum", "Fig"], ranks=(1, 1)),
    ]
    feedback = read(config_for(tmp_path, *rows))
    plum, pear, fig = (Completion.of(feedback.prompts[0].id, text).id for text in ("Plum", "Pear", "Fig"))
    assert len(feedback.completions) == 4
    assert {one.levels for one in feedback.rankings} >= {((pear,), (plum,)), (tuple(sorted((plum, fig))),)}
    again = annotated(completions=["Fig", "Plum"], ranks=(1, 2))
    assert "ranked.jsonl:4: annotations: w1 ranked these" in refusal(config_for(tmp_path, *rows, again))


def test_identical_texts_are_one_completion_and_must_not_be_ranked_differently(tmp_path):
    same = annotated(completions=["Plum", "Sand", "Plum"], ranks=(1, 2, 1))
    feedback = read(config_for(tmp_path, same))
    plum, sand = (Completion.of(feedback.prompts[0].id, text) for text in ("Plum", "Sand"))
    assert {one.text for one in feedback.completions} == {"Plum", "Sand"}
    assert feedback.rankings[0].levels == ((plum.id,), (sand.id,))
    differing = annotated(completions=["Plum", "Sand", "Plum"], ranks=(1, 2, 4))
    reason = "annotations.0.ranks: completions.0 and completions.2 are one text, but have 1 and 4; identical_texts=mean"
    assert reason in refusal(config_for(tmp_path, differing))
    feedback = read(config_for(tmp_path, differing, identical_texts="mean"))
    assert feedback.rankings[0].levels == ((sand.id,), (plum.id,)), "2 before 2.5"


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
        (annotated(12, "Name a bird."), "number: makes the prompt test, but the same text is validation at "),
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
    assert "ranked.jsonl:1: setup: no such column, but the settings ask for it" in message


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
    names = [Completion.of(feedback.prompts[0].id, text).id for text in row["completions"]]
    assert feedback.rankings[0].levels == tuple(tuple(sorted(names[place] for place in level)) for level in order)


def test_a_rank_with_a_point_is_a_rank(tmp_path):
    feedback = read(config_for(tmp_path, annotated(ranks=(2.0, 1.0, 3))))
    texts = {one.id: one.text for one in feedback.completions}
    assert [[texts[name] for name in level] for level in feedback.rankings[0].levels] == [["Pear"], ["Plum"], ["Sand"]]
    feedback = read(table(tmp_path, "prompt,completion,annotator,rank\nP,a,w,2.0\nP,b,w,1\nP,c,w,2\n"))
    texts = {one.id: one.text for one in feedback.completions}
    assert [{texts[name] for name in level} for level in feedback.rankings[0].levels] == [{"b"}, {"a", "c"}]


@pytest.mark.parametrize("wrong", ["3", True, None, float("nan"), float("inf"), [1]])
def test_a_score_that_is_no_number_is_named(tmp_path, wrong):
    row = annotated(annotations=[{"annotator": "w1", "scores": [1, wrong, 2]}])
    message = refusal(config_for(tmp_path, row, by="scores"))
    assert f"ranked.jsonl:1: annotations.0.scores: expected numbers, found {wrong!r}" in message


def test_without_a_column_the_text_decides_the_split(tmp_path):
    rows = [annotated(prompt=f"Name fruit {number}.") for number in range(40)]
    file = write_lines(tmp_path / "ranked.jsonl", rows)
    sides = {one.text: one.split for one in read(AnnotatedFile(path=str(file), criterion="taste")).prompts}
    assert sides == {one["prompt"]: assign_split(one["prompt"], SPLIT, SEED) for one in rows}
    assert set(sides.values()) == {"train", "validation", "test"}


def test_with_a_column_the_text_decides_which_of_the_rest_are_for_validation(tmp_path):
    rows = [annotated(number, f"Name fruit {number}.") for number in range(200)]
    sides = {one.text: one.split for one in read(config_for(tmp_path, *rows)).prompts}
    rest = {one["prompt"] for one in rows if sides[one["prompt"]] != "test"}
    assert rest == {f"Name fruit {number}." for number in range(200) if number % 10 >= 3}, "as before"
    of_validation = {text for text in rest if assign_split(text, SplitConfig(validation=0.1, test=0), SEED) != "train"}
    assert {text for text in rest if sides[text] == "validation"} == of_validation
    assert 5 <= len(of_validation) <= 25, "a tenth of 140, give or take 3 standard deviations"


def test_a_bad_annotation_sets_its_whole_row_aside(tmp_path):
    """Nothing of it is taken: no prompt, no completions, no side of the split."""
    two = [{"annotator": "w1", "ranks": [1, 2, 3]}, {"annotator": "w1", "ranks": [3, 2, 1]}]
    rows = [annotated(12, annotations=two), annotated(5), annotated(5, "Name a bird.")]
    feedback, rejected = read_rest(config_for(tmp_path, *rows), tmp_path)
    assert set(feedback.prompts) == {Prompt.of("Name a fruit.", "train"), Prompt.of("Name a bird.", "validation")}
    assert len(feedback.completions) == 6
    assert len(feedback.rankings) == 2
    assert [(one["line"], one["row"]) for one in rejected] == [(1, rows[0])]
    assert rejected[0]["reasons"] == [{"field": "annotations.1.annotator", "reason": "w1 stands twice in the row"}]


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
        identical_texts="mean",
    )
    feedback = read_feedback(config, SplitConfig(validation=0, test=0), SEED)
    assert len(feedback.prompts) == len({one["prompt"] for one in rows}) == 100
    assert len(feedback.completions) == len({(one["prompt"], text) for one in rows for text in one["completions"]})
    assert len(feedback.rankings) == sum(len(one["annotations"]) for one in rows) == 600
    assert {(one.labeler, one.session) for one in feedback.rankings} == {
        (said["annotator"], one["setup"]) for one in rows for said in one["annotations"]
    }
    assert Counter(one.split for one in feedback.prompts) == Counter(
        "test" if number % 10 < 3 else "train" for number in {one["mr_id"] for one in rows}
    )
    assert read_feedback(config, SplitConfig(validation=0, test=0), SEED) == feedback, "importing twice changes nothing"
    text = {one.id: one.text for one in feedback.completions}
    said, prompt = rows[0]["annotations"][0], Prompt.of(rows[0]["prompt"], "train").id
    (first,) = [
        one
        for one in feedback.rankings
        if (one.prompt_id, one.labeler, one.session) == (prompt, said["annotator"], rows[0]["setup"])
    ]
    best = [rows[0]["completions"][place] for place, rank in enumerate(said["ranks"]) if rank == min(said["ranks"])]
    assert {text[name] for name in first.levels[0]} == set(best)


def test_systems_are_read_beside_completions(tmp_path):
    more = {"systems_column": "by"}
    rows = (
        annotated(by=["x", "y", "x"]),
        annotated(2, "Name a bird.", completions=("Plum", "Plum", "Owl"), ranks=(1, 1, 2), by=["x", "y", "z"]),
    )
    feedback = read(config_for(tmp_path, *rows, **more))
    wrote = {}
    for one in feedback.systems:
        wrote.setdefault(one.completion_id, []).append(one.system)
    texts = {(one.prompt_id, one.text): wrote[one.id] for one in feedback.completions}
    fruit, bird = (Prompt.of(text, "train").id for text in ("Name a fruit.", "Name a bird."))
    assert texts == {
        **{(fruit, "Plum"): ["x"], (fruit, "Pear"): ["y"], (fruit, "Sand"): ["x"]},
        **{(bird, "Plum"): ["x", "y"], (bird, "Owl"): ["z"]},
    }


@pytest.mark.parametrize(
    ("by", "complaint"),
    [
        (["x", "y"], "by: expected a list of 3 names, found ['x', 'y']"),
        ("x", "by: expected a list of 3 names, found 'x'"),
        (["x", "", "z"], "by.1: expected a name, found ''"),
    ],
)
def test_systems_that_fit_no_completions_are_named(tmp_path, by, complaint):
    assert complaint in refusal(config_for(tmp_path, annotated(by=by), systems_column="by"))
    assert "by: expected a list of 3 names, found None" in refusal(
        config_for(tmp_path, annotated(), systems_column="by")
    )
