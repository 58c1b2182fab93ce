"""One reward for each person in a whole run: everybody's is trained once, and the policy is tuned on one person's score."""

import json
from pathlib import Path

import pytest

from tests.flows.conftest import SMOKE, Workplace

LABELERS = "{name: terse, goes_by: brevity}, {name: short, goes_by: brevity}, {name: wordy, goes_by: brevity, behaviour: upside_down}"
PERSONAL = (
    "reward={kind: personal, num_epochs: 1, batch_size: 8, rank: 2}",
    "tuning.min_reward_accuracy=0.01",
    f"labels.labelers=[{LABELERS}]",
)


@pytest.fixture(scope="module")
def of_one(apart: Workplace, first_report: dict) -> dict:
    return apart.report("rlhf", SMOKE, *PERSONAL, "reward.person=wordy")


def test_the_reward_of_everybody_comes_first_and_the_persons_out_of_it(of_one):
    learned = "labels consensus own-pairs pairs everybody/reward everybody/reward-report reward reward-report"
    assert of_one["stages_run"] == [*learned.split(), "tuning", "matches", "evaluation"]
    assert not Path(of_one["artifacts"]["reward"], "model", "people.json").exists()
    told = json.loads(Path(of_one["artifacts"]["everybody/reward-report"], "personal_report.json").read_text())
    assert {one["person"] for one in told["people"]} == {"terse", "short", "wordy"}
    assert of_one["everybody/personal_gain_low"] <= of_one["everybody/personal_gain"]
    by_person = json.loads(Path(of_one["artifacts"]["reward-report"], "reward_report.json").read_text())
    assert set(by_person["accuracy_by_labeler"]) == {"wordy"}, "the others want the opposite"
    assert by_person["accuracy"] == of_one["reward_accuracy"] == pytest.approx(by_person["labeler_accuracy"])


def test_another_person_costs_no_second_training(of_one, apart):
    other = apart.report("rlhf", SMOKE, *PERSONAL, "reward.person=terse")
    assert other["stages_run"] == ["reward", "reward-report", "tuning", "matches", "evaluation"]
    assert other["artifacts"]["everybody/reward"] == of_one["artifacts"]["everybody/reward"]
    shared = apart.report("rlhf", SMOKE, *PERSONAL)
    assert shared["artifacts"]["reward"] == of_one["artifacts"]["everybody/reward"]
    assert shared["personal_accuracy"] == of_one["everybody/personal_accuracy"]


def test_a_name_that_nobody_has_is_told_with_those_near_it(of_one, apart):
    done = apart.rein("rlhf", SMOKE, *PERSONAL, "reward.person=wordi")
    assert done.returncode == 1
    assert (
        "DataError: reward.person: 'wordi' has ranked no training prompt; near that name are ['wordy'," in done.stderr
    )


def test_people_who_are_held_out_are_in_no_reward(of_one, apart):
    report = apart.report("rlhf", SMOKE, *PERSONAL, "consensus.held_out_labelers=[short]")
    people = json.loads(Path(report["artifacts"]["reward"], "model", "people.json").read_text())
    assert set(people) == {"terse", "wordy"}
