"""The sentence at the end of a run: what it says of whom, and when it does not say that something got better."""

import pytest

from tasks.reporting.result import policy_result, reward_result


def report(rate: float, low: float, high: float, **more) -> dict:
    said = {"win_rate": rate, "win_rate_low": low, "win_rate_high": high}
    return {
        **{"judge": "facts", "judges": {"facts": said, "own_reward": {**said, "win_rate": 0.99}}},
        **{
            "kl_nats": 3.74,
            "held_out_prompts": 189,
            "reward_labeler_accuracy_low": 0.66,
            "reward_labeler_accuracy_high": 0.7,
        },
        **more,
    }


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (
            report(0.644, 0.601, 0.679),
            "BETTER: facts prefers the policy to its base in 64 % (60 % to 68 %) on 189 held-out prompts, 3.7 nats away.",
        ),
        (
            report(0.6, 0.5, 0.7),
            "NOT SHOWN to be better: facts prefers the policy to its base in 60 % (50 % to 70 %) on",
        ),
        (report(0.4, 0.3, 0.5), "NOT SHOWN to be better: "),
        (report(0.4, 0.31, 0.499), "WORSE: facts prefers the policy to its base in 40 %"),
        (report(0.9, 0.85, 0.93, kl_nats_is_bound=True), "on 189 held-out prompts, at most 3.7 nats away."),
        (report(0.9, 0.85, 0.93, judge=None), "NO INDEPENDENT JUDGE: "),
        (report(0, 0, 0, judges={"facts": {}}), "WAITS FOR VOTES: "),
    ],
)
def test_of_a_policy(told, sentence):
    said = policy_result(told)
    assert sentence in said and "NO BETTER THAN CHANCE" not in said


def test_a_win_that_equal_lengths_do_not_show_is_said():
    told = report(0.66, 0.573, 0.737)
    told["judges"]["facts"] |= {"win_rate_length_controlled_low": 0.381, "win_rate_length_controlled_high": 0.735}
    assert policy_result(told).endswith("At equal lengths that is not shown (38 % to 74 %): part of it may be length.")
    told["judges"]["facts"]["win_rate_length_controlled_low"] = 0.51
    assert "equal lengths" not in policy_result(told)


def test_a_reward_that_may_be_chance_is_said_whatever_the_judge_says():
    for judge in ("facts", None):
        noise = report(0.9, 0.85, 0.93, judge=judge, reward_labeler_accuracy_low=0.5, reward_labeler_accuracy_high=0.62)
        assert policy_result(noise).endswith(
            "The reward model is NO BETTER THAN CHANCE (50 % to 62 % of people's own preferences): what follows it follows noise."
        )


def test_of_a_reward():
    figures = {
        "reward_labeler_accuracy": 0.6805,
        "reward_labeler_accuracy_low": 0.667,
        "reward_labeler_accuracy_high": 0.694,
    }
    beside = {"reward_length_rule": 0.608, "reward_ngrams": 0.6818}
    assert reward_result(figures | beside) == (
        "The reward model orders 68 % (67 % to 69 %) of people's own held-out preferences as they did; the longer text 61 %, n-grams 68 %."
    )
    assert "NO BETTER THAN CHANCE" in reward_result(figures | beside | {"reward_labeler_accuracy_low": 0.49})
    assert (
        reward_result({"class_accuracy": 0.894}) == "The reward model puts 89 % of held-out texts where most people do."
    )
