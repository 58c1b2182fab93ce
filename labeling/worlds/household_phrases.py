"""The phrases of the tiny world: household problems, advice about them, and how sentences are built. No rule: that is household.py."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Problem:
    """A household problem: how people put it (clauses with a place to fill in), what helps and what makes it worse."""

    name: str
    clauses: tuple[str, ...]
    helpful: tuple[str, ...]
    against: tuple[str, ...] = ()
    opposite: str = ""


def _opposites(one: Problem, other: Problem) -> tuple[Problem, Problem]:
    """Both problems, each with the other's helpful actions as those that make it worse."""
    return (
        replace(one, against=other.helpful, opposite=other.name),
        replace(other, against=one.helpful, opposite=one.name),
    )


# Actions have 3 to 5 words, and no action contains another or names a place.

HOT = Problem(
    "hot",
    ("{place} is too hot", "{place} gets very hot", "it is too hot in {place}"),
    (
        "open the windows at night",
        "switch on the fan",
        "turn down the heater",
        "drink cold water",
    ),
)
COLD = Problem(
    "cold",
    ("{place} is too cold", "{place} gets very cold", "it is too cold in {place}"),
    (
        "close the drafty windows",
        "turn up the heater",
        "wear a thick sweater",
        "bring a warm blanket",
    ),
)
DARK = Problem(
    "dark",
    ("{place} is too dark", "{place} gets very dark", "it is too dark in {place}"),
    (
        "add a bright lamp",
        "paint the walls white",
        "replace the dead bulb",
        "light some candles",
    ),
)
BRIGHT = Problem(
    "bright",
    ("{place} is too bright", "{place} gets very bright", "it is too bright in {place}"),
    (
        "dim the bright lamp",
        "paint the walls grey",
        "use a weaker bulb",
        "wear dark glasses",
    ),
)
DAMP = Problem(
    "damp",
    ("{place} is too damp", "{place} gets very damp", "it is too damp in {place}"),
    (
        "run the air dryer",
        "dry the washing outside",
        "put out some salt",
        "wipe the wet walls",
    ),
)
DRY = Problem(
    "dry",
    ("{place} is too dry", "{place} gets very dry", "it is too dry in {place}"),
    (
        "run the mist machine",
        "dry the washing inside",
        "hang up wet towels",
        "boil some water",
    ),
)
PROBLEMS: tuple[Problem, ...] = (*_opposites(HOT, COLD), *_opposites(DARK, BRIGHT), *_opposites(DAMP, DRY))
PLACES = ("house", "kitchen", "bedroom", "office", "cellar", "attic", "garage", "cabin")
OWNERS = ("my", "our", "the")
QUESTIONS = ("{clause}.", "{clause}, what can I do?", "{clause}. What should I do?", "please help, {clause}.")
OPENERS = ("you could", "you should", "I would", "try to", "it helps to")
SECOND_ACTIONS = (" and {action}.", ". Then {action}.")
TAILS = ("That should help soon.", "It costs very little.", "Start with this today.")
PLACE_TAIL = "Your {place} will thank you."
STATEMENTS = (
    "when {clause}, {opener} {good}{second}",
    "when {clause}, {opener} {good}. If you {bad}, it only gets worse.",
    "{opener} {good} when {clause}. {tail}",
    "people ask: {prompt} For your {place}, {opener} {good}{second}",
    "people ask: {prompt} If you {bad}, it only gets worse.",
)

INSTRUCTIONS = """\
# How to rank

You see a household problem and several completions of it. Rank them by **helpfulness**: how much would this advice help
the person who has the problem?

1. Read the problem, then all the completions, before you rank the first one.
2. Rank 1 is the most helpful. Completions that help equally **share a rank**: ties are welcome.
3. Advice that helps stands above advice that is beside the point, and that above advice that makes the problem worse.
4. Two useful ideas are better than one; more than two are not. Naming the place in question is a small plus.
5. Length, politeness and certainty count for nothing. Promises ("It will soon be better") do not either.
6. Mark a completion **F (unusable)** when it is empty, says the same sentence again, or gives no advice that makes
   sense. A completion that is bad but readable is not F: rank it last.
7. Unsure? Decide as if it were your own house, and go on.
"""
