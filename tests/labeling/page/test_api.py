"""What the page's scripts send: stored once, in time, and only where it belongs."""

import json

import pytest

from labeling.store.batches import BatchConfig, publish
from labeling.store.judgements import MAX_NOTE_LENGTH
from models.records import Completion, Prompt
from models.settings.batch import ChoiceTask, ThumbsTask, YesNoTask
from tests.labeling.page.site import NOW, Site, names_of, next_of, read

TEXTS = {
    "My house is too hot.": ["Open a window.", "Close it.", "Move."],
    "It is dark.": ["Switch on the light.", "Wait."],
}

IT_IS_DARK = {"speaker": "Human", "text": "It is dark.", "html": '<p dir="auto">It is dark.</p>'}


def ranking_of(task: dict, submission: str = "s1") -> dict:
    """An answer that puts all completions in the order shown."""
    return {"submission": submission, "levels": [[name] for name in names_of(task)]}


def test_a_ranking_is_stored_and_the_next_task_comes_with_the_answer(site: Site):
    batch = site.publish(TEXTS)
    client = site.labeler("Ada", batch)
    task = next_of(client, batch)["task"]
    first, second, third = names_of(task)
    body = {"submission": "s1", "levels": [[third, first]], "unusable": {second: "off topic"}, "note": "Hm."}
    answer = client.post(f"/api/assignments/{task['assignment']}/judgement", json=body).json()
    (stored,) = site.judgements("Ada")
    assert (stored.levels, stored.unusable, stored.note) == ([sorted([third, first])], {second: "off topic"}, "Hm.")
    assert answer["saved"] == stored.id
    assert answer["next"]["task"]["turns"] == [IT_IS_DARK]
    assert answer["next"]["progress"] == {"done": 1, "skipped": 0, "left": 1}


def test_by_how_much_comes_with_the_choice_and_is_shown_again(site: Site):
    batch = site.publish({"It is dark.": ["One.", "Two."]}, ChoiceTask(degrees=True))
    client = site.labeler("Ada", batch)
    task = next_of(client, batch)["task"]
    url = f"/api/assignments/{task['assignment']}/judgement"
    assert client.post(url, json=ranking_of(task) | {"degree": "hugely"}).status_code == 422
    refused = client.post(url, json=ranking_of(task))
    assert refused.status_code == 422 and "one of significantly_better, better" in refused.json()["error"]
    assert client.post(url, json=ranking_of(task) | {"degree": "better"}).status_code == 200
    (stored,) = site.judgements("Ada")
    assert stored.degree == "better"
    again = client.post(f"/api/batches/{batch}/reopen", json={"submission": "s1"}).json()
    assert again["next"]["task"]["former"]["degree"] == "better"


def test_the_same_submission_sent_twice_is_stored_once(site: Site):
    batch = site.publish(TEXTS)
    client = site.labeler("Ada", batch)
    task = next_of(client, batch)["task"]
    url = f"/api/assignments/{task['assignment']}/judgement"
    answers = [client.post(url, json=ranking_of(task)).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(site.judgements("Ada")) == 1
    other = {**ranking_of(task), "note": "another answer with the same key"}
    assert client.post(url, json=other).status_code == 422


def test_an_answer_is_kept_when_the_next_task_cannot_be_looked_up(site: Site, monkeypatch: pytest.MonkeyPatch):
    batch = site.publish(TEXTS)
    client = site.labeler("Ada", batch)
    task = next_of(client, batch)["task"]

    def broken(*_: object) -> None:
        raise RuntimeError("no next task today")

    monkeypatch.setattr("labeling.page.api.next_task", broken)
    assert client.post(f"/api/assignments/{task['assignment']}/judgement", json=ranking_of(task)).status_code == 500
    assert len(site.judgements("Ada")) == 1


@pytest.mark.parametrize("action", ["judgement", "skip"])
def test_nobody_can_answer_for_another(site: Site, action: str):
    batch = site.publish(TEXTS)
    task = next_of(site.labeler("Ada", batch), batch)["task"]
    bo = site.labeler("Bo", batch)
    body = ranking_of(task) if action == "judgement" else {"submission": "s1"}
    for assignment in (task["assignment"], 999_999):
        answer = bo.post(f"/api/assignments/{assignment}/{action}", json=body)
        assert (answer.status_code, answer.json()["error"]) == (403, "This task was given to someone else.")
    assert site.judgements("Ada") == site.judgements("Bo") == []
    assert site.states("Ada") == ["open"]


def test_an_answer_that_does_not_fit_is_refused_with_its_reason(site: Site):
    batch = site.publish(TEXTS)
    client = site.labeler("Ada", batch)
    task = next_of(client, batch)["task"]
    fitting, url = ranking_of(task), f"/api/assignments/{task['assignment']}/judgement"
    wrong = [
        ({**fitting, "levels": fitting["levels"][:2]}, "every completion that was shown"),
        ({**fitting, "levels": [*fitting["levels"][:2], ["c_other"]]}, "every completion that was shown"),
        (
            {**fitting, "levels": fitting["levels"][:2], "unusable": {names_of(task)[2]: "ugly"}},
            "reason must be one of",
        ),
        ({**fitting, "answer": "yes"}, "answer: yes is none of"),
        ({**fitting, "note": "x" * (MAX_NOTE_LENGTH + 1)}, "at most 4000 characters"),
        ({**fitting, "note": "a\0b"}, "note"),
        ({**fitting, "submission": ""}, "submission"),
        ({**fitting, "submission": "x" * 65}, "submission"),
        ({**fitting, "labeler": "Bo"}, "labeler: Extra inputs are not permitted"),
        ({"levels": []}, "submission: Field required"),
    ]
    for body, reason in wrong:
        answer = client.post(url, json=body)
        assert (answer.status_code, reason in answer.json()["error"]) == (422, True), (body, answer.text)
    headers = {"Content-Type": "application/json"}
    for text in ("", "[]", "{", '{"submission": "s", "note": "\\ud800"}', json.dumps(fitting).replace('"s1"', "NaN")):
        assert client.post(url, content=text, headers=headers).status_code == 422, text
    assert client.post(url.replace(str(task["assignment"]), str(2**70)), json=fitting).status_code == 422
    assert site.judgements("Ada") == []


def test_skipping_and_opening_again(site: Site):
    batch = site.publish(TEXTS)
    client = site.labeler("Ada", batch)
    shown = next_of(client, batch)
    first = shown["task"]
    assert shown["last"] is None
    body = {**ranking_of(first), "note": "Hm."}
    assert client.post(f"/api/assignments/{first['assignment']}/judgement", json=body).json()["next"]["last"] == "s1"
    second = next_of(client, batch)["task"]
    for _ in range(2):
        skipped = client.post(f"/api/assignments/{second['assignment']}/skip", json={"submission": "k1"}).json()
        progress = {"done": 1, "skipped": 1, "left": 0}
        nothing = {"task": None, "trial": None, "is_unqualified": False, "code": None}
        assert skipped == {"next": {**nothing, "progress": progress, "last": "k1"}}

    def opened(submission: str) -> dict:
        return client.post(f"/api/batches/{batch}/reopen", json={"submission": submission}).json()["next"]

    for _ in range(2):
        shown = opened("k1")
        assert (shown["task"], shown["last"]) == (second, "s1"), "the skipped one was the last"
    assert [one.record_id is None for one in site.judgements("Ada")] == [False]
    levels = [[name] for name in names_of(first)]
    former = {"levels": levels, "unusable": {}, "answer": None, "degree": None, "note": "Hm."}
    shown = opened("s1")
    assert shown["task"] == {**first, "former": former, "judged_by": "s1"}
    assert (shown["last"], shown["progress"]["done"]) == (None, 1)
    assert [one.record_id is None for one in site.judgements("Ada")] == [False], "it counts until the next answer"
    client.post(f"/api/assignments/{first['assignment']}/judgement", json=ranking_of(first, "s2"))
    assert [one.revision for one in site.judgements("Ada")] == [1, 2]
    assert opened("s1") is None, "something else has been said since"
    skip = f"/api/assignments/{first['assignment']}/skip"
    assert client.post(skip, json={"submission": "k2", "takes_back": "s1"}).status_code == 422
    assert client.post(skip, json={"submission": "k2", "takes_back": "s2"}).status_code == 200
    assert [one.record_id is None for one in site.judgements("Ada")] == [False, False, True]


@pytest.mark.parametrize(
    ("task", "answer", "wanted"),
    [
        (ThumbsTask(), "up", True),
        (ThumbsTask(), "down", False),
        (YesNoTask(question="Is this toxic?", wanted="no"), "no", True),
        (YesNoTask(question="Is this toxic?", wanted="no"), "yes", False),
        (YesNoTask(question="Is this true?", wanted="yes"), "yes", True),
    ],
)
def test_what_is_answered_becomes_whether_it_is_wanted(site: Site, task, answer: str, wanted: bool):
    batch = site.publish({"It is dark.": ["Wait."]}, task)
    client = site.labeler("Ada", batch)
    given = next_of(client, batch)["task"]
    url = f"/api/assignments/{given['assignment']}/judgement"
    foreign = "yes" if answer in ("up", "down") else "up"
    assert client.post(url, json={"submission": "s0", "answer": foreign}).status_code == 422
    assert client.post(url, json={"submission": "s1", "answer": answer}).json()["next"]["task"] is None
    assert [one.wanted for one in site.judgements("Ada")] == [wanted]
    opened = client.post(f"/api/batches/{batch}/reopen", json={"submission": "s1"}).json()["next"]["task"]
    assert opened["former"]["answer"] == answer


def test_both_of_a_choice_can_be_unusable(site: Site):
    batch = site.publish({"It is dark.": ["Wait.", "So what?"]}, ChoiceTask())
    client = site.labeler("Ada", batch)
    task = next_of(client, batch)["task"]
    body = {"submission": "s1", "unusable": dict.fromkeys(names_of(task), "wrong")}
    assert client.post(f"/api/assignments/{task['assignment']}/judgement", json=body).status_code == 200
    assert site.judgements("Ada")[0].levels == []


def test_no_task_before_the_newest_instructions_were_read(site: Site):
    batch = site.publish(TEXTS)
    client = site.sign_in("Ada")
    assert next_of(client, batch) == {"read_instructions": True}
    assert "I have read this" in client.get(f"/batches/{batch}").text
    read(client, batch, 1)
    task = next_of(client, batch)["task"]
    assert 'id="task"' in client.get(f"/batches/{batch}").text
    assert site.publish(TEXTS, instructions="Changed: **shortest** first.") == batch
    answer = client.post(f"/api/assignments/{task['assignment']}/judgement", json=ranking_of(task)).json()
    assert answer == {"saved": site.judgements("Ada")[0].id, "next": {"read_instructions": True}}
    page = client.get(f"/batches/{batch}").text
    assert "version 2" in page and "<strong>shortest</strong>" in page
    assert client.post(f"/batches/{batch}/instructions-read", data={"version": 3}).status_code == 422
    read(client, batch, 2)
    assert next_of(client, batch)["task"]["turns"] == [IT_IS_DARK]


def test_the_start_goes_to_the_one_batch_with_work_else_to_the_list(site: Site):
    client = site.sign_in("Ada")
    assert client.get("/").headers["location"] == "/batches"
    assert "Nothing yet" in client.get("/batches").text
    one = site.publish(TEXTS, title="One")
    assert client.get("/").headers["location"] == f"/batches/{one}"
    site.publish({"Cold.": ["Run.", "Sit."]}, title="Two")
    assert client.get("/").headers["location"] == "/batches"
    page = client.get("/batches").text
    assert "One" in page and "Two" in page and "0 done · 2 left" in page and "0 done · 1 left" in page


def test_an_imported_batch_is_not_shown(site: Site):
    batch = site.publish(TEXTS, title="Imported")
    with site.store.write() as session:
        config = BatchConfig.model_construct(
            **{**BatchConfig().model_dump(), "task": BatchConfig().task, "labelers_per_prompt": 0}
        )
        prompts = [Prompt.of(text, "train") for text in TEXTS]
        completions = [Completion.of(p.id, text) for p in prompts for text in TEXTS[p.text]]
        assert publish(session, config, "Imported", "Judge.", prompts, completions, [], NOW) == batch
    client = site.sign_in("Ada")
    assert "Imported" not in client.get("/batches").text
    assert client.get(f"/batches/{batch}").status_code == 404
    assert client.post(f"/api/batches/{batch}/next").json() == {"error": "There is no such batch."}
    for unknown in ("b_none", "%00", "a%0ab"):
        assert client.get(f"/batches/{unknown}").status_code == 404
