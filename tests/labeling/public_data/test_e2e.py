"""The E2E repositories' files, in rows that were made up, become the rows that importers read."""

from pathlib import Path

import pytest

from labeling.public_data.crowd_tables import Workers
from labeling.public_data.e2e import E2E, RATINGS, read_outputs, read_ratings, read_references
from labeling.public_data.repositories import RepositoryFiles
from models.errors import DataError
from models.settings.labels import AnnotatedFile
from tests.labeling.importers.feedback_files import read, write_lines
from tests.labeling.public_data.raw_files import (
    CENTRE,
    DEV,
    NATURALNESS,
    OUTPUTS,
    QUALITY,
    RIVER,
    SYSTEMS,
    TEXTS,
    rating,
    ratings,
)


def test_who_was_shown_the_same_stands_in_one_row():
    """100 100 100 60 90 has ranks 1 1 1 5 4: an equal score shares its rank, the next takes the place that is left."""
    first, second = read_ratings(ratings("quality", QUALITY), "quality", Workers())
    said = first.pop("annotations")
    assert first == {
        **{"id": "e2e-quality-70", "criterion": "quality", "mr_id": 2, "prompt": RIVER},
        **{"systems": list(SYSTEMS), "completions": list(TEXTS)},
    }
    assert said == [
        {
            **{"annotator": "w001", "scores": [60.0, 100.0, 100.0, 90.0, 100.0], "ranks": [5, 1, 1, 4, 1]},
            "checks": [["missing"], ["ok"], ["ok"], ["added", "missing"], ["ok"]],
        },
        {"annotator": "w002", "scores": [95.0] * 5, "ranks": [1] * 5, "checks": [["ok"]] * 5},
    ]
    assert second["id"] == "e2e-quality-71" and second["annotations"][0]["ranks"] == [5, 4, 3, 2, 1]


def test_a_worker_has_one_number_in_both_tables():
    workers = Workers()
    read_ratings(ratings("quality", QUALITY), "quality", workers)
    rows = read_ratings(ratings("natur", NATURALNESS), "naturalness", workers)
    assert [[said["annotator"] for said in row["annotations"]] for row in rows] == [["w003", "w001"], ["w003"]]
    assert "checks" not in rows[0]["annotations"][0]


def test_nothing_of_a_worker_is_left_but_the_number():
    rows = [
        *read_ratings(ratings("quality", QUALITY), "quality", Workers()),
        *read_ratings(ratings("natur", NATURALNESS), "naturalness", Workers()),
    ]
    assert not [word for word in ("30011", "20022", "40033", "Leith", "GBR", "192.0.2.7", "11/28") if word in str(rows)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (ratings("quality", QUALITY, without="ref4"), "human_ratings/quality.csv: no column ref4; it has _unit_id, "),
        (ratings("quality", QUALITY, without="_worker_id"), "human_ratings/quality.csv: no column _worker_id; it has "),
        (ratings("quality", []), "human_ratings/quality.csv: nothing stands below the names of the columns"),
        (b"", "human_ratings/quality.csv: no column _unit_id, "),
        (ratings("quality", QUALITY) + b"7,8\n", ":6: the line has not as many fields as the first"),
        (ratings("quality", QUALITY) + "Montréal".encode("latin-1"), "quality.csv: not UTF-8 (at byte "),
        (ratings("quality", QUALITY) + b'"open', "quality.csv: not CSV (unexpected end of data)"),
        (
            ratings("quality", [rating("quality", 1, "3", (1, 2, "very", 4, 5), ("ok",) * 5)]),
            "quality.csv:2: quality3: expected a number, found 'very'",
        ),
        (
            ratings("quality", [rating("quality", 1, "3", (1, 2, "nan", 4, 5), ("ok",) * 5)]),
            "quality.csv:2: quality3: expected a number, found 'nan'",
        ),
        (
            ratings("quality", [rating("quality", 1, "3", (1, 2, 3, 4, 5), ("ok",) * 5, number="two")]),
            "quality.csv:2: mr_id: expected a whole number, found 'two'",
        ),
        (
            ratings(
                "quality", [*QUALITY, rating("quality", 70, "9", (1, 2, 3, 4, 5), ("ok",) * 5, prompt=CENTRE, number=1)]
            ),
            "quality.csv:6: mr_id, prompt: not what an earlier line says of e2e-quality-70",
        ),
    ],
)
def test_a_table_that_is_wrong_is_refused_in_one_line(content, said):
    with pytest.raises(DataError) as caught:
        read_ratings(content, "quality", Workers())
    assert said in str(caught.value) and "\n" not in str(caught.value)


def outputs(tmp_path: Path, files: dict[str, str]) -> list[dict]:
    for path, text in files.items():
        file = tmp_path / "system_outputs" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="")
    return read_outputs(RepositoryFiles(RATINGS, "e2e-eval", tmp_path, ""), {CENTRE: 1, RIVER: 2})


def test_every_text_of_a_team_counts_once(tmp_path):
    """In whatever quotes, under whatever heading; `In the centre .` is by two teams, of which adapt comes first."""
    assert [(row["mr_id"], row["system"], row["completion"]) for row in outputs(tmp_path, OUTPUTS)] == [
        (1, "adapt", "In the centre ."),
        (1, "tr", "Check it out."),
        (2, "adapt", "Adult only ."),
        (2, "dangnt", "The Kettle is there."),
        (2, "slug", "By the river, a pub."),
        (2, "tnt", "It is n 't far: The Kettle."),
    ]
    assert outputs(tmp_path, {})[-1] == {
        **{"mr_id": 2, "prompt": RIVER, "completion": "It is n 't far: The Kettle.", "system": "tnt"}
    }


def test_outputs_that_are_of_another_form_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"primary/chen.tsv: no line of it begins with a prompt that was rated"):
        outputs(tmp_path, {"primary/chen.tsv": f"{RIVER};Semicolons.\n"})
    with pytest.raises(DataError, match=r"e2e-eval: no files system_outputs/….tsv in it"):
        read_outputs(RepositoryFiles(RATINGS, "e2e-eval", tmp_path / "nowhere", ""), {})


def test_references_keep_their_texts_as_they_are():
    assert read_references(DEV, "devset.csv") == [
        {"prompt": RIVER, "completion": 'A pub, "The Kettle".'},
        {"prompt": RIVER, "completion": "Café by the river "},
    ]
    with pytest.raises(DataError, match=r"^testset.csv: no column mr, ref; it has MR$"):
        read_references(b"MR\nname[A]\n", "testset.csv")


@pytest.mark.parametrize("criterion", ["quality", "naturalness"])
def test_importers_read_it(tmp_path, criterion):
    """Prompt 1 is held out and 2 is too, by mr_id; a text that stands there twice is one completion."""
    content = {"quality": ratings("quality", QUALITY), "naturalness": ratings("natur", NATURALNESS)}[criterion]
    file = write_lines(tmp_path / "ranked.jsonl", read_ratings(content, criterion, Workers()))
    more = {"held_out_column": "mr_id", "identical_texts": "mean", "systems_column": "systems"}
    feedback = read(AnnotatedFile(path=str(file), criterion=criterion, **more))
    assert (len(feedback.prompts), len(feedback.rankings), len(feedback.completions)) == (2, 3, 8)
    assert {one.split for one in feedback.prompts} == {"test"}


def test_the_files_are_those_that_it_names():
    assert {name.partition("/")[0] for name in E2E.files} == {"rankings", "e2e"}
