"""The tiny world: household problems, advice about them, and the rule that says which advice helps.

The world is invented and its text is written by this code, for this project: a million weights can learn it in
minutes, and its rule can be checked by hand. It is no household manual. One thing is simpler than in life: every action
belongs to one problem, which it helps or makes worse, or to one pair of opposites (hot and cold, dark and bright, ...),
of which it helps one and makes the other worse. For all other problems it is beside the point.

Everything is drawn from a seeded generator: the same arguments give the same text.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

from models.errors import DataError


@dataclass(frozen=True)
class Problem:
    """A household problem: how people put it (clauses with a place to fill in), what helps and what makes it worse."""

    name: str
    clauses: tuple[str, ...]
    helpful: tuple[str, ...]
    against: tuple[str, ...] = ()
    opposite: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What the rule sees: how many different actions of each sort, and whether the prompt's place is named."""

    num_helpful: int
    num_beside: int
    num_against: int
    names_place: bool


def _opposites(one: Problem, other: Problem) -> tuple[Problem, Problem]:
    """Both problems, each with the other's helpful actions as those that make it worse."""
    return (
        replace(one, against=other.helpful, opposite=other.name),
        replace(other, against=one.helpful, opposite=one.name),
    )


# --- the phrases: actions have 3 to 5 words, and no action contains another or names a place -------------------------

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
SHARES = {"helpful": 0.44, "beside": 0.28, "against": 0.28}

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


# --- what is drawn ---------------------------------------------------------------------------------------------------


def texts(num_rows: int, seed: int) -> list[str]:
    """Raw prose for pretraining: one to three sentences that tie problems to what helps and what does not."""
    rng = random.Random(f"household texts {seed}")
    return [_statement(rng) for _ in range(num_rows)]


def prompts(num_rows: int, seed: int) -> list[str]:
    """`num_rows` different statements of problems, shuffled. Raises DataError when more are asked for than exist."""
    everything = list(_all_prompts())
    if num_rows > len(everything):
        raise DataError(f"{num_rows} household prompts asked for, but only {len(everything)} different ones exist")
    return random.Random(f"household prompts {seed}").sample(everything, num_rows)


def demonstrations(num_rows: int, seed: int) -> list[tuple[str, str]]:
    """(prompt, completion) to imitate; 44 % help, 28 % are beside the point, 28 % make the problem worse.

    A model tuned on them is only partly helpful, on purpose: it leaves something for the rankings to teach.
    """
    rng = random.Random(f"household demonstrations {seed}")
    everything = list(_all_prompts().items())
    rows = []
    for _ in range(num_rows):
        prompt, (problem, place) = rng.choice(everything)
        sort = rng.choices(list(SHARES), weights=list(SHARES.values()))[0]
        rows.append((prompt, _completion(rng, _actions(rng, problem, sort), place)))
    return rows


def _actions(rng: random.Random, problem: Problem, sort: str) -> tuple[str, ...]:
    """The actions that a completion of this sort may name."""
    if sort == "helpful":
        return problem.helpful
    if sort == "against":
        return problem.against
    return rng.choice([other for other in PROBLEMS if other.name not in (problem.name, problem.opposite)]).helpful


def _completion(rng: random.Random, actions: Sequence[str], place: str) -> str:
    """One or two sentences, 8 to 20 words, with one or two of the actions; some name the place."""
    first, second = rng.sample(list(actions), 2)
    opening = f"{rng.choice(OPENERS)} {first}"
    prefixed = rng.random() < 0.3
    if prefixed:
        opening = f"for your {place}, {opening}"
    if rng.random() < 0.4:
        return _capital(opening + rng.choice(SECOND_ACTIONS).format(action=second))
    tail = rng.choice(TAILS if prefixed else TAILS + PLACE_TAILS)
    return _capital(f"{opening}. {tail.format(place=place)}")


def _statement(rng: random.Random) -> str:
    problem, place = rng.choice(PROBLEMS), rng.choice(PLACES)
    clause = rng.choice(problem.clauses)
    good, better = rng.sample(problem.helpful, 2)
    text = rng.choice(STATEMENTS).format(
        clause=clause.format(place=f"the {place}"),
        prompt=_ask(rng.choice(QUESTIONS), clause, rng.choice(OWNERS), place),
        place=place,
        opener=rng.choice(OPENERS),
        good=good,
        second=rng.choice(SECOND_ACTIONS).format(action=better),
        bad=rng.choice(problem.against),
        tail=rng.choice(TAILS + PLACE_TAILS).format(place=place),
    )
    return _capital(text)


def _ask(question: str, clause: str, owner: str, place: str) -> str:
    return _capital(question.format(clause=clause.format(place=f"{owner} {place}")))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


@cache
def _all_prompts() -> dict[str, tuple[Problem, str]]:
    """Every possible prompt -> its problem and its place."""
    return {
        _ask(question, clause, owner, place): (problem, place)
        for problem in PROBLEMS
        for clause, owner, place, question in product(problem.clauses, OWNERS, PLACES, QUESTIONS)
    }


# --- the rule --------------------------------------------------------------------------------------------------------


def helpfulness(prompt: str, completion: str) -> float | None:
    """How helpful the completion is: at most 3.5, a multiple of one half; None when it is unusable.

    Any action that makes the problem worse: -3, whatever else is said. Otherwise 2 for a helpful action, 3 for two or
    more, minus 1 if anything is beside the point, plus .5 if it helps and names the prompt's place. Either way minus .5
    for each action beyond two, but without an action that makes it worse never below -2.5. Hence always against <
    beside < helpful. Unusable: no known action (half an action is none, and so is one after "not", "never" or "if
    you"), or a sentence that stands there twice. Raises DataError for a prompt that is not of this world.
    """
    verdict = judge(prompt, completion)
    if verdict is None:
        return None
    crowd = 0.5 * max(0, verdict.num_helpful + verdict.num_beside + verdict.num_against - 2)
    if verdict.num_against:
        return -3.0 - crowd
    value = (0.0, 2.0, 3.0)[min(verdict.num_helpful, 2)]
    if verdict.num_beside:
        value -= 1.0
    if verdict.num_helpful and verdict.names_place:
        value += 0.5
    return max(value - crowd, -2.5)


def is_helpful(prompt: str, completion: str) -> bool:
    """Whether it is usable and all its actions help: none against the user, none beside the point. Raises as above."""
    verdict = judge(prompt, completion)
    return verdict is not None and verdict.num_beside == verdict.num_against == 0


def judge(prompt: str, completion: str) -> Verdict | None:
    """What the completion says about the prompt's problem; None when it is unusable. Raises as above."""
    key = " ".join(_sentences(prompt))
    if key not in _prompts_by_key():
        raise DataError(f"the household rule does not know the prompt {prompt!r}")
    problem, place = _prompts_by_key()[key]
    sentences = _sentences(completion)
    actions = {action for sentence in sentences for action in _action_pattern().findall(sentence)}
    if not actions or len(set(sentences)) < len(sentences):
        return None
    num_helpful = len(actions.intersection(problem.helpful))
    num_against = len(actions.intersection(problem.against))
    num_beside = len(actions) - num_helpful - num_against
    names_place = any(place in sentence.split() for sentence in sentences)
    return Verdict(num_helpful, num_beside, num_against, names_place)


def _sentences(text: str) -> list[str]:
    """The sentences in lower case, words separated by one blank, without punctuation."""
    parts = re.split(r"[.!?;]", text.lower().replace("'", "").replace("\u2019", ""))
    words = (" ".join(re.findall(r"[a-z0-9]+", part)) for part in parts)
    return [sentence for sentence in words if sentence]


@cache
def _prompts_by_key() -> dict[str, tuple[Problem, str]]:
    return {" ".join(_sentences(prompt)): about for prompt, about in _all_prompts().items()}


@cache
def _action_pattern() -> re.Pattern[str]:
    """Matches whole actions, unless a word before them says that they are no advice."""
    actions = {action for problem in PROBLEMS for action in problem.helpful + problem.against}
    no_advice = r"(?<!\bnot )(?<!\bnever )(?<!\bdont )(?<!\bif you )"
    return re.compile(rf"{no_advice}\b(?:{'|'.join(sorted(actions, key=len, reverse=True))})\b")
