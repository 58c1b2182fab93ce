"""Exports of a real Label Studio: what is read of them."""

import json

import pytest

from labeling.feedback import Feedback
from labeling.label_studio.export import rankings_as_shown
from models.preferences.splits import assign_split
from models.settings.labels import LabelStudioExport
from tests.labeling.label_studio.recordings import (
    ANN,
    BOB,
    COMPLETIONS,
    EXPORTS,
    FUSE,
    HINGE,
    OVEN,
    PROMPTS,
    SINK,
    SPLIT,
    Recorded,
    ranked,
)


@pytest.fixture
def recorded(tmp_path):
    return Recorded(tmp_path)


# --- pushed by Rein, ranked in a browser -----------------------------------------------------------------------------


def test_levels_ties_and_unusable_are_read(recorded):
    feedback, bad = recorded("levels.json")
    assert feedback.prompts == PROMPTS
    assert set(feedback.completions) == set(COMPLETIONS)
    assert feedback.rankings == [
        ranked(SINK, ANN, ["01"], "2"),
        ranked(SINK, BOB, ["0", "12"]),  # level 2 was left empty
        ranked(FUSE, ANN, ["2", "0", "1"]),
        ranked(FUSE, BOB, ["0", "1"], "2"),  # edited: it was 1, 0
        ranked(OVEN, BOB, ["0", "2"], "1"),  # Ann skipped it
        ranked(HINGE, ANN, ["0", "2"], "1"),
        ranked(HINGE, BOB, ["1", "02"]),
    ]
    shown = json.loads((EXPORTS / "levels.json").read_text(encoding="utf-8"))[1]["data"]["items"]
    assert {one["body"] for one in shown if one["id"] in bad[1][1]} == {"Use a hammer.", "Defrost it."}
    assert [(line, text.split(": c_")[0]) for line, text in bad] == [
        (
            2,
            "task 58, annotation 32: value.ranker: nothing was ranked: "
            "it was submitted before any completion was dragged to a level",
        ),
        (2, "task 58, annotation 36: value.ranker: not ranked and not marked unusable"),
    ]


def test_reading_again_gives_the_same(recorded):
    assert recorded("levels.json") == recorded("levels.json")
    assert recorded("traps.json") == recorded("traps.json")


def test_the_side_is_what_was_pushed(recorded):
    feedback, _ = recorded("levels.json")
    assert any(one.split != assign_split(one.text, SPLIT, 0) for one in feedback.prompts), "the recording shows nothing"
    assert [one.split for one in feedback.prompts] == [one.split for one in PROMPTS]


def test_without_emails_labelers_are_numbered(recorded):
    def forget(tasks):
        for annotation in (one for task in tasks for one in task["annotations"]):
            annotation["completed_by"] = annotation["completed_by"]["id"]

    feedback, _ = recorded("levels.json", forget)
    assert {one.labeler for one in feedback.rankings} == {"label-studio-user-2", "label-studio-user-3"}


def test_another_criterion_is_refused(recorded):
    feedback, bad = recorded("levels.json", criterion="safety")
    assert feedback == Feedback([], [], [])
    reason = "task 57: data.criterion: it was ranked by 'helpfulness', but the settings say 'safety'"
    assert bad[0] == (1, reason)


# --- a Ranker without levels, and choices between two ----------------------------------------------------------------


def test_an_order_without_levels(recorded):
    feedback, bad = recorded("order.json")
    texts = {one.id: one.text for one in feedback.completions}
    orders = [[texts[level[0]] for level in one.levels] for one in feedback.rankings]
    assert not bad
    assert orders == [
        ["Text of 'b'", "Text of 'c'", "Text of 'a'"],
        ["Text of 'a'", "Text of 'b'", "Text of 'c'"],
        ["Text of '2'", "Text of '9'", "Text of '10'"],
        ["Text of 2", "Text of 9", "Text of 10"],  # numbers in the task, texts in the result
        ["Text of '9'", "Text of 10", "Text of 'x'"],
    ]
    assert [one.split for one in feedback.prompts] == [assign_split(f"Q{n}", SPLIT, 0) for n in range(5)]


def test_rankings_in_the_order_shown_are_noticed():
    noticed = rankings_as_shown(LabelStudioExport(path=str(EXPORTS / "order.json")))
    # The first was dragged; the others were submitted untouched, three of them with ids that the page put in another order.
    assert [line.split(": ", 2)[1] for line in noticed] == [
        "task 23, annotation 5",
        "task 24, annotation 6",
        "task 25, annotation 7",
        "task 26, annotation 8",
    ]
    assert noticed[0].endswith(
        "order.json:2: task 23, annotation 5: label-studio-user-2 gave the order shown, after 1.6 s"
    )


def test_slow_rankings_in_the_order_shown_are_not_noticed(tmp_path):
    tasks = json.loads((EXPORTS / "order.json").read_text())
    for number, seconds in enumerate([6, None, 5.9, 60]):  # quick is under 2 s for each of 3 completions
        tasks[number + 1]["annotations"][0]["lead_time"] = seconds
    (tmp_path / "order.json").write_text(json.dumps(tasks))
    noticed = rankings_as_shown(LabelStudioExport(path=str(tmp_path / "order.json")))
    assert [line.split(": ", 2)[1] for line in noticed] == ["task 25, annotation 7"]


def test_choices_between_two(recorded):
    feedback, bad = recorded("answers.json")
    texts = {one.id: one.text for one in feedback.completions}
    assert [[texts[level[0]] for level in one.levels] for one in feedback.rankings] == [
        ["one 0", "two 0"],
        ["two 1", "one 1"],
    ]
    found = "expected one ranking or choice between two, found 0"
    assert bad == [(3, f"task 29, annotation 11: result: {found}")]  # submitted without a choice
