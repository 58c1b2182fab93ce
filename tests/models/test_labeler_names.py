"""Names that look alike are one person's: none of them comes in twice."""

import pytest
from pydantic import ValidationError

from models.labeler_names import names_alike, why_no_name
from models.records import Ranking, Rating

ALIKE = {
    "ann ": "white space stands around it",
    "\tann": "white space stands around it",
    "\u3000ann": "white space stands around it",
    "ann\u200b": "a sign that nobody sees stands in it: U+200B ZERO WIDTH SPACE",
    "\ufeffann": "a sign that nobody sees stands in it: U+FEFF ZERO WIDTH NO-BREAK SPACE",
    "ann\u00adsmith": "a sign that nobody sees stands in it: U+00AD SOFT HYPHEN",
    "ann\u00a0smith": "a sign that nobody sees stands in it: U+00A0 NO-BREAK SPACE",
    "ann\x00": "a sign that nobody sees stands in it: U+0000",
    "Zoe\u0308": "its accents are characters of their own; write it in Unicode's form NFC",
    "": "it is blank",
    "\u2003": "it is blank",
}


@pytest.mark.parametrize(("name", "reason"), ALIKE.items())
def test_what_looks_like_another_name_is_none(name, reason):
    assert why_no_name(name) == reason
    with pytest.raises(ValidationError, match="names no labeler"):
        Ranking.of("p", name, "helpfulness", [["a"], ["b"]])
    with pytest.raises(ValidationError, match="names no labeler"):
        Rating.of("p", "c", name, "helpfulness", True)


@pytest.mark.parametrize("name", ["ann", "Ann", "Zo\u00eb", "ann@example.org", "Ann Smith", "3", "李", "नीता"])
def test_names_of_people(name):
    assert why_no_name(name) == ""


def test_names_that_differ_by_case_alone():
    assert names_alike(["ann", "bob", "Ann", "ANN", "straße", "STRASSE"]) == [
        ("ANN", "Ann", "ann"),
        ("STRASSE", "straße"),
    ]
    assert names_alike(["ann", "anna", "ann"]) == []
