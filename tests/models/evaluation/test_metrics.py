"""Accuracy, calibration and outcomes against values worked out by hand, and matches between two models."""

import copy
import math

import pytest
import torch

from models.evaluation.intervals import win_rate
from models.evaluation.matches import completion_kl, play_matches
from models.evaluation.metrics import prompt_outcome
from models.evaluation.reward_report import (
    CalibrationBand,
    accuracy_of_the_others,
    calibration,
    evaluate_reward,
    pair_accuracy,
    strict_preferences,
)
from models.evaluation.writer import Writer
from models.generation.sampling import Sample, sample_completions
from models.network.dialogue import encode_prompt
from models.network.packing import reading_at_once
from models.records import Pair, Ranking
from models.settings.generation import SamplingConfig
from tests.tolerances import close


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


# outcomes


@pytest.mark.parametrize(
    ("policy", "base", "expected"),
    [
        ([2.0, 0.0], [1.0, 0.0], 0.625),  # 2>1, 2>0, 0<1, 0=0: (1 + 1 + 0 + .5) / 4
        ([1.0], [0.0], 1.0),
        ([0.0], [1.0], 0.0),
        ([3.0, 3.0], [3.0], 0.5),
    ],
)
def test_prompt_outcome(policy, base, expected):
    assert prompt_outcome(policy, base) == expected


# accuracy and preferences


def test_pair_accuracy():
    logits = {"a": 2.0, "b": 1.0, "c": 1.0}
    assert pair_accuracy(logits, [("a", "b"), ("b", "c"), ("c", "a")]) == 0.5  # right, equal, wrong
    assert pair_accuracy(logits, [("a", "b"), ("a", "c"), ("b", "c")]) == 2.5 / 3
    assert math.isnan(pair_accuracy(logits, []))


def test_strict_preferences_leave_out_ties_and_equal_texts():
    ranking = Ranking.of("p", "ann", "help", levels=[["b"], ["a", "d"], ["c"]], unusable=["e", "f"])
    texts = {"a": "alpha", "b": "beta", "c": " beta ", "d": "delta", "e": "epsilon", "f": "phi"}
    assert set(strict_preferences(ranking, texts)) == {
        *{("b", "a"), ("b", "d"), ("b", "e"), ("b", "f")},  # not (b, c): the same text
        *{("a", "c"), ("a", "e"), ("a", "f"), ("d", "c"), ("d", "e"), ("d", "f")},  # not (a, d): tied
        *{("c", "e"), ("c", "f")},  # not (e, f): both unusable
    }


# calibration


def test_calibration_bands():
    logits = {
        **{"zero": 0.0, "same": 0.0},
        **{"p75": logit(0.75), "p72": logit(0.72), "p95": logit(0.95), "sure": 1000.0},
    }
    pairs = [("p75", "zero"), ("zero", "p72"), ("p95", "zero"), ("sure", "zero"), ("zero", "same")]
    low, middle, high = calibration(logits, pairs)
    assert (low.num_pairs, middle.num_pairs, high.num_pairs) == (1, 2, 2)
    # equal logits: one half, half right; .75 right and .72 wrong; .95 and 1 right
    for band, expected in zip(
        (low, middle, high),
        [(0.5, 0.6, 0.5, 0.5), (0.7, 0.8, 0.735, 0.5), (0.9, 1.0, 0.975, 1.0)],
        strict=True,
    ):
        assert close((band.lowest, band.highest, band.mean_probability, band.accuracy), expected, tolerance=1e-9)


def test_more_bands_are_narrower():
    (band,) = calibration({"a": logit(0.93), "b": 0.0}, [("b", "a")], num_bands=10)
    assert close(
        (band.lowest, band.highest, band.mean_probability, band.accuracy), (0.9, 0.95, 0.93, 0.0), tolerance=1e-9
    )


def test_evaluate_reward():
    logits = {"a": logit(0.75), "b": 0.0, "c": logit(0.95), "d": 0.0}
    texts = {"a": "alpha", "b": "beta", "c": "gamma", "d": "delta"}
    pairs = [
        Pair(prompt_id="p", chosen="a", rejected="b"),  # right at .75
        Pair(prompt_id="p", chosen="b", rejected="c"),  # wrong at .95
        Pair(prompt_id="p", chosen="c", rejected="d"),  # right at .95
        Pair(prompt_id="p", chosen="b", rejected="d", label=0.5),  # a tie: left out
    ]
    rankings = [
        Ranking.of("p", "zoe", "help", levels=[["a"], ["b"]]),  # right
        Ranking.of("p", "ann", "help", levels=[["b"], ["a"], ["c"]]),  # (b, a) wrong, (b, c) wrong, (a, c) wrong
        Ranking.of("q", "ann", "help", levels=[["c"], ["d"]]),  # right
        Ranking.of("p", "bob", "help", levels=[["a", "b"]]),  # says nothing strict
    ]
    report = evaluate_reward(logits, pairs, rankings, texts)
    assert close(report.accuracy, 2 / 3) and report.num_pairs == 3
    assert close(report.labeler_accuracy, 2 / 5)  # zoe 1 of 1, ann 1 of 4
    assert report.num_preferences == 5
    # zoe's (a, b) and ann's (b, a) contradict each other; of the rest nobody else said anything
    assert (report.labeler_ceiling, report.num_foretold) == (0, 2)
    assert report.accuracy_by_labeler == {"ann": 0.25, "zoe": 1.0}
    # ann's (b, c) is turned round by logit(.95), her other two by less; no prompt is shown twice
    (worst,) = report.mistakes
    assert (worst.prompt_id, worst.labeler, worst.preferred, worst.other) == ("p", "ann", "b", "c")
    assert close(worst.lead, logit(0.95))
    # of lengths 5, 4, 5, 5 the reward likes the longer one in (a, b) twice and in (b, c); (a, c) and (c, d) are as long
    assert close(report.longer_preferred, 4 / 5) and close(report.length_rule, 2 / 5)
    assert [type(band) for band in report.bands] == [CalibrationBand] * 2
    # bands .7-.8: 1 pair, |1 - .75| = .25; .9-1: 2 pairs, |.5 - .95| = .45; (1 * .25 + 2 * .45) / 3
    assert close(report.calibration_error, 1.15 / 3)


def test_the_interval_of_a_reward_is_that_of_its_prompts():
    """Several people who say the same of a prompt show no more than one."""
    logits = {
        f"{side}{prompt}": float(side == "good" if prompt % 4 else side == "bad")
        for prompt in range(40)
        for side in ("good", "bad")
    }
    rankings = [
        Ranking.of(f"p{prompt}", name, "help", levels=[[f"good{prompt}"], [f"bad{prompt}"]])
        for prompt in range(40)
        for name in ("ann", "bob", "cem")
    ]
    report = evaluate_reward(logits, [], rankings, {name: name for name in logits})
    once = win_rate([float(prompt % 4 > 0) for prompt in range(40)])  # right at 30 of 40 prompts
    found = (report.labeler_accuracy, report.labeler_accuracy_low, report.labeler_accuracy_high)
    assert close(found[0], 0.75) and all(close(*both) for both in zip(found, once, strict=True))
    # Wilson's with z = t of 39 degrees = 2.0227, c = z^2 / 40 = .1023: (.75 + c / 2 -+ sqrt(c (.1875 + c / 4))) / (1 + c)
    assert report.labeler_accuracy_low == pytest.approx(0.593, abs=1e-3)
    assert report.labeler_accuracy_high == pytest.approx(0.861, abs=1e-3)


def test_a_report_without_pairs():
    report = evaluate_reward({}, [], [], {})
    assert (
        math.isnan(report.accuracy) and math.isnan(report.labeler_accuracy) and math.isnan(report.labeler_accuracy_low)
    )
    assert (report.num_pairs, report.calibration_error, report.bands, report.accuracy_by_labeler) == (0, 0, (), {})
    assert math.isnan(report.labeler_ceiling) and (report.num_preferences, report.num_foretold) == (0, 0)


def test_the_others_foretell_each_preference_by_their_majority():
    said = {
        "ann": [("a", "b"), ("a", "b"), ("c", "d")],  # she said a twice; nobody else judged c and d
        "bob": [("a", "b")],
        "cem": [("b", "a")],
        "dan": [("b", "a")],
        "eve": [("x", "y")],
        "fay": [("x", "y")],
    }
    # ann: others 1 to 2 against a, twice wrong; bob: 2 to 2, one half; cem and dan: 1 to 3, wrong; eve, fay right
    assert accuracy_of_the_others(said) == (pytest.approx((0 + 0 + 0.5 + 0 + 0 + 1 + 1) / 7), 7)


# base against policy

PROMPTS = ["my sink is leaking, what can I do?", "the lamp"]


def count_letters(prompts, completions) -> torch.Tensor:
    return torch.tensor([float(len(text)) for text in completions])


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_completion_kl_equals_a_computation_without_batches(policy, other_policy, tokenizer, temperature):
    prompts = PROMPTS * 3
    samples = sample_completions(
        policy, tokenizer, prompts, max_new_tokens=6, temperature=temperature, batch_size=8, seed=0
    )
    samples[1] = Sample([40, 2], [-1.0] * 2, "x", ended=True)  # lengths differ
    for num_tokens in (1, 4, 64):
        with reading_at_once(num_tokens):
            kl = completion_kl(policy, other_policy, tokenizer, prompts, samples, temperature)
        for prompt, sample, nats in zip(prompts, samples, kl, strict=True):
            start = encode_prompt(tokenizer, prompt)
            ids = torch.tensor([start + sample.tokens])
            expected = 0.0
            for model, sign in ((policy, 1), (other_policy, -1)):
                with torch.no_grad():
                    log_p = torch.log_softmax(model(ids).logits[0].double() / temperature, dim=-1)
                own = [log_p[len(start) + place - 1, token].item() for place, token in enumerate(sample.tokens)]
                expected += sign * sum(own)
            assert close(nats, expected, tolerance=2e-5)


def play(base, policy, tokenizer, **changes):
    settings = {"num_samples": 3, "sampling": SamplingConfig(max_new_tokens=5), "seed": 0}
    return play_matches(
        Writer(base, tokenizer), Writer(policy, tokenizer), count_letters, PROMPTS, **settings | changes
    )


def test_matches_stand_by_prompt_and_hold_what_each_model_wrote(policy, other_policy, tokenizer):
    matches = play(policy, other_policy, tokenizer)
    assert [match.prompt for match in matches] == [PROMPTS[0]] * 3 + [PROMPTS[1]] * 3
    asked = [match.prompt for match in matches]
    for model, side in ((policy, "base"), (other_policy, "policy")):
        drawn = sample_completions(model, tokenizer, asked, max_new_tokens=5, temperature=1.0, batch_size=128, seed=0)
        assert [getattr(match, f"{side}_completion") for match in matches] == [sample.text for sample in drawn]
        assert [getattr(match, f"{side}_ended") for match in matches] == [sample.ended for sample in drawn]
        assert [getattr(match, f"{side}_score") for match in matches] == [len(sample.text) for sample in drawn]
        if side == "policy":
            expected = completion_kl(other_policy, policy, tokenizer, asked, drawn, temperature=1.0)
            assert close([match.kl_nats for match in matches], expected)
    assert sum(match.kl_nats for match in matches) > 0


def test_a_model_against_itself_is_a_draw(policy, tokenizer):
    for match in play(policy, copy.deepcopy(policy), tokenizer):
        assert match.base_completion == match.policy_completion
        assert match.base_score == match.policy_score
        assert match.kl_nats == 0
