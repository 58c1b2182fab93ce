"""Names of people who label: one person, one way to write it."""

import unicodedata
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator


def why_no_name(text: str) -> str:
    """What makes the text unfit to name a labeler; empty where it fits.

    `ann `, `ann` with a zero-width space and an é of two characters look like names that are there already, and would be other
    people: what `ann` takes back would stay.
    """
    if not text.strip():
        return "it is blank"
    if text != text.strip():
        return "white space stands around it"
    hidden = [sign for sign in text if not sign.isprintable()]
    if hidden:
        name = unicodedata.name(hidden[0], "")
        return f"a sign that nobody sees stands in it: U+{ord(hidden[0]):04X}{' ' if name else ''}{name}"
    if text != unicodedata.normalize("NFC", text):
        return "its accents are characters of their own; write it in Unicode's form NFC"
    return ""


def _checked(text: str) -> str:
    reason = why_no_name(text)
    if reason:
        raise ValueError(f"{text!a} names no labeler: {reason}")
    return text


LabelerName = Annotated[str, AfterValidator(_checked)]


def names_alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that differ by upper and lower case alone, which may be one person's."""
    alike: dict[str, set[str]] = {}
    for name in names:
        alike.setdefault(name.casefold(), set()).add(name)
    return sorted(tuple(sorted(group)) for group in alike.values() if len(group) > 1)
