"""The tiny world: household problems, advice about them, and the rule that says which advice helps.

The world is invented and its text is written by this code, for this project: a million weights can learn it in
minutes, and its rule can be checked by hand. It is no household manual. One thing is simpler than in life: every action
belongs to one pair of opposites (hot and cold, dark and bright, ...), of which it helps one and makes the other worse.
For all other problems it is beside the point.

Everything is drawn from a seeded generator: the same arguments give the same text.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

from labeling.worlds.household_phrases import (
    OPENERS,
    OWNERS,
    PLACE_TAIL,
    PLACES,
    PROBLEMS,
    QUESTIONS,
    SECOND_ACTIONS,
    STATEMENTS,
    TAILS,
    Problem,
)
from models.errors import DataError


@dataclass(frozen=True)
class Verdict:
    """What the rule sees: how many different actions of each sort, and whether the prompt's place is named."""

    num_helpful: int
    num_beside: int
    num_against: int
    names_place: bool


SHARES = {"helpful": 0.44, "beside": 0.40, "against": 0.16}
"""Of demonstrations. Advice beside the point is for any of four other problems, .10 each; advice that makes it worse is for the one
opposite. A reward model errs on what the base seldom says: with .28 for both, hence .07 each, it took some of it for helpful."""

# --- what is drawn ---------------------------------------------------------------------------------------------------


def texts(num_rows: int, seed: int) -> list[str]:
    """Raw prose for pretraining: one to four sentences that tie problems to what helps and what does not."""
    rng = random.Random(f"household texts {seed}")
    return [_statement(rng) for _ in range(num_rows)]


def prompts(num_rows: int, seed: int) -> list[str]:
    """`num_rows` different statements of problems, shuffled. Raises DataError when more are asked for than exist."""
    everything = list(_all_prompts())
    if num_rows > len(everything):
        raise DataError(f"{num_rows} household prompts asked for, but only {len(everything)} different ones exist")
    return random.Random(f"household prompts {seed}").sample(everything, num_rows)


def demonstrations(num_rows: int, seed: int) -> list[tuple[str, str]]:
    """(prompt, completion) to imitate; 44 % help, 40 % are beside the point, 16 % make the problem worse.

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
    """One or two sentences, 5 to 16 words, with one or two of the actions; some name the place."""
    first, second = rng.sample(list(actions), 2)
    opening = f"{rng.choice(OPENERS)} {first}"
    if rng.random() < 0.3:
        opening = f"for your {place}, {opening}"
        endings = TAILS
    else:
        endings = (*TAILS, PLACE_TAIL)
    if rng.random() < 0.4:
        return _capital(opening + rng.choice(SECOND_ACTIONS).format(action=second))
    if rng.random() < 0.5:
        return _capital(f"{opening}.")
    return _capital(f"{opening}. {rng.choice(endings).format(place=place)}")


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
        tail=rng.choice((*TAILS, PLACE_TAIL)).format(place=place),
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


def brevity(prompt: str, completion: str) -> float | None:
    """Minus one half for each word; None, unusable, without any. Another criterion than `helpfulness`, and often at odds with it."""
    return -0.5 * len(completion.split()) if completion.strip() else None


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
