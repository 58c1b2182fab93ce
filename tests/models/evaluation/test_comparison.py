"""A judge's say on two models, and on one model as it is tuned."""

import math

import pytest

from models.errors import DataError
from models.evaluation.comparison import compare, describe_matches
from models.evaluation.intervals import win_rate
from models.evaluation.judges.judge import require_known
from models.evaluation.metrics import Match
from models.settings.judges import HouseholdRule, OwnReward
from tests.tolerances import close


class CountsA:
    """A completion is as good as it has letters a; one without any is unusable."""

    def grade(self, prompts, completions):
        return [float(text.count("a")) or -math.inf for text in completions]

    def figures(self, prompts, completions):
        return {"longest": float(max(map(len, completions)))}


def test_outcomes_are_shares_of_pairs_of_completions_by_prompt():
    prompts = ["p", "p", "q", "q"]
    first, second = ["aa", "a", "b", "b"], ["a", "b", "a", "b"]
    comparison = compare(CountsA(), prompts, first, second, num_samples=2)
    # p: aa beats a and b, a ties a and beats b: 3.5 / 4; q: two unusable ones lose to a and tie b: 1 / 4
    assert comparison.prompts == ["p", "q"] and comparison.outcomes == [0.875, 0.25]
    names = ["win_rate", "win_rate_low", "win_rate_high"]
    assert list(comparison.figures)[:3] == names
    assert close([comparison.figures[name] for name in names], win_rate([0.875, 0.25]))
    assert comparison.figures["win_rate"] == 0.5625
    # +3 -2 half games, and -4 -4: of ±3 ±2 ±4 ±4 all but -13 and -9 are at least -7
    assert comparison.p_value == 14 / 16
    assert [one.result for one in comparison.meetings("a", "1", "2")] == [1.0, 0.0]


def test_what_is_told_of_matches():
    shared = {"prompt": "p", "base_ended": True, "policy_ended": False}
    matches = [
        Match(base_completion="a", policy_completion="aaa", base_score=0, policy_score=1, kl_nats=2, **shared),
        Match(base_completion="a", policy_completion="b", base_score=1, policy_score=2, kl_nats=4, **shared),
    ]
    assert describe_matches(matches, [CountsA()]) == {
        **{"longest_base": 1, "longest_policy": 3, "score_base": 0.5, "score_policy": 1.5, "kl_nats": 3},
        **{"end_rate": 0, "end_rate_base": 1, "distinct_completions": 2, "distinct_completions_base": 1},
    }


def test_a_judge_that_does_not_know_a_prompt_is_refused():
    require_known(HouseholdRule(), [])
    require_known(OwnReward(), ["anything"])
    with pytest.raises(DataError, match=r"evaluation\.judges: household_rule does not know 1 of 1 .* 'Who are you\?'"):
        require_known(HouseholdRule(), ["Who are you?"])
