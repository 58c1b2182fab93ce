"""Standings: Elo ratings over all evaluations below a folder."""

import pytest

from models.evaluation.metrics import Meeting
from models.records import write_records
from tasks.champion.standings import standings
from tasks.running.storage import MANIFEST


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


def test_nothing_evaluated(tmp_path):
    assert standings(tmp_path) == {}
