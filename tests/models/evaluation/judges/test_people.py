"""People as a judge: what their votes make of two models, and what is not yet said."""

import pytest

from models.evaluation.comparison import compare
from models.evaluation.judges.judge import Judge, Material, PairJudge
from models.evaluation.judges.people import ShownPair, describe_votes, knows, open_judge, waits_for_votes
from models.records import Ranking, write_records
from models.settings.compute import Compute
from models.settings.judges import People
from tests.tolerances import close

PROMPTS = ["p", "q", "r", "s"]
FIRST, SECOND = ["one", "one", "same", "one"], ["two", "two", "same", "two"]


def vote(labeler: str, prompt: str, better: str | None, first="one", second="two", unusable=()) -> Ranking:
    """A vote for one of two texts; None: a tie, or, where they are marked so, both unusable."""
    pair = ShownPair.of(prompt, first, second)
    ids = {first: pair.first.id, second: pair.second.id}
    if unusable:
        return Ranking.of(
            pair.prompt.id, labeler, "x", [[ids[one]] for one in ids if one not in unusable], map(ids.get, unusable)
        )
    levels = [list(ids.values())] if better is None else [[ids.pop(better)], list(ids.values())]
    return Ranking.of(pair.prompt.id, labeler, "x", levels)


def judged(tmp_path, *votes: Ranking, num_prompts=50, prompts=PROMPTS, first=FIRST, second=SECOND, num_samples=1):
    write_records(tmp_path / "rankings.jsonl", votes)
    judge = open_judge(People(num_prompts=num_prompts), Material(votes=tmp_path), Compute())
    assert isinstance(judge, PairJudge) and not isinstance(judge, Judge)
    return compare(judge, prompts, first, second, num_samples)


def test_the_outcome_of_a_prompt_is_the_mean_over_people_and_a_tie_is_half(tmp_path):
    votes = [
        *(vote("ann", "p", "one"), vote("ben", "p", "two"), vote("cleo", "p", None)),  # 1, 0, .5
        *(vote("ann", "q", "one"), vote("ben", "q", "one")),
        *(vote("ann", "s", None, unusable=["one"]), vote("ben", "s", None, unusable=["one", "two"])),  # 0, .5
    ]
    comparison = judged(tmp_path, *votes)
    assert comparison.prompts == PROMPTS and comparison.outcomes == [0.5, 1.0, 0.5, 0.25]  # r: the same text
    assert close(comparison.figures["win_rate"], 2.25 / 4) and comparison.figures["win_rate_low"] < 2.25 / 4
    # of pairs of people at a prompt: none of three, one of one, none of one
    assert comparison.told == {
        **{"num_people": 3, "num_votes": 7, "num_prompts": 4, "num_waiting": 0, "percent_agreement": 1 / 5},
    }


def test_prompts_without_votes_are_left_out_and_counted(tmp_path):
    comparison = judged(tmp_path, vote("ann", "p", "one"), vote("ann", "s", "two"))
    assert dict(zip(comparison.prompts, comparison.outcomes, strict=True)) == {"p": 1.0, "r": 0.5, "s": 0.0}
    assert comparison.told == {"num_people": 1, "num_votes": 2, "num_prompts": 3, "num_waiting": 1}


def test_equal_texts_behind_what_people_have_come_to_do_not_count_yet(tmp_path):
    assert judged(tmp_path, vote("ann", "p", "one")).prompts == ["p"], (
        "q and s wait, so r would be half of what there is"
    )
    both = [vote("ann", "p", "one"), vote("ann", "q", "one")]
    assert judged(tmp_path, *both, num_prompts=3).prompts == ["p", "q", "r"], "nothing waits any more"


@pytest.mark.parametrize("second", [SECOND, ["two"] * 4])
def test_before_there_are_votes_there_is_no_win_rate(tmp_path, second):
    comparison = judged(tmp_path, second=second)
    assert comparison.figures == {} and comparison.outcomes == [] and comparison.told["num_votes"] == 0
    assert comparison.meetings("people", "1", "2") == []
    assert compare(open_judge(People(), Material(), Compute()), PROMPTS, FIRST, second, 1).figures == {}, (
        "nobody was asked"
    )


def test_models_that_write_the_same_are_equal_without_asking(tmp_path):
    comparison = judged(tmp_path, first=SECOND, second=SECOND)
    assert comparison.figures["win_rate"] == 0.5 and comparison.told["num_waiting"] == 0


def test_people_see_the_first_completion_of_either_and_votes_on_other_texts_do_not_count(tmp_path):
    first, second = ["one", "three", "one", "three"], ["two", "four", "two", "four"]
    votes = [vote("ann", "p", "one"), vote("ann", "q", "three", "three", "four")]
    comparison = judged(tmp_path, *votes, prompts=["p", "p", "q", "q"], first=first, second=second, num_samples=2)
    assert comparison.prompts == ["p"] and comparison.outcomes == [1.0] and comparison.told["num_votes"] == 1


def test_what_is_shown_names_nobody():
    pair, turned = ShownPair.of("p", "one", "two", (True, False)), ShownPair.of("p", "two", "one", (False, True))
    assert (pair.first, pair.second) == (turned.second, turned.first), "a text is the same record, whoever wrote it"
    assert pair.first.ended and not pair.second.ended and knows("p")


def test_what_is_said_of_votes():
    said = {
        "num_people": 2,
        "num_votes": 6,
        "num_prompts": 4,
        "num_waiting": 1,
        "percent_agreement": 0.5,
        "win_rate": 0.6,
    }
    report = {"judge": "people", "judges": {"people": said}, "head_to_head": "h_1"}
    assert describe_votes(report) == [
        "people on policy and base: 6 votes by 2 people, who agree on 50% of what two of them saw; prompts with a result: 4",
        "people on policy and base: waiting for votes; prompts without any: 1 (batch h_1)",
    ]
    assert waits_for_votes(report) and not waits_for_votes({"judges": {"people": said | {"num_waiting": 0}}})
    assert describe_votes({"judges": {"own_reward": {}}}) == []
    challenge = {
        "judge": "people",
        "head_to_head": "h_2",
        "num_people": 0,
        "num_votes": 0,
        "num_prompts": 0,
        "num_waiting": 3,
    }
    told = describe_votes(
        {"judges": {}, "judge": None, "win_rate": 0.5, "percent_agreement": 0.9}
        | {f"challenge_{name}": value for name, value in challenge.items()}
    )
    assert told == [
        "people on challenger and champion: 0 votes by 0 people; prompts with a result: 0",
        "people on challenger and champion: waiting for votes; prompts without any: 3 (batch h_2)",
        "people on challenger and champion: theirs is the word that is the result, and there is none before they have voted",
    ]
