"""Time to quality: what is counted, with contenders that know when they are good enough. The peer itself does not run here."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import turns
from benchmarks.quality import part

CONTENDER = """
import json, sys
settings = json.loads(sys.argv[1])
helpful = 0
while sys.stdin.readline():
    print(json.dumps({"seconds": 9, "amount": 1, "completions": helpful * ["helps"] + (8 - helpful) * ["no"]}), flush=True)
    sys.stdin.readline()
    helpful += settings["a_step"]
    print(json.dumps({"seconds": settings["a_step"] + 1.5, "amount": 1}), flush=True)
"""


@pytest.fixture
def contender(tmp_path, monkeypatch) -> dict:
    """Where one lies that gets better by `a_step` of eight completions an update; two held-out prompts, each completed four times."""
    (tmp_path / "learner.py").write_text(CONTENDER)
    material = tmp_path / "0.json"
    material.write_text(json.dumps({"held_out": ["one", "two"]}))
    monkeypatch.setattr(turns, "PROJECT", tmp_path)
    monkeypatch.setattr(part, "is_helpful", lambda prompt, text: text == "helps")
    return {"python": Path(sys.executable), "module": "learner", "material": material, "threads": 1}


def test_updates_are_timed_until_nine_of_ten_help(contender):
    told = part.time_to_quality(settings={"a_step": 2}, limit=float("inf"), **contender)
    assert told == {"seconds": 14.0, "updates": 4, "reached": True, "helpful": [0, 0.25, 0.5, 0.75, 1]}


def test_who_does_not_get_there_is_told_so(contender, monkeypatch):
    monkeypatch.setattr(part, "NUM_UPDATES", 3)
    told = part.time_to_quality(settings={"a_step": 1}, limit=float("inf"), **contender)
    assert (told["reached"], told["updates"], told["seconds"]) == (False, 3, 7.5)
    told = part.time_to_quality(settings={"a_step": 1}, limit=4.0, **contender)
    assert (told["reached"], told["updates"]) == (False, 2), "slower than the best so far: given up"


def test_the_search_puts_the_quickest_first_that_got_there(contender, monkeypatch):
    monkeypatch.setattr(part, "make_material", lambda seed: contender["material"])
    monkeypatch.setattr(part, "MODULES", {"own": "learner"})
    monkeypatch.setattr(part, "FIRST", ({"a_step": 1}, {"a_step": 4}, {"a_step": 0}))
    monkeypatch.setattr(part, "THEN", {"own": ({"a_step": 8},)})
    tried = part.search({"own": contender["python"]}, threads=1)["own"]
    assert [row["settings"]["a_step"] for row in tried] == [8, 4, 1, 0]
    assert [row["cost"] for row in tried] == [9.5, 11.0, 20.0, 12.0]
    assert [row["reached"] for row in tried] == [True, True, True, False]


def test_the_ratio_is_the_median_over_the_seeds(monkeypatch):
    seconds = iter([2, 6, 1, 4, 4, 10])  # ours and theirs, seed by seed
    monkeypatch.setattr(part, "make_material", lambda seed: Path(str(seed)))
    monkeypatch.setattr(
        part, "time_to_quality", lambda *given: {"seconds": next(seconds), "updates": 3, "reached": True, "helpful": []}
    )
    told = part.measure_quality({"own": Path(), "peer": Path()}, {"own": {}, "peer": {}}, threads=1)
    assert (told["ratio"], told["ratios"]) == (3.0, [3.0, 4.0, 2.5])
    assert (told["own"]["cost"], told["peer"]["cost"]) == (2, 6)
    assert [one["seed"] for one in told["own"]["turns"]] == list(part.SEEDS)
