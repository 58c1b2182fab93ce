"""What each labeler does, worked by hand."""

import pytest

from labeling.store.batches import publish
from models.records import Completion, Prompt
from tests.labeling.oversight.overseen import SHOWN, THREE, figures, gold, of, progress, says
from tests.labeling.people import NOW, PROMPTS, People
from tests.tolerances import close


def test_speed_is_the_median_over_first_revisions(store):
    people = People(store, THREE)
    for minutes in (1, 9, 2):
        given = says(people, "ann", SHOWN, minutes)
    people.minutes += 60
    people.says("ann", given)  # an edit an hour later is no slow judgement
    assert (of(people, "ann").median_seconds, of(people, "ann").num_judgements) == (120, 3)


def test_ties_and_unusable_marks_are_shares(store):
    people = People(store, THREE)
    says(people, "ann", [[0, 1], [2]])  # one of three pairs is tied
    says(people, "ann", [[0], [1]], unusable=[2])  # none of one usable pair; 1 of 6 completions seen is unusable
    assert close((of(people, "ann").tie_rate, of(people, "ann").unusable_rate), (1 / 4, 1 / 6))


@pytest.mark.parametrize(
    ("known", "said", "unusable", "expected"),
    [
        ([[0], [1], [2]], [[0], [2], [1]], (), (2 / 3, 3)),
        ([[0], [1], [2]], [[0, 1], [2]], (), (2.5 / 3, 3)),  # a tie where one is better counts half
        ([[0, 1], [2]], [[1], [0], [2]], (), (1, 2)),  # what is tied in the known order says nothing
        ([[0], [1], [2]], [[2], [1]], [0], (0, 3)),  # unusable is below all
    ],
)
def test_gold_accuracy_is_the_share_of_pairs_in_the_known_order(store, known, said, unusable, expected):
    people = People(store, THREE.model_copy(update={"gold_every": 2}), gold=[gold(known)])
    says(people, "ann", SHOWN)
    says(people, "ann", said, unusable=unusable)  # the second of every two is a gold one
    found = of(people, "ann")
    assert close((found.gold_accuracy, found.num_gold_pairs), expected)
    assert found.num_judgements == 1
    assert (found.unusable_rate, found.tie_rate) == (0, 0)
    assert (progress(people).num_prompts, progress(people).num_judgements) == (4, 1)
    assert sum(day.num_judgements for day in figures(people).days) == 1


def test_position_bias_says_whom_the_order_sways_and_which_way(store):
    people = People(store, THREE)
    for _ in PROMPTS:
        given = people.given("ann")
        people.says("ann", given, [[one] for one, _ in given.completions])
        given = people.given("bob")
        people.says("bob", given, [[one] for one, _ in reversed(given.completions)])
        given = people.given("cleo")
        people.says("cleo", given, [[one for one, _ in given.completions]])
    follows, reverses = of(people, "ann").position_bias, of(people, "bob").position_bias
    assert (follows.mean, follows.low, follows.high, follows.num_rankings) == (1, 1, 1, 4)
    assert reverses.mean == -1
    assert of(people, "cleo").position_bias is None  # all tied: no order to compare


def test_rankings_that_repeat_the_order_shown_are_counted_when_they_were_quick(store):
    people = People(store, THREE)
    says(people, "ann", SHOWN, 0.1)
    says(people, "ann", SHOWN, 3)  # repeats it, but took its time
    says(people, "bob", [[0, 1, 2]], 0.1)
    says(people, "bob", [[0], [1], [2]], 2)
    says(people, "cleo", SHOWN, 2)  # the median of 6 s, 6 s, 120 s, 120 s, 180 s is 120 s: quick is below 60 s
    assert (of(people, "ann").as_shown_quickly, of(people, "bob").as_shown_quickly) == (1 / 2, 0)


MANY = [Prompt.of(f"Question {n}?", "train") for n in range(12)]


def many(store, minutes: dict[str, float], num_prompts: int = 12) -> People:
    """Everybody ranks the first prompts of twelve alike, and takes so long for each."""
    people = People(store, THREE)
    completions = [Completion.of(one.id, f"Advice {index}.") for one in MANY for index in range(3)]
    with store.write() as session:
        people.batch_id = publish(session, THREE, "many", "Judge.", MANY, completions, [], NOW)
    for name, taken in minutes.items():
        for _ in range(num_prompts):
            says(people, name, [[0], [1], [2]], taken)
    return people


def test_who_takes_a_third_of_the_others_time_or_a_second_for_each_is_very_fast(store):
    people = many(store, {"ann": 2, "bob": 0.65, "cleo": 2}, num_prompts=5)
    assert [of(people, name).is_very_fast for name in ("ann", "bob", "cleo")] == [False, True, False]
    for _ in range(6):
        says(people, "bob", [[0], [1], [2]], 0.68)
    assert not of(people, "bob").is_very_fast, "the median is 0.68 minutes now, more than a third of two"


def test_everybody_can_be_very_fast(store):
    people = many(store, {"ann": 2.9 / 60, "bob": 3.1 / 60}, num_prompts=5)  # three completions take three seconds
    assert [of(people, name).is_very_fast for name in ("ann", "bob")] == [True, False]


def test_four_judgements_say_nothing_of_speed(store):
    people = many(store, {"ann": 2, "bob": 0.01}, num_prompts=4)
    assert not of(people, "bob").is_very_fast


def test_who_can_be_relied_on_has_ranked_enough_and_as_the_others(store):
    people = many(store, {"ann": 2, "bob": 2}, num_prompts=9)
    assert not of(people, "ann").can_be_relied_on
    for name in ("ann", "bob"):
        says(people, name, [[0], [1], [2]])
    ann = of(people, "ann")
    assert (ann.can_be_relied_on, ann.num_prompts, ann.reliability >= 0.5) == (True, 10, True)
    for _ in range(12):
        says(people, "cleo", [[2], [1], [0]])
    assert not of(people, "cleo").can_be_relied_on
