"""Votes on single texts through whole flows. What each stage makes of them: tests/tasks/stages/test_votes.py."""

import json

from tests.flows.conftest import SMOKE, Workplace

BRIEF = ("pretraining.source.num_rows=40", "sft.source.num_rows=20", "reward.num_epochs=1")


def test_single_thumbs_make_a_reward_model_or_are_refused_before_anything_is_trained(apart: Workplace, tmp_path):
    for name, down in (("thumbs", 2), ("up", 99)):  # every second one, or none
        rows = [
            {"prompt": f"My room {n} is hot.", "completion": "open it", "label": not n or n % down > 0}
            for n in range(40)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    asked = ("reward", SMOKE, "reward={kind: thumbs}", *BRIEF)
    done = apart.rein(*asked, f"labels={{kind: thumbs, path: {tmp_path}/up.jsonl}}")
    assert done.returncode == 1 and "thumbs on completions of training prompts none is down" in done.stderr
    report = apart.report(*asked, f"labels={{kind: thumbs, path: {tmp_path}/thumbs.jsonl}}")
    assert {"feedback", "consensus", "pairs", "reward", "reward-report"} <= set(report["stages_run"])
    assert report["single_ratings"] == 40 and 0 <= report["class_auroc"] <= 1


def test_simulated_annotators_teach_a_classifier_that_a_policy_is_tuned_on(apart: Workplace):
    report = apart.report(
        *("rlhf", SMOKE, "labels={kind: simulated, labelers: [{kind: simulated_annotator, name: ann}]}"),
        *(
            "pretraining.source={kind: rude_household, num_rows: 300}",
            "sft.source={kind: rude_household, num_rows: 200}",
        ),
        *("reward={kind: classifier}", "evaluation.judges=[{kind: politeness_rule}, {kind: own_reward}]"),
    )
    assert report["simulated_labelers"] and report["ratings"] == 160, "of 40 prompts with four completions"
    assert report["class_accuracy"] == report["reward_accuracy"] and "reward_labeler_accuracy" in report
    assert 0 <= report["rude_base"] <= 1 and 0 <= report["rude_policy"] <= 1
