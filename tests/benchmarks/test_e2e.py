"""The rows that the benchmark of real people's rankings writes, and what it says of them."""

import json

from benchmarks.e2e import REPORTED, keep, row_of, verdicts

SAID = {
    "win_rate": 0.7,
    "win_rate_low": 0.6,
    "win_rate_high": 0.8,
    "independent": True,
    "learned_from": "x",
    "chose": False,
}
TRIAL = {name: None for name in REPORTED} | {
    "seed": 51,
    "wall_seconds": 1400.5,
    "judges": {"restaurant_facts": SAID, "held_out_reward": SAID | {"win_rate_low": 0.55}, "own_reward": SAID},
    **{"facts_missing_base": 1.0, "facts_wrong_base": 1.0, "facts_missing_policy": 0.5, "facts_wrong_policy": 1.0},
    **{"kl_nats": 9.0, "reward_labeler_accuracy": 0.7, "reward_ngrams": 0.68},
    **{"reward_labeler_ceiling": 0.65, "reward_length_rule": 0.6},
}


def test_a_row_has_what_the_report_says_by_the_names_of_the_results():
    row = row_of(TRIAL)
    assert row["judges"]["held_out_reward"] == {"win_rate": 0.7, "low": 0.55, "high": 0.8}
    assert (row["facts_wrong_base"], row["facts_wrong_policy"]) == (2.0, 1.5)
    assert (row["seed"], row["seconds"], row["device"]) == (51, 1400.5, "cpu")
    assert (row["reward_accuracy_held_out"], row["ceiling"], row["length_rule"], row["ngrams"]) == (
        0.7,
        0.65,
        0.6,
        0.68,
    )


def test_each_thing_that_is_wanted_can_be_missed(tmp_path):
    good = row_of(TRIAL | {"reward_labeler_accuracy": 0.7001})
    assert all(verdicts([good, good]).values())
    lower = {"win_rate": 0.55, "low": 0.49, "high": 0.6}
    worse = good | {
        "judges": {"restaurant_facts": lower, "held_out_reward": lower},
        **{"facts_wrong_policy": 2.0, "kl_nats": 15.0, "ngrams": 0.72, "seconds": 1501},
    }
    assert not any(verdicts([worse]).values())
    # of two, the means: win rate (.7 + .55) / 2, mistakes 1.75 of 2, accuracy above by (.0201 - .02) / 2
    assert [wanted for wanted, is_so in verdicts([good, worse]).items() if is_so] == [
        "facts win rate, mean at least .60"
    ]
    keep(tmp_path / "e2e.json", [good])
    told = json.loads((tmp_path / "e2e.json").read_text(encoding="utf-8"))
    assert told["rows"] == [good] and set(told["as_wanted"].values()) == {True} and told["commit"]
