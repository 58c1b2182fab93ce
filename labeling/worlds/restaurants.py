"""The rule of the restaurant world (E2E NLG Challenge): which facts of a prompt a text states, leaves out, gets wrong or makes up.

A prompt is a list of attributes, `name[Blue Spice], eatType[pub], area[riverside]` (Novikova et al. 2017, "The E2E Dataset"). The rule looks
for words and knows nothing of style; no model ever sees it.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from labeling.worlds import restaurants_phrases as phrases

_ATTRIBUTE = re.compile(r"([A-Za-z][\w ]*)\[([^\[\]]*)\]")
_PLACES = ("name", "near")
_DIGITS = {"one": "1", "two": "2", "three": "3", "four": "4", "five": "5"}
ATTRIBUTES = (*_PLACES, "eatType", "food", "priceRange", "customer rating", "area", "familyFriendly")


class Facts(NamedTuple):
    """How many attributes of a prompt a text leaves out or gets wrong, how many it makes up; and how many amounts of money it gives as
    a level alone (`cheap` for `less than £20`)."""

    missing: int
    wrong: int
    made_up: int
    vague: int

    @property
    def mistakes(self) -> int:
        """What is missing, wrong or made up."""
        return self.missing + self.wrong + self.made_up


def attributes_of(prompt: str) -> dict[str, str]:
    """Attribute -> value of a prompt; empty where it is none of this world."""
    found = dict(_ATTRIBUTE.findall(prompt))
    written = ", ".join(f"{name}[{value}]" for name, value in found.items())
    return found if prompt.strip() == written and set(found) <= set(ATTRIBUTES) and "name" in found else {}


def check_facts(prompt: str, text: str) -> Facts:
    """What a text makes of a prompt's attributes.

    An attribute is wrong when another value is stated, also beside the right one; a place that is neither the name nor near is made up, and
    so is an attribute that the prompt does not have. `restaurant` says nothing against a pub or a coffee shop.
    """
    given, said = attributes_of(prompt), _stated(text)
    own = {given[name] for name in _PLACES if name in given}
    missing = sum(_pattern_of(place).search(_folded(text)) is None for place in own)
    wrong, made_up, vague = 0, len(said.places - own), 0
    for attribute, values in said.values.items():
        if attribute == "eatType" and given.get("eatType") != "restaurant":
            values = values - {"restaurant"}
        if attribute not in given:
            made_up += bool(values) and attribute != "eatType"
        elif not values:
            missing += 1
        else:
            wrong += values != {_level(attribute, given[attribute])}
    amount = phrases.AMOUNTS.get(given.get("priceRange", ""))
    if amount and said.values["priceRange"] and not re.search(amount, _folded(text)):
        vague = 1
    return Facts(missing, wrong, made_up, vague)


class _Stated(NamedTuple):
    places: set[str]
    values: dict[str, set[str]]


@cache
def _stated(text: str) -> _Stated:
    """The places that a text names, and the values that it states of each other attribute, of prices and ratings the level."""
    places, rest = set(), _folded(text)
    for name in sorted({*phrases.NAMES, *phrases.NEIGHBOURS}, key=lambda one: (-len(one), one)):
        rest, count = _pattern_of(name).subn(" @ ", rest)  # so that Raja Indian Cuisine serves no Indian food
        if count:
            places.add(name)
    without_ratings, without_prices = rest, rest
    for pattern in (*phrases.STARS.values(), *phrases.RATINGS.values()):
        without_ratings = re.sub(pattern, " # ", without_ratings)
    for patterns in phrases.PRICES.values():
        for pattern in patterns:
            without_prices = re.sub(pattern, " # ", without_prices)
    values = {
        "eatType": _found(rest, phrases.KINDS),
        "food": _found(rest, phrases.FOODS),
        "priceRange": _found(without_ratings, {level: "|".join(own) for level, own in phrases.PRICES.items()}),
        "customer rating": _found(without_prices, phrases.STARS) or _found(without_prices, phrases.RATINGS),
        "area": _found(rest, phrases.AREAS),
        "familyFriendly": _family_friendly(rest),
    }
    return _Stated(places, values)


def _found(text: str, values: Mapping[str, str]) -> set[str]:
    return {value for value, pattern in values.items() if re.search(pattern, text)}


def _family_friendly(text: str) -> set[str]:
    said = set()
    for pattern in phrases.ADULTS_ALONE:
        text, count = re.subn(pattern, " | ", text)
        said |= {"no"} if count else set()
    for pattern in phrases.WELCOME:
        for match in re.finditer(pattern, text):
            before = phrases.NEW_CLAUSE.split(text[: match.start()])[-1]
            is_denied = phrases.DENIED.search(before) or re.search(r"\bnot\b|n't", match[0])
            said.add("no" if is_denied else "yes")
    return said


def _level(attribute: str, value: str) -> str:
    levels = {"priceRange": phrases.PRICE_OF, "customer rating": phrases.RATING_OF}
    return levels.get(attribute, {}).get(value, value)


@cache
def _folded(text: str) -> str:
    """Small letters without accents, numbers as digits, one space between words and none before a sign or around a hyphen."""
    text = text.replace("’", "'").replace("`", "'").replace("–", "-").replace("—", "-")
    text = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign)).lower()
    text = re.sub(
        r"\b(one|two|three|four|five)(?=[ -]?(?:star|out of|of 5|of five|/))", lambda match: _DIGITS[match[1]], text
    )
    text = re.sub(r"\bof five\b", "of 5", text).replace("$", "£")
    text = re.sub(r"\btwenty[ -]five\b", "25", text).replace("twenty", "20").replace("thirty", "30")
    text = re.sub(r"(?<=[ -][1-5]) ?out of 5 stars?", " out of 5", re.sub(r"\b(?:pounds|euros)\b", "", text))
    text = re.sub(r"\s*-\s*", "-", re.sub(r"£\s+", "£", text))
    return re.sub(r"\s+", " ", re.sub(r"\s+([.,!?;:])", r"\1", text)).strip()


@cache
def _pattern_of(place: str) -> re.Pattern[str]:
    """A place's name in a text; what kind of place it is may be left out."""
    words = _folded(place).split()
    the = "(?:the )?" if words[0] == "the" or place in phrases.SHORTER else ""
    words = words[words[0] == "the" :]
    is_kind = len(words) > 1 and words[-1] in ("hotel", "cuisine", "cafe")
    body = r"[ -]?".join(map(re.escape, words[: len(words) - is_kind])) + (rf"(?:[ -]?{words[-1]})?" if is_kind else "")
    return re.compile(rf"\b{the}{phrases.SHORTER.get(place, body + 's?')}\b")
