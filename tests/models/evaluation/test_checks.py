"""A policy on its way, as judges see it; and where it begins to please the score alone."""

from models.evaluation.checks import Checks, Parting, check_steps
from models.evaluation.progress_sample import ProgressSample
from tests.tolerances import close


class CountsA:
    """The more letters a, the better."""

    def grade(self, prompts, completions):
        return [float(text.count("a")) for text in completions]

    def figures(self, prompts, completions):
        return {}


def checks_of(written: dict[int, list[str]]) -> Checks:
    return Checks.of(
        [
            ProgressSample(update=update, prompt=f"p{number}", completion=text)
            for update, texts in written.items()
            for number, text in enumerate(texts)
        ]
    )


def test_win_rates_are_over_the_policy_as_it_began():
    rates = checks_of({0: ["b", "a", "a", "a"], 5: ["a", "a", "a", "b"], 10: ["aa"] * 4}).judged_by(CountsA()).win_rates
    # at 5 a win, two ties and a loss
    assert {update: rate for update, (rate, _, _) in rates.items()} == {0: 0.5, 5: 0.5, 10: 1.0}
    assert close(rates[10][1:], (4 / (4 + 3.182446**2), 1.0))  # Wilson's of four of four, by Student's t of 3
    assert checks_of({}).judged_by(CountsA()).win_rates == {}


def test_score_and_judge_part_where_the_score_goes_on_without_the_judge():
    written = {0: ["b"] * 20, 5: ["aa"] * 20, 10: ["a"] * 20}  # surely better at 5, surely worse than that at 10
    checks = checks_of(written)
    assert checks.judged_by(CountsA()).parting({0: 0.0, 5: 1.0, 10: 2.0}) == Parting(peak_update=5, parted=True)
    assert not checks.judged_by(CountsA()).parting({0: 0.0, 5: 1.0, 10: 0.5}).parted, "the score fell too"


def test_nothing_parts_where_the_judge_is_not_sure_or_the_last_check_is_the_best():
    unsure = checks_of({0: ["b"] * 20, 5: ["aa"] * 20, 10: ["aa"] * 18 + ["a"] * 2})
    assert unsure.judged_by(CountsA()).parting({0: 0.0, 5: 1.0, 10: 2.0}) == Parting(5, parted=False)
    rising = checks_of({0: ["b"] * 20, 5: ["a"] * 20, 10: ["aa"] * 20})
    # against how it began both win every prompt: the first of them is the peak, and the last is no worse than it
    assert rising.judged_by(CountsA()).parting({0: 0.0, 5: 1.0, 10: 2.0}) == Parting(5, parted=False)


def test_curves_have_a_step_for_each_check():
    checks = checks_of({0: ["b"] * 4, 5: ["a"] * 4})
    steps = check_steps({"counts": checks.judged_by(CountsA())}, {0: -1.0, 5: 1.5}, num_updates=9)
    assert [(one.step, one.num_steps) for one in steps] == [(0, 10), (5, 10)]
    assert [one.values["score"] for one in steps] == [-1.0, 1.5]
    assert [one.values["counts/win_rate"] for one in steps] == [0.5, 1.0]
    assert set(steps[0].values) == {"score", "counts/win_rate", "counts/win_rate_low", "counts/win_rate_high"}
