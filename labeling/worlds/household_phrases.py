"""The phrases of the tiny world: household problems, advice about them, and how sentences are built. No rule: that is household.py."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Problem:
    """A household problem: how people put it (clauses with a place to fill in), what helps and what makes it worse."""

    name: str
    clauses: tuple[str, ...]
    helpful: tuple[str, ...]
    against: tuple[str, ...] = ()
    opposite: str | None = None


def _opposites(one: Problem, other: Problem) -> tuple[Problem, Problem]:
    """Both problems, each with the other's helpful actions as those that make it worse."""
    return (
        replace(one, against=other.helpful, opposite=other.name),
        replace(other, against=one.helpful, opposite=one.name),
    )


# Actions have 3 to 5 words, and no action contains another or names a place.

HOT = Problem(
    "hot",
    ("{place} is too hot", "{place} gets very hot in the afternoon", "it is much too hot in {place}"),
    (
        "open the windows at night",
        "switch on the fan",
        "turn down the heater",
        "drink cold water",
        "wear a thin shirt",
        "take a cool shower",
    ),
)
COLD = Problem(
    "cold",
    ("{place} is too cold", "{place} gets very cold in the evening", "it is much too cold in {place}"),
    (
        "close the drafty windows",
        "turn up the heater",
        "fill a hot water bottle",
        "drink hot tea",
        "wear a thick sweater",
        "bring a warm blanket",
    ),
)
DARK = Problem(
    "dark",
    ("{place} is too dark", "{place} gets very dark in the evening", "it is much too dark in {place}"),
    (
        "add a bright lamp",
        "paint the walls white",
        "replace the dead bulb",
        "hang up a big mirror",
        "light some candles",
    ),
)
BRIGHT = Problem(
    "bright",
    ("{place} is too bright", "{place} gets very bright in the morning", "the light in {place} hurts my eyes"),
    ("dim the bright lamp", "paint the walls grey", "use a weaker bulb", "cover the big mirror", "wear dark glasses"),
)
DAMP = Problem(
    "damp",
    ("{place} is too damp", "the walls in {place} are damp", "it is much too damp in {place}"),
    (
        "run the air dryer",
        "dry the washing outside",
        "put out bowls of salt",
        "wipe the wet walls",
        "put lids on hot pots",
    ),
)
DRY = Problem(
    "dry",
    ("the air in {place} is too dry", "{place} has very dry air", "the dry air in {place} hurts my throat"),
    (
        "run the mist machine",
        "dry the washing inside",
        "put out bowls of water",
        "hang up wet towels",
        "boil some water",
    ),
)
THIRSTY = Problem(
    "thirsty",
    (
        "the plants in {place} are dying of thirst",
        "the plants in {place} are too dry",
        "the plants in {place} need more water",
    ),
    (
        "water the plants each morning",
        "fill the watering can",
        "soak the dry soil",
        "cover the soil with bark",
        "move the pots into shade",
    ),
)
DROWNED = Problem(
    "drowned",
    (
        "the plants in {place} are drowning",
        "the plants in {place} are too wet",
        "the plants in {place} get too much water",
    ),
    (
        "water the plants less",
        "put away the watering can",
        "let the soil dry out",
        "mix sand into the soil",
        "make holes in the pots",
    ),
)
NOISY = Problem(
    "noisy",
    ("{place} is too noisy", "{place} gets very noisy in the evening", "it is much too loud in {place}"),
    (
        "turn the radio down",
        "wear soft earplugs",
        "quiet the barking dog",
        "talk to the neighbours",
        "hang felt on the walls",
        "oil the noisy hinges",
    ),
    ("turn the radio up", "let the dog bark", "practise the drums", "slam all the doors", "run the drill all day"),
)
SMELLY = Problem(
    "smelly",
    ("{place} smells bad", "there is a bad smell in {place}", "{place} smells very bad in the morning"),
    (
        "wash the smelly bin",
        "throw away the old fish",
        "clean the dirty drain",
        "set out some lavender",
        "wash the dirty socks",
    ),
    ("keep the old fish", "burn the onions", "smoke a fat cigar", "let the milk turn sour", "pile up dirty socks"),
)
PROBLEMS: tuple[Problem, ...] = (
    *_opposites(HOT, COLD),
    *_opposites(DARK, BRIGHT),
    *_opposites(DAMP, DRY),
    *_opposites(THIRSTY, DROWNED),
    NOISY,
    SMELLY,
)
PLACES = (
    *("house", "kitchen", "bedroom", "bathroom", "office", "cellar"),
    *("attic", "hall", "workshop", "garage", "flat", "cabin"),
)
OWNERS = ("my", "our", "the")
QUESTIONS = (
    "{clause}.",
    "{clause}, what can I do?",
    "{clause}. What should I do?",
    "please help, {clause}.",
    "what helps when {clause}?",
)
OPENERS = ("you could", "you should", "I would", "try to", "it helps to", "it pays to", "perhaps you could")
SECOND_ACTIONS = (" and {action}.", ", and then {action}.", ". You can also {action}.", ". Then {action}.")
TAILS = (
    "That should help soon.",
    "It will soon be better.",
    "It costs very little.",
    "It takes only minutes.",
    "Start with this today.",
)
PLACE_TAILS = ("Your {place} will thank you.", "Your {place} will soon be better.")
STATEMENTS = (
    "when {clause}, {opener} {good}. If you {bad}, it only gets worse.",
    "when {clause}, {opener} {good}. {tail}",
    "when {clause}, {opener} {good}{second}",
    "many people {good} when {clause}. {tail}",
    "{opener} {good} when {clause}, but it gets worse if you {bad}.",
    "{opener} {good} when {clause}{second}",
    "people ask: {prompt} For your {place}, {opener} {good}.",
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
