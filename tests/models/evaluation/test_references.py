"""Versions of a model beside what people wrote: shares, differences, the best of n."""

import math

import pytest
import torch
from pydantic import ValidationError

from models.errors import TrainingError
from models.evaluation.intervals import win_rate
from models.evaluation.metrics import best_of_n_kl_bound
from models.evaluation.paired import Paired
from models.evaluation.references import (
    REFERENCE,
    VersionSample,
    meetings_with_reference,
    outcomes_by_version,
    share_figures,
    share_lines,
    shares_told,
)
from models.evaluation.versions import best_of_each, first_of_each, sample_version, scored
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.judges import EvaluationConfig
from tests.tolerances import close


class Longest:
    """A completion is as good as it is long."""

    def grade(self, prompts, completions):
        return [float(len(text)) for text in completions]

    def figures(self, prompts, completions):
        return {}


def samples(version: str, written: dict[str, list[str]]) -> list[VersionSample]:
    return [
        VersionSample(prompt=prompt, version=version, completion=text, score=float(len(text)))
        for prompt, texts in written.items()
        for text in texts
    ]


WRITTEN = [
    *samples(REFERENCE, {"p": ["aa", "aaaa"], "q": ["aaa"]}),
    *samples("sft", {"p": ["aa", "aaa"], "q": ["a", "aaa"]}),
    *samples("policy", {"p": ["aaaaa", "aaa"], "q": ["aaaa", "aaa"]}),
]


def test_each_completion_meets_each_reference_of_its_prompt():
    # p: aa ties aa and loses to aaaa, aaa beats aa and loses: 1.5 of 4; q: a loses, aaa ties: .5 of 2
    # p: aaaaa beats both, aaa one: 3 of 4; q: aaaa wins, aaa ties: 1.5 of 2
    assert outcomes_by_version(Longest(), WRITTEN) == {
        **{"sft": {"p": 0.375, "q": 0.25}, "policy": {"p": 0.75, "q": 0.75}}
    }


def test_figures_are_shares_and_differences_by_prompt_with_intervals():
    figures = share_figures("longest", outcomes_by_version(Longest(), WRITTEN))
    ends = ("", "_low", "_high")
    assert len(figures) == 9
    assert close([figures[f"preferred_to_reference/sft/longest{end}"] for end in ends], win_rate([0.375, 0.25]))
    paired = Paired.of([0.375, 0.25], [0.75, 0.75], weights=[1, 1])
    told = [figures[f"preferred_to_reference/policy-sft/longest{end}"] for end in ends]
    assert close(told, (paired.difference, paired.low, paired.high)) and close(told[0], (0.375 + 0.5) / 2)


def test_versions_that_were_equal_on_two_prompts_may_differ_on_others():
    equal = {"p": 0.5, "q": 0.5}
    figures = share_figures("longest", {"sft": equal, "policy": equal})
    assert figures["preferred_to_reference/policy-sft/longest"] == 0
    assert figures["preferred_to_reference/policy-sft/longest_low"] < -0.2


def test_a_report_is_read_and_told_by_judge():
    figures = share_figures("longest", outcomes_by_version(Longest(), WRITTEN))
    judges = {"people": {"learned_from": "nothing"}, "longest": {"learned_from": "nothing"}}
    report = figures | {"judges": judges, "kl_nats": 3.25, "best_of": 4, "best_of_kl_nats_bound": best_of_n_kl_bound(4)}
    told = shares_told(report)
    assert list(told) == ["longest"] and list(told["longest"]) == ["sft", "policy"]
    assert told["longest"]["policy"][0] == 0.75
    line, kl = share_lines(report)
    assert line.startswith("longest: preferred to the human reference: sft 0.312 (") and line.endswith("from nothing")
    assert kl == "KL to the base, nats a completion: policy 3.2, best of 4 at most 0.6"
    assert share_lines({"judges": judges}) == []


def test_meetings_name_who_met_the_reference():
    outcomes = {"sft": {"p": 0.375, "q": 0.5}, "policy": {"p": 0.75}}
    met = meetings_with_reference("longest", outcomes, {"sft": "1" * 64, "policy": "2" * 64})
    assert [(one.policy[0], one.base, one.prompt, one.result) for one in met] == [
        *[("1", REFERENCE, "p", 0.0), ("1", REFERENCE, "q", 0.5), ("2", REFERENCE, "p", 1.0)]
    ]


@pytest.mark.parametrize(("n", "bound"), [(1, 0.0), (2, 0.1931), (16, 1.8351), (64, 3.1745)])
def test_the_kl_of_best_of_n(n, bound):
    assert close(best_of_n_kl_bound(n), bound, tolerance=1e-4)  # log 16 - 15 / 16 = 2.7726 - .9375


def test_the_best_of_n_has_the_highest_score_of_the_first_n_of_its_prompt():
    drawn = samples("sft", {"p": ["a", "aaa", "aaa", "aaaa"], "q": ["aa", "a", "a", "aaaa"]})
    best = best_of_each(drawn, drawn=4, n=3)
    assert [(one.prompt, one.version, one.completion) for one in best] == [
        *[("p", "best_of_n", "aaa"), ("q", "best_of_n", "aa")]
    ]
    assert [one.completion for one in first_of_each(drawn, drawn=4, kept=2)] == ["a", "aaa", "aa", "a"]


def test_a_version_writes_so_many_completions_of_each_prompt(base_folder_once):
    def lengths(prompts, completions):
        return torch.tensor([float(len(text)) for text in completions])

    given = {"sampling": SamplingConfig(max_new_tokens=4), "compute": Compute(device="cpu"), "seed": 0}
    written = sample_version("sft", base_folder_once, lengths, ["my sink", "the lamp"], 3, **given)
    assert [one.prompt for one in written] == ["my sink"] * 3 + ["the lamp"] * 3
    assert len({one.completion for one in written}) > 2 and all(one.score == len(one.completion) for one in written)
    assert written == sample_version("sft", base_folder_once, lengths, ["my sink", "the lamp"], 3, **given)


def test_a_score_that_is_not_finite_is_told():
    with pytest.raises(TrainingError, match="a completion of human reference a score that is not finite"):
        scored(REFERENCE, ["p"], ["a"], lambda prompts, completions: torch.tensor([math.nan]))


def test_feedback_gives_no_references():
    with pytest.raises(ValidationError, match="references, kind feedback, gives training prompts alone"):
        EvaluationConfig(references={"kind": "feedback"})
