"""Exports of a real Label Studio: every trap in them is named and costs nobody else."""

import copy

import pytest

from models.errors import DataError
from models.records import Prompt
from tests.labeling.label_studio.recordings import Recorded, read


@pytest.fixture
def recorded(tmp_path):
    return Recorded(tmp_path)


# --- what the API stores ---------------------------------------------------------------------------------------------


def test_traps_are_named_and_cost_nobody_else(recorded):
    feedback, bad = recorded("traps.json")
    index_of = {one.id: int(one.text.split()[1]) for one in feedback.completions}  # of "Answer 1 to 0."
    said = [
        (one.prompt_id, one.labeler, [[index_of[name] for name in level] for level in one.levels], len(one.unusable))
        for one in feedback.rankings
    ]
    ids = [Prompt.of(f"Question {number}?", "train").id for number in range(7)]
    assert [one.id for one in feedback.prompts] == ids
    assert said == [
        (ids[0], "label-studio-user-2", [[0], [1]], 1),
        (ids[1], "label-studio-user-3", [[2], [1], [0]], 0),  # the older of Bob's two was edited last; Ann deleted hers
        (
            ids[2],
            "label-studio-user-2",
            [[1], [0], [2]],
            0,
        ),  # a plain list, as old versions saved; no draft, no prediction
    ]
    assert [(line, text.replace(" c_06f3db93688b2c56", " …")) for line, text in bad] == [
        (1, "task 62, annotation 42: value.ranker: the task shows no completion 'c_nobody'"),
        (4, "task 65, annotation 47: value.ranker: named more than once: c_740d52ebbd982138"),
        (4, "task 65, annotation 48: value.ranker: expected lists of completions, found 'best'"),
        (
            5,
            "task 66, annotation 49: updated_by: user 3 changed what user 2 had said, "
            "so it is not known whose ranking it is",
        ),
        (5, "task 66, annotation 50: value.ranker: bucket 'relevant' is neither a level (1, 2, …) nor unusable"),
        (6, "task 67, annotation 51: result: expected one ranking or choice between two, found 0"),
        (6, "task 67, annotation 52: result: expected one ranking or choice between two, found 2"),
    ]


def annotation_of(tasks):
    return tasks[0]["annotations"][0]


def set_ranker(value):
    def change(tasks):
        annotation_of(tasks)["result"][0]["value"] = {"ranker": value}

    return change


def set_field(*path_and_value):
    *path, last, value = path_and_value

    def change(tasks):
        place = tasks
        for step in path:
            place = place[step]
        place[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (set_ranker({"1": "c_x"}), "annotation 31: value.ranker: expected a list of ids, found 'c_x'"),
        (set_ranker({"1": [None]}), "annotation 31: value.ranker: expected a list of ids, found [None]"),
        (set_ranker({"0": []}), "annotation 31: value.ranker: bucket '0' is neither a level"),
        (set_ranker({"01": []}), "annotation 31: value.ranker: bucket '01' is neither a level"),
        (set_ranker({}), "annotation 31: value.ranker: nothing was ranked"),
        (set_field(0, "annotations", 0, "result", 0, "value", 3), "annotation 31: value: expected an object, found 3"),
        (set_field(0, "annotations", 0, "result", None), "annotation 31: result: expected a list of results"),
        (
            set_field(0, "annotations", 0, "completed_by", None),
            "annotation 31: completed_by: expected a user, found None",
        ),
        (set_field(0, "annotations", 0, "was_cancelled", "no"), "annotation 31: was_cancelled: expected true or false"),
        (
            set_field(0, "annotations", 0, "nothing"),
            "annotation #0: annotations: expected an annotation, found 'nothing'",
        ),
        (set_field(0, "annotations", None), "annotations: expected a list of annotations, found None"),
        (set_field(0, "data", None), "data: expected an object, found None; export as JSON, not as JSON-MIN"),
        (set_field(0, "data", "prompt", " "), "data.prompt: String should match pattern"),
        (set_field(0, "data", "prompt", "\x1e[]"), "data: prompt: it begins with U+001E"),
        (
            set_field(0, "data", "messages", [{"role": "user", "content": "Hi"}]),
            "data: messages: they say something else",
        ),
        (set_field(0, "data", "messages", []), "data: messages: the last turn must be the user's"),
        (set_field(0, "data", "messages", ["Hi"]), "data.messages.0: Input should be a valid dictionary"),
        (set_field(0, "data", "split", "held out"), "data.split: Input should be 'train', 'validation' or 'test'"),
        (set_field(0, "data", "items", 0, "ended", "no"), "data.items.0.ended: Input should be a valid boolean"),
        (set_field(0, "data", "items", []), "data.items: List should have at least 2 items"),
        (set_field(0, "data", "prompt", "half \ud800"), "holds half of a surrogate pair, which is no character"),
        (set_field(0, 5), "expected a task, found 5"),
    ],
)
def test_a_bad_task_or_annotation_is_named(recorded, change, complaint):
    _, bad = recorded("levels.json", change)
    first = [text for line, text in bad if line == 1]
    assert len(first) == 1 and complaint in first[0]


def test_one_bad_annotation_costs_only_itself(recorded):
    before, _ = recorded("levels.json")
    after, _ = recorded("levels.json", set_ranker("nonsense"))
    assert after == before._replace(rankings=before.rankings[1:])


def test_tasks_must_not_contradict_each_other(recorded):
    def add(tasks):
        split, text, completion, same_id, same_text = (copy.deepcopy(tasks[0]) for _ in range(5))
        for number, one in enumerate([split, text, completion, same_id, same_text], start=90):
            one["id"], one["annotations"] = number, []
        split["data"] |= {"split": "test"}
        text["data"] |= {"prompt": "Another text"}
        completion["data"]["items"][0]["body"] = "Another body"
        same_id["data"]["items"][0]["id"] = same_id["data"]["items"][1]["id"]
        same_text["data"]["items"][0]["body"] = same_text["data"]["items"][1]["body"]
        return [*tasks, split, text, completion, same_id, same_text]

    before, _ = recorded("levels.json")
    after, bad = recorded("levels.json", add)
    assert after == before
    reasons = [text for line, text in bad if line > 5]
    for reason, complaint in zip(
        reasons,
        [
            "task 90: data.split: test, but the same text is train in an earlier task",
            "task 91: data.prompt: p_",
            "task 92: data.items: c_",
            "task 93: data: two items have the same id: 'c_",
            "task 94: data: two items have the same body: ",
        ],
        strict=True,
    ):
        assert reason.startswith(complaint)


def test_a_task_pushed_twice_and_ranked_twice_is_named(recorded):
    before, few = recorded("levels.json")
    after, more = recorded("levels.json", lambda tasks: [*tasks, tasks[0]])
    assert after == before
    assert [line for line, _ in more] == [line for line, _ in few] + [6, 6]
    assert "completed_by: ann@example.org ranked these already, at " in more[-2][1]


def test_the_newest_of_several_needs_its_time(recorded):
    def drop_fraction_of_newest(tasks):
        tasks[1]["annotations"][0]["updated_at"] = (
            "2026-11-20T12:58:45Z"  # the other was last changed at 12:58:44.727318
        )

    before, _ = recorded("traps.json")
    after, _ = recorded("traps.json", drop_fraction_of_newest)
    assert after == before
    _, bad = recorded("traps.json", set_field(1, "annotations", 0, "updated_at", None))
    assert (2, "updated_at: expected a time with its zone, found None") in [
        (line, text.partition(": ")[2].partition(";")[0]) for line, text in bad
    ]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("{", "not JSON"), ('{"a": 1}', "expected a list of tasks, found {'a': 1}"), ("[]", "nobody has annotated any")],
)
def test_a_file_that_is_no_export_is_refused(tmp_path, content, complaint):
    file = tmp_path / "export.json"
    file.write_text(content)
    with pytest.raises(DataError, match=r"export\.json: ") as caught:
        read(file)
    assert complaint in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.json: no such file"):
        read(tmp_path / "none.json")


def test_levels_count_by_their_number_not_by_their_place(recorded):
    def turn_round(tasks):
        ranker = tasks[2]["annotations"][0]["result"][0]["value"]["ranker"]
        tasks[2]["annotations"][0]["result"][0]["value"]["ranker"] = dict(reversed(ranker.items()))

    assert recorded("levels.json", turn_round) == recorded("levels.json")


def test_ids_may_be_numbers_in_the_result_too(recorded):
    numbers = set_field(3, "annotations", 0, "result", 0, "value", "ranker", "rank", [2, 9, 10])
    assert recorded("order.json", numbers) == recorded("order.json")


def test_equal_texts_cannot_be_told_apart(recorded):
    _, bad = recorded("answers.json", set_field(0, "data", "answer2", "one 0"))
    assert bad[0] == (1, "task 27: data: two items have the same body: 'one 0'")
