"""What a run is called."""

import pytest

from tasks.running.run_name import name_by_changes, own_name


@pytest.fixture
def called(monkeypatch):
    """Says what this flow run was called so far."""
    return lambda name: monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__NAME", name)


def test_a_name_says_what_was_changed_and_keeps_what_the_run_was_called(called):
    called("calm-owl")
    assert name_by_changes("tiny", []) == "tiny (calm-owl)"
    assert name_by_changes("tiny", ["tuning.kl.coef=0.1", "seed=1"]) == "tiny: tuning.kl.coef 0.1, seed 1 (calm-owl)"
    places = ["storage.root=/x", "tracking.uri=http://127.0.0.1", "feedback.url=sqlite:///x"]
    assert name_by_changes("tiny", [*places, "labels={kind: store}"]) == "tiny: labels {kind: store} (calm-owl)"
    called("my try (second)")
    assert own_name(name_by_changes("tiny", ["seed=1"])) == "tiny: seed 1 (my try (second))", "nothing is cut"


def test_a_run_that_is_tried_again_is_called_the_same(called):
    for changes in ([], ["seed=1"]):
        called("calm-owl")
        name = name_by_changes("tiny", changes)
        called(name)
        assert name_by_changes("tiny", changes) == name


def test_a_long_name_is_cut_where_its_changes_end(called):
    called("calm-owl")
    name = name_by_changes("tiny", [f"tuning.clip=0.{number}" for number in range(100)])
    assert name.startswith("tiny: tuning.clip 0.0, ") and name.endswith(" … (calm-owl)") and len(name) < 140


@pytest.mark.parametrize("name", ["calm-owl", "tiny: seed 1 (calm-owl)", "tiny: labels (x) (calm-owl)"])
def test_the_part_that_no_other_run_shares(name):
    assert own_name(name) == "calm-owl"
