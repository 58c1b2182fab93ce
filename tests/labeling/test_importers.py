"""Feedback from files: what is read, and that every bad row is named."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from labeling.importers import read_annotated_file, read_feedback_folder
from models.config import AnnotatedFile, FeedbackFolder
from models.errors import DataError
from models.records import Completion, Prompt, Ranking, write_records

PROMPT = Prompt.of("My sink drips. What now?", "train")
OTHER = Prompt.of("How do I defrost a freezer?", "test")
A, B, C = (Completion.of(PROMPT.id, index, text) for index, text in enumerate(["Close the valve.", "Wait.", "Sing."]))
X, Y = (Completion.of(OTHER.id, index, text) for index, text in enumerate(["Unplug it.", "Use a hammer."]))
RANKING = Ranking.of(PROMPT.id, "ann", "helpfulness", [[A.id], [B.id, C.id]])


def row(labeler="ann", prompt=PROMPT.id, levels=((A.id,), (B.id, C.id)), criterion="helpfulness", **more) -> dict:
    return {"prompt_id": prompt, "labeler": labeler, "criterion": criterion, "levels": levels, **more}


def write_lines(file: Path, rows) -> Path:
    file.write_text(
        "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in rows), encoding="utf-8"
    )
    return file


def folder(path: Path, *rankings, prompts=(PROMPT, OTHER), completions=(A, B, C, X, Y)) -> FeedbackFolder:
    write_records(path / "prompts.jsonl", prompts)
    write_records(path / "completions.jsonl", completions)
    write_lines(path / "rankings.jsonl", rankings)
    return FeedbackFolder(path=str(path))


def refusal(read, config) -> str:
    with pytest.raises(DataError) as caught:
        read(config)
    return str(caught.value)


# --- folders ---------------------------------------------------------------------------------------------------------


def test_a_folder_is_read(tmp_path):
    config = folder(
        tmp_path,
        row(id=RANKING.id),
        row(labeler="bob", levels=[[B.id]], unusable=[A.id, C.id]),
        row(labeler="bob", prompt=OTHER.id, levels=[[X.id, Y.id]]),
        row(criterion="safety"),  # by another criterion: not asked for
    )
    feedback = read_feedback_folder(config)
    assert feedback.prompts == [PROMPT, OTHER]
    assert feedback.completions == [A, B, C, X, Y]
    assert feedback.rankings == [
        RANKING,
        Ranking.of(PROMPT.id, "bob", "helpfulness", [[B.id]], [A.id, C.id]),
        Ranking.of(OTHER.id, "bob", "helpfulness", [[X.id, Y.id]]),
    ]


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (row(levels=[[A.id], [B.id], [C.id], ["c_nobody"]]), "levels: no completion has the id c_nobody"),
        (row(levels=[[A.id], [B.id], [C.id], [X.id]]), f"levels: completion {X.id} belongs to prompt {OTHER.id}"),
        (row(levels=[[B.id]]), f"levels: not ranked and not marked unusable: {A.id}, {C.id}"),
        (row(prompt="p_nobody"), "prompt_id: no prompt has the id p_nobody"),
        (row(id="r_0"), f"id: r_0 does not fit what the ranking says ({RANKING.id})"),
        (row(levels=[[A.id], [A.id, B.id]]), f"levels: completion {A.id} stands more than once in the ranking"),
        (row(levels=[]), "levels: a ranking must name at least one completion"),
        (row(levels=[[A.id], []]), "levels: a level of the ranking is empty"),
        (row(levels="abc"), "levels: Input should be a valid tuple"),
        (row(score=3), "score: Extra inputs are not permitted"),
        ({"prompt_id": PROMPT.id}, "labeler: Field required; criterion: Field required; levels: Field required"),
        ("{", "not JSON"),
        ("[1]", "expected a JSON object, found list"),
    ],
)
def test_a_bad_ranking_is_named_by_line(tmp_path, bad, complaint):
    config = folder(tmp_path, row(labeler="bob"), "", bad)
    message = refusal(read_feedback_folder, config)
    assert f"{tmp_path / 'rankings.jsonl'}:3: {complaint}" in message
    assert "(problems: 1)" in message


def test_a_duplicate_ranking_names_both_lines(tmp_path):
    message = refusal(
        read_feedback_folder, folder(tmp_path, row(), row(labeler="bob"), row(levels=[[C.id, B.id, A.id]]))
    )
    file = tmp_path / "rankings.jsonl"
    assert f"{file}:3: labeler: ann ranked prompt {PROMPT.id} by helpfulness already, at {file}:1" in message


def test_every_bad_row_of_rankings_is_listed_at_once(tmp_path):
    message = refusal(
        read_feedback_folder,
        folder(tmp_path, row(), "no", row(labeler="b", id="r"), row(prompt="p"), row(levels=[[A.id]])),
    )
    for line in (2, 3, 4, 5):
        assert f"rankings.jsonl:{line}: " in message
    assert "rankings.jsonl:1: " not in message.replace("at " + str(tmp_path / "rankings.jsonl"), "")


def test_the_listing_is_capped(tmp_path):
    message = refusal(read_feedback_folder, folder(tmp_path, *["no"] * 53))
    assert "(problems: 53)" in message
    assert message.count("not JSON") == 50
    assert message.endswith("… and 3 more")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (
            {"completions": [X, Y, C]},
            f"completions.jsonl:3: prompt_id: prompt {PROMPT.id} has fewer than 2 completions",
        ),
        ({"prompts": [OTHER]}, f"completions.jsonl:1: prompt_id: no prompt has the id {PROMPT.id}"),
        ({"prompts": [PROMPT, OTHER, PROMPT]}, "prompts.jsonl:3: id: it stands 2 times"),
        ({"completions": [A, B, C, X, Y, A]}, "completions.jsonl:6: id: it stands 2 times"),
        (
            {"completions": [A, B, C, X, Y, Completion.of(OTHER.id, 1, "Call them.")]},
            f"index: 1 of prompt {OTHER.id} is taken at ",
        ),
        (
            {"prompts": [PROMPT, OTHER, Prompt(id="p_2", text=PROMPT.text, split="test")]},
            "prompts.jsonl:3: split: test, but the same text is train at ",
        ),
    ],
)
def test_bad_prompts_and_completions_are_named_by_line(tmp_path, given, complaint):
    assert complaint in refusal(read_feedback_folder, folder(tmp_path, row(), **given))


def test_a_bad_record_names_its_fields(tmp_path):
    config = folder(tmp_path, row())
    write_lines(tmp_path / "prompts.jsonl", [PROMPT.model_dump(), {"id": "p", "text": "t", "split": "dev"}, "{"])
    message = refusal(read_feedback_folder, config)
    assert "prompts.jsonl:2: split: Input should be 'train', 'validation' or 'test'" in message
    assert "prompts.jsonl:3: not JSON" in message


def test_a_prompt_with_rankings_but_one_completion_is_refused(tmp_path):
    config = folder(tmp_path, row(levels=[["c_x"]]), completions=[X, Y])
    assert "fewer than 2 completions" in refusal(read_feedback_folder, config)


def test_empty_rankings_and_missing_files_are_refused(tmp_path):
    assert "rankings.jsonl: it holds no rankings" in refusal(read_feedback_folder, folder(tmp_path))
    message = refusal(read_feedback_folder, folder(tmp_path, row(criterion="safety"), row(criterion="style")))
    assert "criterion: none of its 2 rankings is by 'helpfulness'" in message
    (tmp_path / "rankings.jsonl").unlink()
    assert "rankings.jsonl: no such file" in refusal(read_feedback_folder, FeedbackFolder(path=str(tmp_path)))


# --- annotated files -------------------------------------------------------------------------------------------------


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
    feedback = read_annotated_file(config_for(tmp_path, annotated(ranks=(3, 1, 1)), annotated(12, "Name a bird.")))
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
    feedback = read_annotated_file(config_for(tmp_path, *rows, session_column="setup"))
    assert len(feedback.prompts) == 1
    assert len(feedback.completions) == 3
    assert [one.labeler for one in feedback.rankings] == ["w1/one", "w1/two"]
    file = tmp_path / "ranked.jsonl"
    message = refusal(read_annotated_file, config_for(tmp_path, *rows))
    assert f"{file}:2: labeler: w1 ranked prompt {feedback.prompts[0].id} by taste already, at {file}:1" in message


def test_another_list_of_the_same_prompt_gets_new_indices(tmp_path):
    rows = [
        annotated(setup="one"),
        annotated(setup="two", completions=["Plum", "Fig"], ranks=(2, 1)),
        annotated(setup="three", completions=["Plum", "Fig"], ranks=(1, 1)),
    ]
    feedback = read_annotated_file(config_for(tmp_path, *rows, session_column="setup"))
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
    feedback = read_annotated_file(config_for(tmp_path, *rows, where={"kind": "b"}))
    assert [one.text for one in feedback.prompts] == ["Other"]
    assert [one.text for one in read_annotated_file(config_for(tmp_path, *rows, where={"kind": "7"})).prompts] == [
        "Third"
    ]
    message = refusal(read_annotated_file, config_for(tmp_path, *rows, where={"kind": "c"}))
    assert "no row is left of 3 after where {'kind': 'c'}" in message
    message = refusal(read_annotated_file, config_for(tmp_path, *rows, where={"sort": "c"}))
    assert "ranked.jsonl:1: sort: no such column, but `where` asks for it" in message


def test_an_empty_file_is_refused(tmp_path):
    assert "no row is left of 0" in refusal(read_annotated_file, config_for(tmp_path))
    config = AnnotatedFile(path=str(tmp_path / "none.jsonl"), criterion="taste", held_out_column="number")
    assert "none.jsonl: no such file" in refusal(read_annotated_file, config)


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
        ({}, "number: expected a whole number, found None"),
        (annotated(12, "Name a bird."), "number: makes the prompt test, but the same text is train at "),
        ("nope", "not JSON"),
    ],
)
def test_a_bad_annotated_row_is_named_by_line_and_field(tmp_path, bad, complaint):
    good = annotated(5, "Name a bird.", annotations=[{"annotator": "w9", "ranks": [1, 2, 3]}])
    message = refusal(read_annotated_file, config_for(tmp_path, good, bad))
    assert f"ranked.jsonl:2: {complaint}" in message
    assert "  " + str(tmp_path / "ranked.jsonl:1") not in message


def test_a_missing_session_column_is_named(tmp_path):
    message = refusal(read_annotated_file, config_for(tmp_path, annotated(), session_column="setup"))
    assert "ranked.jsonl:1: setup: no such column, but `session_column` asks for it" in message


def test_mixed_criteria_are_refused(tmp_path):
    rows = [annotated(criterion="taste"), annotated(prompt="Other", criterion="colour")]
    message = refusal(read_annotated_file, config_for(tmp_path, *rows))
    assert "criterion: rows by colour, taste are mixed; choose one by `where`" in message
    assert len(read_annotated_file(config_for(tmp_path, *rows, where={"criterion": "taste"})).rankings) == 1


def test_every_bad_annotated_row_is_listed_at_once(tmp_path):
    rows = [annotated(ranks=(1, 2)), annotated(prompt=3), annotated(), annotated()]
    message = refusal(read_annotated_file, config_for(tmp_path, *rows))
    assert "(problems: 3)" in message  # lines 1 and 2 by themselves, line 4 repeats line 3
    for line in (1, 2, 4):
        assert f"  {tmp_path / 'ranked.jsonl'}:{line}: " in message


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
    feedback = read_annotated_file(config)
    assert len(feedback.prompts) == len({one["prompt"] for one in rows}) == 100
    assert len(feedback.completions) == len({(one["prompt"], i) for one in rows for i in range(3)}) == 300
    assert len(feedback.rankings) == sum(len(one["annotations"]) for one in rows) == 600
    assert {one.labeler for one in feedback.rankings} == {
        f"{said['annotator']}/{one['setup']}" for one in rows for said in one["annotations"]
    }
    assert Counter(one.split for one in feedback.prompts) == Counter(
        "test" if number % 10 < 3 else "train" for number in {one["mr_id"] for one in rows}
    )
    text = {one.id: one.text for one in feedback.completions}
    said = rows[0]["annotations"][0]
    best = [rows[0]["completions"][place] for place, rank in enumerate(said["ranks"]) if rank == min(said["ranks"])]
    assert [text[name] for name in feedback.rankings[0].levels[0]] == best
