"""The rule of the restaurant world, on texts whose facts a reader can count; and beside what people said of the challenge's texts."""

import json
import os
from itertools import combinations
from pathlib import Path

import pytest

from labeling.worlds import restaurants_judge
from labeling.worlds.restaurants import attributes_of, check_facts
from models.evaluation.judges.judge import Material
from models.settings.compute import Compute
from models.settings.judges import RestaurantFacts

FULL = (
    "name[The Mill], eatType[pub], food[French], priceRange[less than £20], customer rating[3 out of 5], area[riverside], "
    "familyFriendly[no], near[Raja Indian Cuisine]"
)
DATA = Path(os.environ.get("REIN_DATA", "/nowhere"))


def test_a_prompt_is_its_attributes():
    assert attributes_of("name[Blue Spice], eatType[coffee shop], customer rating[5 out of 5]") == {
        **{"name": "Blue Spice", "eatType": "coffee shop", "customer rating": "5 out of 5"}
    }
    for other in ("My house is too hot.", "eatType[pub]", "name[Cocum], colour[red]", "name[Cocum] and eatType[pub]"):
        assert attributes_of(other) == {} and not restaurants_judge.knows(other)


@pytest.mark.parametrize(
    ("text", "facts"),  # missing, wrong, made up, vague
    [
        (
            "The Mill is a French pub by the river near Raja Indian Cuisine. It costs less than £20, is rated 3 out of 5 and is not "
            "family-friendly.",
            (0, 0, 0, 0),
        ),
        (
            "the mill , near raja indian cuisine , is an adults only pub at the riverside . french food , under 20 pounds , "
            "three stars .",
            (0, 0, 0, 0),
        ),
        (
            "The Mill is a cheap pub near Raja. Children are not welcome. Riverside, French, average rating.",
            (0, 0, 0, 1),
        ),
        ("The Mill is a pub near Raja Indian Cuisine.", (5, 0, 0, 0)),  # not Indian: that is the neighbour's name
        ("The Mill is a French pub.", (5, 0, 0, 0)),
        (
            "The Punter is an expensive Indian pub in the city centre near Raja Indian Cuisine, rated 5 out of 5, with kids welcome.",
            (1, 5, 1, 1),  # the name is missing and The Punter made up
        ),
        ("", (8, 0, 0, 0)),
    ],
)
def test_facts_are_counted(text, facts):
    assert tuple(check_facts(FULL, text)) == facts


@pytest.mark.parametrize(
    ("prompt", "text", "mistakes"),
    [
        ("name[Cocum], eatType[coffee shop]", "Cocum is a coffee shop.", 0),
        ("name[Cocum], eatType[coffee shop]", "Cocum is a restaurant.", 1),  # not wrong, but the coffee is missing
        ("name[Cocum], eatType[coffee shop]", "Cocum is a pub.", 1),
        ("name[Cocum], eatType[coffee shop]", "Cocum is a cheap coffee shop near Burger King.", 2),
        ("name[Cocum], eatType[pub], familyFriendly[yes]", "Cocum, a pub that caters to families.", 0),
        ("name[Cocum], eatType[pub], familyFriendly[yes]", "Cocum is a pub that isn't child friendly.", 1),
        ("name[Cocum], eatType[pub], familyFriendly[no]", "Cocum is a non-family-friendly pub.", 0),
        ("name[Cocum], eatType[pub], familyFriendly[no]", "Cocum is a pub where children are prohibited.", 0),
        ("name[Cocum], eatType[pub], familyFriendly[no]", "Cocum is a family - friendly pub.", 1),
        (
            "name[Cocum], eatType[pub], familyFriendly[no]",
            "Cocum is a family friendly pub that is not family friendly.",
            1,
        ),
        ("name[Cocum], eatType[pub], customer rating[low]", "Cocum is a poorly rated pub.", 0),
        ("name[Cocum], eatType[pub], customer rating[low]", "Cocum is a pub. Customers rate it as low.", 0),
        (
            "name[Cocum], eatType[pub], customer rating[5 out of 5]",
            "Cocum, a pub with an average rating of 5 out of 5.",
            0,
        ),
        (
            "name[Cocum], eatType[pub], customer rating[high]",
            "Cocum is a pub with high prices.",
            2,
        ),  # made up, missing
        ("name[Cocum], eatType[pub], priceRange[high]", "Cocum is a highly rated, expensive pub.", 1),
        ("name[Cocum], eatType[pub], priceRange[£20-25]", "Cocum is a pub; between £20 and £25.", 0),
        ("name[Cocum], eatType[pub], priceRange[moderate]", "Cocum, a mid-priced pub.", 0),
        ("name[Cocum], eatType[pub], near[Café Rouge]", "COCUM is a pub next to Cafe Rouge.", 0),
        ("name[Cocum], eatType[pub], near[Crowne Plaza Hotel]", "Cocum is a pub near the Crown Plaza.", 0),
        ("name[Cocum], eatType[pub], food[Fast food]", "Cocum is a pub with burgers.", 0),
    ],
)
def test_people_say_it_in_many_ways(prompt, text, mistakes):
    assert check_facts(prompt, text).mistakes == mistakes


def test_the_judge_prefers_fewer_mistakes_and_then_amounts():
    judge = restaurants_judge.open_judge(RestaurantFacts(), Material(), Compute())
    prompt = "name[Cocum], eatType[pub], priceRange[less than £20]"
    texts = [
        "Cocum is a pub for less than £20.",
        "Cocum is a cheap pub.",
        "Cocum is a pub.",
        "The Mill is a pub for less than £20.",
    ]
    assert judge.grade([prompt] * 4, texts) == [0, -0.5, -1, -2]
    assert judge.figures([prompt] * 4, texts) == {"facts_missing": 0.5, "facts_wrong": 0.25, "perfect": 0.5}


@pytest.mark.skipif(not DATA.is_dir(), reason="REIN_DATA is not set: no folder with real rankings")
def test_people_agree_with_it():
    """Of 14,973 strict preferences of the E2E challenge's workers; two workers agree on .671 of such pairs."""
    rows = map(json.loads, (DATA / "rankings/e2e_quality.jsonl").read_text(encoding="utf-8").splitlines())
    right = decided = num_pairs = 0
    for row in rows:
        grades = restaurants_judge.open_judge(RestaurantFacts(), Material(), Compute()).grade(
            [row["prompt"]] * 5, row["completions"]
        )
        for said in row["annotations"]:
            for a, b in combinations(range(5), 2):
                if said["ranks"][a] == said["ranks"][b] or row["completions"][a] == row["completions"][b]:
                    continue
                num_pairs += 1
                decided += grades[a] != grades[b]
                right += (grades[a] > grades[b]) == (said["ranks"][a] < said["ranks"][b]) and grades[a] != grades[b]
    assert num_pairs == 14_973 and decided > 9_000 and right / decided > 0.79
