"""Thumbs as votes for classes, and which rankings say more than they do."""

from models.class_votes import ClassVotes
from models.preferences.ratings import classes_of, ranked_outright, rankings_of_ratings, read_votes, votes_of_ratings
from models.records import Completion, Prompt, Ranking, Rating, write_records

FRUIT, BIRD = Prompt.of("Name a fruit.", "train"), Prompt.of("Name a bird.", "test")
PLUM, SAND = (Completion.of(FRUIT.id, text) for text in ("Plum", "Sand"))
OWL = Completion.of(BIRD.id, "Owl")


def rated(completion: Completion, labeler: str, wanted: bool) -> Rating:
    return Rating.of(completion.prompt_id, completion.id, labeler, "taste", wanted)


RATINGS = [rated(PLUM, "ann", True), rated(PLUM, "bob", True), rated(PLUM, "cy", False), rated(OWL, "ann", False)]


def test_thumbs_are_counted_completion_by_completion():
    votes = votes_of_ratings([FRUIT, BIRD], [PLUM, SAND, OWL], RATINGS)
    plum = ClassVotes(prompt=FRUIT.text, text="Plum", split="train", votes={"unwanted": 1, "wanted": 2})
    owl = ClassVotes(prompt=BIRD.text, text="Owl", split="test", votes={"unwanted": 1})
    assert votes == [plum, owl]
    assert (plum.majority, owl.majority) == ("wanted", "unwanted")
    assert plum.shares == {"unwanted": 1 / 3, "wanted": 2 / 3} and owl.shares == {"unwanted": 1.0}
    assert classes_of(votes) == ("unwanted", "wanted")


def test_whoever_changed_their_mind_is_counted_once():
    votes = votes_of_ratings([FRUIT], [PLUM], [rated(PLUM, "ann", True), rated(PLUM, "ann", False)])
    assert [one.votes for one in votes] == [{"unwanted": 1}]


def test_two_classes_of_as_many_votes_have_no_majority():
    assert ClassVotes(prompt=None, text="So.", split="train", votes={"a": 2, "b": 2, "c": 1}).majority is None


def test_a_snapshot_gives_its_ratings_and_what_was_counted_before(tmp_path):
    counted = ClassVotes(prompt=None, text="So.", split="train", votes={"rude": 3})
    assert read_votes(tmp_path) == []
    write_records(tmp_path / "class_votes.jsonl", [counted])
    assert read_votes(tmp_path) == [counted]
    for name, records in {"prompts": [FRUIT, BIRD], "completions": [PLUM, SAND, OWL], "ratings": RATINGS[3:]}.items():
        write_records(tmp_path / f"{name}.jsonl", records)
    owl = ClassVotes(prompt=BIRD.text, text="Owl", split="test", votes={"unwanted": 1})
    assert read_votes(tmp_path) == [owl, counted]


def test_a_ranking_that_follows_from_thumbs_says_nothing_besides():
    """Ann and bob both put the plum above the sand; ann's follows from her thumbs, bob has ranked the sand's equals himself."""
    ratings = [rated(PLUM, "ann", True), rated(SAND, "ann", False), rated(PLUM, "bob", True)]
    following = Ranking.of(FRUIT.id, "ann", "taste", [[PLUM.id], [SAND.id]])
    outright = Ranking.of(FRUIT.id, "bob", "taste", [[PLUM.id], [SAND.id]])
    against = Ranking.of(FRUIT.id, "ann", "taste", [[SAND.id], [PLUM.id]])  # she ranked otherwise when she was asked to
    assert rankings_of_ratings(ratings) == [following]
    assert ranked_outright([following, outright, against], ratings) == [outright, against]
