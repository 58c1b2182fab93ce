"""What benchmarks/personal makes of two reports, and what it hands to either reward. The trial itself does not run here."""

from pathlib import Path

import torch

from benchmarks.personal.picture import draw
from benchmarks.personal.runs import as_shared, described, summary, task_of
from benchmarks.personal.worlds import World, divide
from models.evaluation.rewards.personal_report import OnePerson, PersonalReport
from models.records import Completion, Ranking
from models.rewards.scorer import Scorer
from models.settings.rewards import PersonalReward
from tests.tolerances import close


def report(shared: float, personal: float, *people: tuple[float, float]) -> PersonalReport:
    rows = [
        OnePerson(person=f"p{n}", num_preferences=9, shared=one, personal=two) for n, (one, two) in enumerate(people)
    ]
    return PersonalReport(
        num_preferences=27,
        shared_accuracy=shared,
        personal_accuracy=personal,
        gain=personal - shared,
        gain_low=0.1,
        gain_high=0.3,
        people=tuple(rows),
    )


def test_people_are_better_foretold_than_by_the_reward_that_was_trained_for_all():
    alone = report(0.6, 0.6, (0.6, 0.6), (0.7, 0.7), (0.5, 0.5))
    own = report(0.5, 0.7, (0.2, 0.9), (0.2, 0.7), (0.2, 0.4))
    row = described(alone, own)
    assert (row["shared"], row["shared_beside_personal"], row["personal"]) == (0.6, 0.5, 0.7)
    assert (row["people"], row["preferences"]) == (3, 27)
    assert (row["people_better_foretold"], row["people_worse_foretold"]) == (1, 1), "one is foretold as well"


def test_a_quarter_of_the_prompts_is_held_out_and_both_rewards_are_given_the_same_pairs(tmp_path):
    prompts = divide([f"prompt {number}" for number in range(8)], seed=3)
    learned = [one for one in prompts if one.split == "train"]
    assert len(learned) == 6 and divide([one.text for one in prompts], seed=3) == prompts
    completions = [Completion.of(one.id, text) for one in prompts for text in "ab"]
    rankings = [
        Ranking.of(one.id, name, "taste", [[Completion.of(one.id, text).id] for text in order])
        for one in prompts
        for name, order in (("ann", "ab"), ("ben", "ba"))
    ]
    task = task_of(World(prompts, completions, rankings, Path("base"), PersonalReward()), tmp_path, seed=0)
    assert task.pairs == task.own_pairs and len(task.pairs) == 12
    assert {one.prompt_id for one in task.pairs} == {one.id for one in learned} == {one.id for one in task.prompts}


def test_a_shared_reward_says_the_same_to_everybody():
    people = as_shared(Scorer(lambda prompts, completions: torch.tensor([1.0, 2.0])), ["ann", "ben"])
    shared, features = people.read(["p", "p"], ["a", "b"])
    assert set(people.vectors) == {"ann", "ben"}
    assert all(close(shared + features @ vector, [1, 2]) for vector in people.vectors.values())


def test_rows_are_told_and_drawn_with_intervals_over_the_seeds(tmp_path):
    rows = [
        {
            "world": world,
            "seed": seed,
            "people": 4,
            "shared": 0.5,
            "personal": 0.8 + seed / 100,
            "slower": 1.0 + seed / 10,
        }
        for world in ("tiny", "ukpconvarg")
        for seed in (0, 1)
    ]
    # mean .805, standard deviation .00707, t(.975, 1) = 12.706: half a width .0635
    assert (
        "tiny, 2 seeds: shared 0.500 (0.500 to 0.500), personal 0.805 (0.741 to 0.869); takes 1.050 times"
        in summary(rows)
    )
    assert "one seed gives no interval" in summary(rows[:1])
    draw(rows, tmp_path / "pictures" / "personal.svg")
    assert "<svg" in (tmp_path / "pictures" / "personal.svg").read_text(encoding="utf-8")
