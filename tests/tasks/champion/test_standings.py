"""Standings: Elo ratings over all evaluations below a folder."""

import pytest

from labeling.exporters.tables import export_raw
from labeling.feedback import Feedback
from labeling.store.database import FeedbackStore
from labeling.store.intake import take_in
from models.evaluation.metrics import Meeting
from models.records import Authorship, Completion, Prompt, Ranking, write_records
from tasks.champion.standings import standings, standings_of_systems
from tasks.running.storage import MANIFEST
from tests.labeling.people import NOW


def evaluated(root, name, judge, policy, results, base="base"):
    folder = root / "artifacts" / name
    folder.mkdir(parents=True)
    meetings = [
        Meeting(prompt=f"p{number}", judge=judge, policy=policy, base=base, result=result)
        for number, result in enumerate(results)
    ]
    write_records(folder / "meetings.jsonl", meetings)
    (folder / MANIFEST).write_text("{}")


def test_policies_compare_through_their_base_judge_by_judge(tmp_path):
    evaluated(tmp_path, "one", "rule", "good", [1] * 18 + [0.5] * 2)
    evaluated(tmp_path, "two", "rule", "poor", [1] * 8 + [0] * 12)
    evaluated(tmp_path, "three", "reward", "poor", [1])
    found = standings(tmp_path)
    assert list(found) == ["reward", "rule"]
    assert [one.name for one in found["rule"]] == ["good", "base", "poor"]
    assert [one.num_matches for one in found["rule"]] == [20, 40, 20]
    assert [one.name for one in found["reward"]] == ["poor", "base"]
    assert sum(one.rating for one in found["rule"]) / 3 == pytest.approx(1500)


def test_the_same_evaluation_made_again_counts_once(tmp_path):
    evaluated(tmp_path, "one", "rule", "good", [1, 0, 1])
    before = standings(tmp_path)
    evaluated(tmp_path, "two", "rule", "good", [1, 0, 1])
    assert standings(tmp_path) == before


def test_what_a_killed_evaluation_has_left_is_passed_over(tmp_path):
    evaluated(tmp_path, "one", "rule", "good", [1, 0, 1])
    before = standings(tmp_path)
    left = tmp_path / "artifacts" / ".scratch-x1"
    left.mkdir()
    (left / "meetings.jsonl").write_text('{"prompt": "half a li')
    assert standings(tmp_path) == before


def test_a_policy_that_is_its_base_stands_against_nobody(tmp_path):
    """Tuning that found nothing better gives the base back."""
    evaluated(tmp_path, "one", "rule", "good", [1, 0, 1])
    before = standings(tmp_path)
    evaluated(tmp_path, "two", "rule", "base", [0.5] * 3)
    assert standings(tmp_path) == before


def test_nothing_evaluated(tmp_path):
    assert standings(tmp_path) == {}


def test_systems_stand_as_people_have_ranked_them_in_the_store_and_in_artifacts(tmp_path):
    """The same ranking in both places counts once; who wrote a text is told by either."""
    prompt = Prompt.of("My house is too hot.", "train")
    a, b, c = (Completion.of(prompt.id, text) for text in ("Open it.", "Wait.", "Sing."))
    wrote = [Authorship(completion_id=one.id, system=name) for one, name in ((a, "x"), (b, "y"), (c, "z"))]
    first = Ranking.of(prompt.id, "ann", "helpfulness", [[a.id], [b.id]])
    second = Ranking.of(prompt.id, "bob", "helpfulness", [[b.id], [c.id]])
    url = f"sqlite:///{tmp_path}/feedback.db"
    assert standings_of_systems(tmp_path, url) == {} and not (tmp_path / "feedback.db").exists()
    with FeedbackStore(url) as store, store.write() as session:
        take_in(session, Feedback([prompt], [a, b, c], [first], (), wrote[:2]), "file", False, NOW)
    folder = tmp_path / "artifacts" / "feedback-1"
    folder.mkdir(parents=True)
    export_raw(Feedback([prompt], [a, b, c], [first, second], (), wrote), folder)
    (folder / MANIFEST).write_text("{}")
    found = standings_of_systems(tmp_path, url)
    assert list(found) == ["helpfulness"]
    assert [(one.name, one.num_matches) for one in found["helpfulness"]] == [("x", 1), ("y", 2), ("z", 1)]
