"""How far the members of a reward disagree on a prompt, by arithmetic."""

import numpy as np

from models.evaluation.rewards.acquisition import disagreement, most_disputed
from models.records import Prompt
from tests.tolerances import close


def test_a_prompt_counts_by_the_variance_of_who_is_better_over_the_members():
    """Two members. Of `a` the first is sure that 0 beats 1 by ln 3, the other that 1 beats 0 by as much: probabilities 3/4 and 1/4, whose variance is
    1/16. Of `b`, three completions, they say the same, and so they do when each adds a number of its own. `c` has one completion."""
    apart, same = np.log(3), [0.0, 5.0, 9.0]
    members = np.array([[apart, 0.0, *same, 1.0], [0.0, apart, *(one + 7 for one in same), 2.0]])
    found = disagreement(members, ["a", "a", "b", "b", "b", "c"])
    assert found.keys() == {"a", "b"}
    assert close(found["a"], 1 / 16) and close(found["b"], 0)


def test_it_is_the_mean_over_the_pairs_whatever_their_order():
    """Of three completions one pair of three is disputed as above, and the third completion loses to both without doubt."""
    apart = np.log(3)
    members = np.array([[apart, -100.0, 0.0], [0.0, -100.0, apart]])
    assert close(disagreement(members, ["p", "p", "p"])["p"], 1 / 48)


def test_training_prompts_are_chosen_by_disagreement_and_held_out_ones_by_chance():
    """Eight prompts of two completions; the members disagree more, the later a prompt was sampled. Five are wanted: of the two that are held out
    round(5 / 8 * 2) = 1, the first one, and the four training prompts that were sampled last."""
    sides = ("train", "test", "train", "train", "train", "train", "train", "test")
    sampled = [Prompt.of(f"ask {number}", side) for number, side in enumerate(sides)]
    leads = np.arange(8) / 4
    members = np.stack([np.ravel([leads, 0 * leads], order="F"), np.ravel([0 * leads, leads], order="F")])
    chosen = most_disputed(sampled, members, [one.id for one in sampled for _ in "ab"], num_prompts=5)
    assert chosen == {sampled[number].id for number in (1, 3, 4, 5, 6)}
    everything = most_disputed(sampled, members, [one.id for one in sampled for _ in "ab"], num_prompts=50)
    assert everything == {one.id for one in sampled}
