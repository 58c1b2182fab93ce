"""The tiny world: what it writes, and that its rule says what the instructions say."""

import math
import random
import re
from itertools import product

import pytest

from labeling.worlds import household
from labeling.worlds.household_phrases import HOT, INSTRUCTIONS, PLACES, PROBLEMS, Problem
from models.errors import DataError

HOT_HOUSE = "My house is too hot."
NUM_PROMPTS = 6 * 3 * 3 * 8 * 4
"""Problems x clauses x owners x places x questions."""


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


# --- the rule --------------------------------------------------------------------------------------------------------

GRADED = [
    # one helpful action
    ("You could open the windows at night. That should help soon.", 2.0),
    # ... that names the place
    ("You could open the windows at night. Your house will thank you.", 2.5),
    # ... that names another place
    ("For your kitchen, you could open the windows at night.", 2.0),
    # two: 2 + 1; with the place: + .5
    ("You could open the windows at night and switch on the fan.", 3.0),
    ("For your house, try to switch on the fan. Then drink cold water.", 3.5),
    # the same action in other words around it is one action
    ("You could switch on the fan. Then switch on the fan.", 2.0),
    # three: 3 - .5; four: 3 - 1
    ("Try to switch on the fan, drink cold water and turn down the heater.", 2.5),
    ("Switch on the fan, drink cold water, open the windows at night, turn down the heater.", 2.0),
    # beside the point: -1, the place does not help, two actions: still -1, three: -1.5
    ("I would wipe the wet walls. That should help soon.", -1.0),
    ("For your house, I would wipe the wet walls.", -1.0),
    ("I would wipe the wet walls and add a bright lamp.", -1.0),
    ("I would wipe the wet walls and add a bright lamp, and then boil some water.", -1.5),
    # many things beside the point stay above anything against: -1 - 4 * .5 = -3, held at -2.5
    (
        "Wipe the wet walls, add a bright lamp, boil some water, light some candles, run the air dryer, use a weaker bulb.",
        -2.5,
    ),
    # helpful and beside: 2 - 1, with the place 2 - 1 + .5
    ("Try to switch on the fan and wipe the wet walls.", 1.0),
    ("For your house, try to switch on the fan and wipe the wet walls.", 1.5),
    # against: -3, place or not, helpful or not; three actions: -3.5
    ("It helps to turn up the heater. Your house will thank you.", -3.0),
    ("Try to switch on the fan and turn up the heater.", -3.0),
    ("Try to switch on the fan, drink cold water and turn up the heater.", -3.5),
]


@pytest.mark.parametrize(("completion", "expected"), GRADED)
def test_grades(completion: str, expected: float) -> None:
    assert household.helpfulness(HOT_HOUSE, completion) == expected


@pytest.mark.parametrize(
    "completion",
    [
        "",
        "  \n",
        "Your house will soon be better.",
        # half an action, a blend of two halves, and an action over the end of a sentence
        "You could open the windows.",
        "You could open the heater at night and turn down the windows.",
        "You could open the windows. At night it helps.",
        "You could reopen the windows at night.",
        "You could open the windows at nightfall.",
        # a warning is no advice
        "Do not turn up the heater.",
        "Don't turn up the heater.",
        "Never turn up the heater.",
        "If you turn up the heater, it only gets worse.",
        # the same sentence again, side by side or not, written differently or not
        "You could switch on the fan. You could switch on the fan.",
        "Try to switch on the fan. Drink cold water. try to  switch on the fan!",
    ],
)
def test_unusable(completion: str) -> None:
    assert household.helpfulness(HOT_HOUSE, completion) is None
    assert not household.is_helpful(HOT_HOUSE, completion)


def test_actions_are_read_whole() -> None:
    """One word apart, and the opposite in meaning."""
    damp, dark = "The kitchen is too damp.", "My office is too dark."
    assert household.helpfulness(damp, "Dry the washing outside.") == 2.0
    assert household.helpfulness(damp, "Dry the washing inside.") == -3.0
    assert household.helpfulness(dark, "Paint the walls white.") == 2.0
    assert household.helpfulness(dark, "Paint the walls grey.") == -3.0
    # windows: opening them is for a hot house, closing them for a cold one
    assert household.helpfulness("My house is too cold.", "Open the windows at night.") == -3.0
    assert household.helpfulness("My house is too cold.", "Close the drafty windows.") == 2.0


def test_spelling_does_not_matter() -> None:
    assert household.helpfulness("  my HOUSE is\ttoo hot ", "TRY to  open the\nwindows, at night") == 2.0


@pytest.mark.parametrize("prompt", ["", "My castle is too hot.", "My house is too", "What is the capital of France?"])
def test_a_foreign_prompt_is_an_error(prompt: str) -> None:
    with pytest.raises(DataError, match="does not know the prompt"):
        household.helpfulness(prompt, "You could switch on the fan.")
    with pytest.raises(DataError, match="does not know the prompt"):
        household.is_helpful(prompt, "You could switch on the fan.")


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("You could switch on the fan.", True),
        ("Try to switch on the fan, drink cold water and turn down the heater.", True),
        ("Try to switch on the fan and wipe the wet walls.", False),
        ("Try to switch on the fan and turn up the heater.", False),
        ("I would wipe the wet walls.", False),
        ("I would turn up the heater.", False),
    ],
)
def test_is_helpful(completion: str, expected: bool) -> None:
    assert household.is_helpful(HOT_HOUSE, completion) is expected


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_against_below_beside_below_helpful(problem: Problem) -> None:
    """The best of each sort stands below the worst of the next, for up to five actions with and without the place."""
    prompt = f"{problem.clauses[0].format(place='my office')}."
    unrelated = [other for other in PROBLEMS if other.name not in (problem.name, problem.opposite)]
    pools = {
        "against": problem.against,
        "beside": [action for other in unrelated for action in other.helpful],
        "helpful": problem.helpful,
    }
    rng = random.Random(0)
    values: dict[str, list[float]] = {}
    for sort, pool in pools.items():
        for count, ending in product(range(1, 6), ("", ". Your office will thank you")):
            actions = rng.sample(list(pool), min(count, len(pool)))
            value = household.helpfulness(prompt, f"You could {' and '.join(actions)}{ending}.")
            assert value is not None
            values.setdefault(sort, []).append(value)
    assert max(values["against"]) == -3.0
    assert max(values["against"]) < min(values["beside"])
    assert max(values["beside"]) == -1.0
    assert max(values["beside"]) < min(values["helpful"])
    assert max(values["helpful"]) == 3.5


# --- the phrases -----------------------------------------------------------------------------------------------------


def test_every_action_belongs_to_one_problem() -> None:
    helpful = [action for problem in PROBLEMS for action in problem.helpful]
    assert len(set(helpful)) == len(helpful)
    by_name = {problem.name: problem for problem in PROBLEMS}
    for problem in PROBLEMS:
        assert len(set(problem.helpful)) >= 4
        opposite = by_name[problem.opposite]
        assert opposite.opposite == problem.name
        assert problem.against == opposite.helpful


def test_actions_do_not_contain_one_another_or_a_place() -> None:
    actions = {action for problem in PROBLEMS for action in problem.helpful + problem.against}
    for action in actions:
        assert 3 <= len(action.split()) <= 5
        assert not set(action.split()) & set(PLACES)
        assert [other for other in actions if re.search(rf"\b{other}\b", action)] == [action]


# --- what is drawn ---------------------------------------------------------------------------------------------------


def test_prompts_are_different_and_limited() -> None:
    everything = household.prompts(NUM_PROMPTS, seed=0)
    assert len(set(everything)) == NUM_PROMPTS == 1728
    assert HOT_HOUSE in everything
    assert "The bedroom gets very hot, what can I do?" in everything
    # still different for the rule, which reads neither case nor punctuation
    assert len({" ".join(words(prompt)) for prompt in everything}) == NUM_PROMPTS
    with pytest.raises(DataError, match="1729 household prompts asked for, but only 1728"):
        household.prompts(NUM_PROMPTS + 1, seed=0)


def test_prompts_are_shuffled() -> None:
    """A small draw already meets every problem and every place (each is missed with p < 1e-6)."""
    drawn = household.prompts(400, seed=3)
    assert len(set(drawn)) == len(drawn) == 400
    assert {place for place in PLACES if any(place in words(prompt) for prompt in drawn)} == set(PLACES)
    clauses = {
        problem.name: [re.escape(c).replace(r"\{place\}", r"\w+ \w+") for c in problem.clauses] for problem in PROBLEMS
    }
    met = {name for name, patterns in clauses.items() if re.search("|".join(patterns), "\n".join(drawn), re.IGNORECASE)}
    assert met == {problem.name for problem in PROBLEMS}


@pytest.mark.parametrize("draw", [household.texts, household.prompts, household.demonstrations])
def test_same_seed_same_text(draw) -> None:
    assert draw(50, seed=1) == draw(50, seed=1)
    assert draw(50, seed=1) != draw(50, seed=2)
    assert len(draw(50, seed=1)) == 50
    assert draw(0, seed=1) == []


def test_demonstrations_are_partly_helpful() -> None:
    num_rows = 4000
    values = [household.helpfulness(*row) for row in household.demonstrations(num_rows, seed=5)]
    counts = {
        "helpful": sum(value >= 2 for value in values),
        "beside": sum(value == -1 for value in values),
        "against": sum(value == -3 for value in values),
    }
    assert sum(counts.values()) == num_rows
    for sort, share in {"helpful": 0.44, "beside": 0.40, "against": 0.16}.items():
        # three standard deviations of the binomial count
        assert abs(counts[sort] - share * num_rows) < 3 * math.sqrt(num_rows * share * (1 - share)), sort


def test_is_helpful_agrees_with_the_mix() -> None:
    rows = household.demonstrations(4000, seed=6)
    num_helpful = sum(household.is_helpful(*row) for row in rows)
    assert abs(num_helpful - 1760) < 3 * math.sqrt(4000 * 0.44 * 0.56)


def test_demonstrated_completions_are_well_formed() -> None:
    names_place = 0
    for prompt, completion in household.demonstrations(3000, seed=7):
        verdict = household.judge(prompt, completion)
        assert verdict is not None
        # of one sort only, one or two actions
        counts = [verdict.num_helpful, verdict.num_beside, verdict.num_against]
        assert sorted(counts) in ([0, 0, 1], [0, 0, 2])
        assert 5 <= len(completion.split()) <= 16
        assert completion[0].isupper() and completion.endswith(".")
        assert "{" not in completion and "  " not in completion
        names_place += verdict.names_place
    # .3 by the beginning, and of the rest .6 * .5 have a last sentence, 1 of 4 with the place: .3 + .7 * .3 / 4 = .3525
    assert abs(names_place - 0.3525 * 3000) < 3 * math.sqrt(3000 * 0.3525 * 0.6475)


def test_advice_beside_the_point_is_for_all_other_problems_but_the_opposite() -> None:
    rng = random.Random(0)
    for problem in PROBLEMS:
        drawn = {household._actions(rng, problem, "beside") for _ in range(400)}
        expected = {other.helpful for other in PROBLEMS if other.name not in (problem.name, problem.opposite)}
        assert drawn == expected


def test_one_prompt_has_many_helpful_completions() -> None:
    rng = random.Random(0)
    found = {household._completion(rng, HOT.helpful, "house") for _ in range(3000)}
    assert len(found) >= 100
    for action in HOT.helpful:
        assert any(f"{action}." in text for text in found) and any(f"{action} and" in text for text in found)
    assert all(household.is_helpful(HOT_HOUSE, completion) for completion in found)


def test_texts_are_short_and_share_the_words() -> None:
    written = household.texts(6000, seed=9)
    for text in written:
        assert 1 <= len(re.findall(r"[.?]", text)) <= 4, text
        assert text[0].isupper() and text[-1] == "." and "{" not in text
    read = {word for text in written for word in re.findall("[A-Za-z]+", text)}
    spoken = household.prompts(NUM_PROMPTS, seed=0)
    spoken += [completion for _, completion in household.demonstrations(6000, seed=9)]
    assert {word for text in spoken for word in re.findall("[A-Za-z]+", text)} <= read
    assert len({word.lower() for word in read}) < 200


def test_texts_tell_what_helps_and_what_makes_it_worse() -> None:
    """Each action is met together with its own problem, and only warned of where it makes it worse."""
    written = household.texts(6000, seed=9)
    for problem in PROBLEMS:
        clauses = [re.escape(clause).replace(r"\{place\}", r"\w+ \w+") for clause in problem.clauses]
        own = [text for text in written if re.search("|".join(clauses), text, re.IGNORECASE)]
        together = "\n".join(own).lower()
        for action in problem.helpful:
            assert re.search(rf"(?<!if you ){action}\b", together)
            assert f"if you {action}" not in together
        for action in problem.against:
            assert f"if you {action}" in together
            assert not re.search(rf"(?<!if you ){action}\b", together)


def test_instructions_say_what_to_do() -> None:
    for word in ("helpfulness", "ties", "F (unusable)", "Rank 1"):
        assert word in INSTRUCTIONS
