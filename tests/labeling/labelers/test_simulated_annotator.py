"""Simulated annotators: what they say, how often they err, and that rankings follow where nobody ranks."""

from labeling.labelers.labeler import rank_completions, rate_completions
from models.records import Completion, Prompt
from models.settings.labels import SimulatedAnnotator, SimulatedLabeler, SimulatedLabels

PROMPTS = [Prompt.of(f"My house is too hot, {number}.", "train") for number in range(50)]
POLITE, RUDE = "You could switch on the fan.", "Stop whining. You could switch on the fan."
COMPLETIONS = [Completion.of(prompt.id, text) for prompt in PROMPTS for text in (POLITE, RUDE)]
TEXT = {one.id: one.text for one in COMPLETIONS}


def labels(*error_rates: float) -> SimulatedLabels:
    people = [SimulatedAnnotator(name=f"ann-{place}", error_rate=rate) for place, rate in enumerate(error_rates)]
    return SimulatedLabels(labelers=tuple(people), criterion="politeness")


def right(config: SimulatedLabels, seed: int = 0) -> list[bool]:
    return [
        one.wanted == (TEXT[one.completion_id] == POLITE)
        for one in rate_completions(config, PROMPTS, COMPLETIONS, seed)
    ]


def test_whoever_never_errs_wants_what_is_not_rude():
    ratings = rate_completions(labels(0, 0), PROMPTS, COMPLETIONS, seed=0)
    assert len(ratings) == 200 and all(right(labels(0, 0)))
    assert {(one.labeler, one.criterion) for one in ratings} == {("ann-0", "politeness"), ("ann-1", "politeness")}


def test_by_helpfulness_whoever_never_errs_wants_what_helps_however_rude():
    prompt = Prompt.of("My house is too hot.", "train")
    texts = {POLITE: True, RUDE: True, "You could turn up the heater.": False, "Any child knows that.": False}
    helpful = SimulatedAnnotator(name="ann", error_rate=0, goes_by="helpfulness")
    config = SimulatedLabels(labelers=(helpful,), criterion="helpfulness")
    shown = [Completion.of(prompt.id, text) for text in texts]
    said = {one.completion_id: one.wanted for one in rate_completions(config, [prompt], shown, seed=0)}
    assert said == {one.id: texts[one.text] for one in shown}


def test_errors_come_as_often_as_is_said_and_to_each_by_themselves():
    """Of 100 answers at .3: 30 wrong, give or take three standard deviations, sqrt(100 * .3 * .7) = 4.6."""
    both = right(labels(0.3, 0.3))
    assert abs(both.count(False) - 60) < 20
    assert right(labels(0.3)) == right(labels(0.3)) != right(labels(0.3), seed=1)
    one, other = (
        [said.wanted for said in rate_completions(labels(0.3, 0.3), PROMPTS, COMPLETIONS, 0) if said.labeler == name]
        for name in ("ann-0", "ann-1")
    )
    assert one != other


def test_a_single_completion_can_be_rated():
    shown = COMPLETIONS[::2]
    assert len(rate_completions(labels(0), PROMPTS, shown, seed=0)) == 50
    assert rank_completions(labels(0), PROMPTS, shown, seed=0) == [], "nobody ranks"


def test_those_who_rank_and_those_who_rate_are_asked_for_what_they_do():
    mixed = labels(0).model_copy(update={"labelers": (*labels(0).labelers, SimulatedLabeler(name="careful"))})
    prompts = [Prompt.of("My house is too hot.", "train")]
    shown = [Completion.of(prompts[0].id, text) for text in (POLITE, RUDE)]
    assert [one.labeler for one in rank_completions(mixed, prompts, shown, seed=0)] == ["careful"]
    assert [one.labeler for one in rate_completions(mixed, prompts, shown, seed=0)] == ["ann-0"] * 2
