"""Feedback from a folder: what is read, and that every bad row is named."""

from pathlib import Path

import pytest

from labeling.feedback import Feedback, in_order
from models.errors import DataError
from models.records import Completion, Prompt, Ranking, Rating, write_records
from models.settings.labels import FeedbackFolder
from tests.labeling.importers.feedback_files import read, read_rest, refusal, write_lines

PROMPT = Prompt.of("My sink drips. What now?", "train")
OTHER = Prompt.of("How do I defrost a freezer?", "test")
A, B, C = (Completion.of(PROMPT.id, text) for text in ["Close the valve.", "Wait.", "Sing."])
X, Y = (Completion.of(OTHER.id, text) for text in ["Unplug it.", "Use a hammer."])
RANKING = Ranking.of(PROMPT.id, "ann", "helpfulness", [[A.id], [B.id, C.id]])


def row(labeler="ann", prompt=PROMPT.id, levels=((A.id,), (B.id, C.id)), criterion="helpfulness", **more) -> dict:
    return {"prompt_id": prompt, "labeler": labeler, "criterion": criterion, "levels": levels, **more}


def folder(path: Path, *rankings, prompts=(PROMPT, OTHER), completions=(A, B, C, X, Y)) -> FeedbackFolder:
    write_records(path / "prompts.jsonl", prompts)
    write_records(path / "completions.jsonl", completions)
    write_lines(path / "rankings.jsonl", rankings)
    return FeedbackFolder(path=str(path))


def test_a_folder_is_read(tmp_path):
    config = folder(
        tmp_path,
        row(id=RANKING.id),
        row(labeler="bob", levels=[[B.id]], unusable=[A.id, C.id]),
        row(labeler="bob", prompt=OTHER.id, levels=[[X.id, Y.id]]),
        row(criterion="safety"),  # by another criterion: not asked for
    )
    feedback = read(config)
    rankings = [
        RANKING,
        Ranking.of(PROMPT.id, "bob", "helpfulness", [[B.id]], [A.id, C.id]),
        Ranking.of(OTHER.id, "bob", "helpfulness", [[X.id, Y.id]]),
    ]
    assert feedback == in_order(Feedback([PROMPT, OTHER], [A, B, C, X, Y], rankings))


@pytest.mark.parametrize("shown", [[A.id, B.id], [A.id, B.id, B.id], [A.id, B.id, X.id]])
def test_an_order_shown_is_of_what_was_ranked(tmp_path, shown):
    message = refusal(folder(tmp_path, row(shown=shown)))
    assert "rankings.jsonl:1: levels: shown must hold each completion of the ranking once" in message


def test_the_ids_of_a_folder_are_its_own(tmp_path):
    """The records are the same as under any other ids: those of their texts. What is one text is one completion."""
    prompt = Prompt(id="p1", text=PROMPT.text, split="train")
    texts = {"a": A.text, "b": B.text, "a2": A.text}
    completions = [Completion(id=name, prompt_id="p1", text=text, ended=True) for name, text in texts.items()]
    rows = [row("ann", "p1", [["a", "a2"], ["b"]], shown=["a2", "b", "a"]), row("bob", "p1", [["b"]], unusable=["a2"])]
    feedback = read(folder(tmp_path, *rows, prompts=[prompt], completions=completions))
    rankings = [
        Ranking.of(PROMPT.id, "ann", "helpfulness", [[A.id], [B.id]], shown=[A.id, B.id]),
        Ranking.of(PROMPT.id, "bob", "helpfulness", [[B.id]], [A.id]),
    ]
    assert feedback == in_order(Feedback([PROMPT], [A, B], rankings))
    rows = [row("ann", "p1", [["a"], ["b"], ["a2"]])]
    message = refusal(folder(tmp_path, *rows, prompts=[prompt], completions=completions))
    assert "rankings.jsonl:1: levels: a and a2 are one text, but do not stand on one level" in message


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (row(levels=[[A.id], [B.id], [C.id], ["c_nobody"]]), "levels: no completion has the id c_nobody"),
        (row(levels=[[A.id], [B.id], [C.id], [X.id]]), f"levels: completion {X.id} belongs to prompt {OTHER.id}"),
        (row(prompt="p_nobody"), "prompt_id: no prompt has the id p_nobody"),
        (row(id="r_0"), f"id: r_0 does not fit what the row says ({RANKING.id})"),
        (row(levels=[[A.id], [A.id, B.id]]), f"levels: completion {A.id} stands more than once in the ranking"),
        (row(levels=[]), "levels: a ranking must name at least one completion"),
        (row(levels=[[A.id], []]), "levels: a level of the ranking is empty"),
        (row(levels="abc"), "levels: Input should be a valid tuple"),
        (row(labeler=3), "labeler: Input should be a valid string"),
        (row(score=3), "score: Extra inputs are not permitted"),
        ({"prompt_id": PROMPT.id}, "labeler: Field required; criterion: Field required; levels: Field required"),
        ("{", "not JSON"),
        ("[1]", "expected a JSON object, found list"),
    ],
)
def test_a_bad_ranking_is_named_by_line(tmp_path, bad, complaint):
    config = folder(tmp_path, row(labeler="bob"), "", bad)
    message = refusal(config)
    assert f"{tmp_path / 'rankings.jsonl'}:3: {complaint}" in message
    assert "(bad rows: 1)" in message


def test_a_duplicate_ranking_names_both_lines(tmp_path):
    message = refusal(folder(tmp_path, row(), row(labeler="bob"), row(levels=[[C.id, B.id, A.id]])))
    file = tmp_path / "rankings.jsonl"
    said = "ann ranked these completions of the prompt by helpfulness already"
    assert f"{file}:3: labeler: {said}, at {file.name}:1" in message


def test_every_bad_row_of_rankings_is_listed_at_once(tmp_path):
    message = refusal(
        folder(tmp_path, row(), "no", row(labeler="b", id="r"), row(prompt="p"), row(levels=[["c"]])),
    )
    for line in (2, 3, 4, 5):
        assert f"rankings.jsonl:{line}: " in message
    assert "rankings.jsonl:1: " not in message.replace("at " + str(tmp_path / "rankings.jsonl"), "")


def test_the_listing_is_capped(tmp_path):
    message = refusal(folder(tmp_path, *["no"] * 53))
    assert "(bad rows: 53)" in message
    assert message.count("not JSON") == 50
    assert message.endswith("… and 3 more")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (
            {"completions": [X, Y, C]},
            f"rankings.jsonl:1: levels: no completion has the id {A.id}",
        ),
        ({"prompts": [OTHER]}, f"completions.jsonl:1: prompt_id: no prompt has the id {PROMPT.id}"),
        ({"prompts": [PROMPT, OTHER, PROMPT]}, "prompts.jsonl:3: id: it stands 2 times"),
        ({"completions": [A, B, C, X, Y, A]}, "completions.jsonl:6: id: it stands 2 times"),
        (
            {"prompts": [PROMPT, OTHER, Prompt(id="p_2", text=PROMPT.text, split="test")]},
            "prompts.jsonl:3: split: test, but the same text is train at ",
        ),
    ],
)
def test_bad_prompts_and_completions_are_named_by_line(tmp_path, given, complaint):
    assert complaint in refusal(folder(tmp_path, row(), **given))


def test_a_bad_record_names_its_fields(tmp_path):
    config = folder(tmp_path, row())
    write_lines(tmp_path / "prompts.jsonl", [PROMPT.model_dump(), {"id": "p", "text": "t", "split": "dev"}, "{"])
    message = refusal(config)
    assert "prompts.jsonl:2: split: Input should be 'train', 'validation' or 'test'" in message
    assert "prompts.jsonl:3: not JSON" in message


def test_empty_rankings_and_missing_files_are_refused(tmp_path):
    assert "rankings.jsonl: it holds no rankings" in refusal(folder(tmp_path))
    message = refusal(folder(tmp_path, row(criterion="safety"), row(criterion="style")))
    assert "criterion: none of its 2 rankings and 0 ratings is by 'helpfulness'" in message
    (tmp_path / "rankings.jsonl").unlink()
    assert "rankings.jsonl: no such file" in refusal(FeedbackFolder(path=str(tmp_path)))


def test_a_labeler_may_rank_some_of_the_completions_and_several_sets_of_them(tmp_path):
    said = [[[A.id], [B.id]], [[A.id, C.id]], [[C.id], [B.id], [A.id]]]
    rankings = [Ranking.of(PROMPT.id, "ann", "helpfulness", levels) for levels in said]
    feedback = read(folder(tmp_path, *(row(levels=levels) for levels in said)))
    assert feedback == in_order(Feedback([PROMPT, OTHER], [A, B, C, X, Y], rankings))
    assert read(folder(tmp_path, *(one.model_dump() for one in rankings))) == feedback
    message = refusal(folder(tmp_path, *(row(levels=levels) for levels in said), row(levels=[[C.id], [A.id]])))
    file = tmp_path / "rankings.jsonl"
    same = "ann ranked these completions of the prompt by helpfulness already"
    assert f"{file}:4: labeler: {same}, at {file.name}:2" in message and "(bad rows: 1)" in message
    again = [row(session=day, levels=[[A.id], [B.id]]) for day in ("monday", "tuesday")]
    assert {one.session for one in read(folder(tmp_path, *again)).rankings} == {"monday", "tuesday"}


def test_a_truth_in_quotes_is_no_truth(tmp_path):
    config = folder(tmp_path, row())
    write_lines(tmp_path / "completions.jsonl", [A.model_dump() | {"ended": "true"}])
    assert "completions.jsonl:1: ended: Input should be a valid" in refusal(config)


# --- ratings


def rating(one=A, labeler="ann", wanted=True, **more) -> dict:
    named = {"prompt_id": one.prompt_id, "completion_id": one.id, "labeler": labeler}
    return named | {"criterion": "helpfulness", "wanted": wanted} | more


def test_ratings_are_read_beside_rankings(tmp_path):
    config = folder(tmp_path, row())
    up = Rating.of(PROMPT.id, A.id, "ann", "helpfulness", True)
    write_lines(tmp_path / "ratings.jsonl", [rating(id=up.id), rating(B, wanted=False), rating(criterion="safety")])
    feedback = read(config)
    down = Rating.of(PROMPT.id, B.id, "ann", "helpfulness", False)
    assert sorted(feedback.ratings, key=lambda one: one.wanted) == [down, up]
    follows = Ranking.of(PROMPT.id, "ann", "helpfulness", [[A.id], [B.id]])
    assert sorted(feedback.rankings, key=lambda one: len(one.places)) == [follows, RANKING]


def test_without_rankings_they_follow_from_the_ratings(tmp_path):
    config = folder(tmp_path, completions=(A, B, C, X))  # OTHER has one completion: enough to rate
    (tmp_path / "rankings.jsonl").unlink()
    write_lines(tmp_path / "ratings.jsonl", [rating(A, wanted=False), rating(B), rating(X)])
    feedback = read(config)
    assert feedback.rankings == [Ranking.of(PROMPT.id, "ann", "helpfulness", [[B.id], [A.id]])]
    assert {one.completion_id for one in feedback.ratings} == {A.id, B.id, X.id}


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (rating(wanted="yes"), "wanted: Input should be a valid boolean"),
        (rating(wanted=1), "wanted: Input should be a valid boolean"),
        (rating(completion_id="c_nobody"), "completion_id: no completion has the id c_nobody"),
        (rating(prompt_id="p_nobody"), "prompt_id: no prompt has the id p_nobody"),
        (rating(prompt_id=OTHER.id), f"completion_id: completion {A.id} belongs to prompt {PROMPT.id}"),
        (rating(id="v_0"), "id: v_0 does not fit what the row says"),
        (rating(B, wanted=False), f"labeler: ann rated {B.id} already, at "),
        ({"wanted": True}, "prompt_id: Field required; completion_id: Field required; labeler: Field required"),
    ],
)
def test_a_bad_rating_is_named_by_line(tmp_path, bad, complaint):
    config = folder(tmp_path, row())
    write_lines(tmp_path / "ratings.jsonl", [rating(B), bad])
    message = refusal(config)
    assert f"{tmp_path / 'ratings.jsonl'}:2: {complaint}" in message
    assert "(bad rows: 1)" in message


def test_ratings_that_are_none_are_refused(tmp_path):
    config = folder(tmp_path)
    (tmp_path / "rankings.jsonl").unlink()
    write_lines(tmp_path / "ratings.jsonl", [])
    assert "ratings.jsonl: it holds no ratings" in refusal(config)
    write_lines(tmp_path / "ratings.jsonl", [rating(criterion="safety")])
    assert "none of its 0 rankings and 1 ratings is by 'helpfulness'" in refusal(config)


# --- setting bad rows aside


def test_what_depends_on_a_bad_row_is_set_aside_with_it(tmp_path):
    """B is no completion, so a ranking that names it goes; a rating of it goes; what names A and C alone stays."""
    whole = row(labeler="bob", levels=[[A.id], [C.id]])
    config = folder(tmp_path, row(), whole, row(labeler="cy", prompt=OTHER.id, levels=[[X.id, Y.id]]))
    bad_b = B.model_dump() | {"ended": "yes"}
    twice = [X.model_dump(), X.model_dump()]
    write_lines(tmp_path / "completions.jsonl", [A.model_dump(), bad_b, C.model_dump(), Y.model_dump(), *twice])
    write_lines(tmp_path / "ratings.jsonl", [rating(B), rating(C)])
    feedback, rejected = read_rest(config, tmp_path)
    rankings = [Ranking.of(PROMPT.id, "bob", "helpfulness", [[A.id], [C.id]])]
    ratings = [Rating.of(PROMPT.id, C.id, "ann", "helpfulness", True)]
    assert feedback == in_order(Feedback([PROMPT, OTHER], [A, C, Y], rankings, ratings))
    places = [(one["file"], one["line"]) for one in rejected]
    assert places == [
        ("completions.jsonl", 2),
        ("completions.jsonl", 5),
        ("completions.jsonl", 6),
        ("rankings.jsonl", 1),
        ("rankings.jsonl", 3),
        ("ratings.jsonl", 1),
    ]
    assert rejected[0]["row"] == bad_b
    assert rejected[0]["reasons"][0]["field"] == "ended"
    assert rejected[1]["row"] == X.model_dump()
    assert rejected[3]["reasons"] == [
        {"field": "levels", "reason": f"completion {B.id} is a bad row itself, at completions.jsonl:2"}
    ]


def test_a_bad_prompt_takes_everything_with_it(tmp_path):
    config = folder(tmp_path, row(), row(prompt=OTHER.id, levels=[[X.id], [Y.id]]))
    write_lines(tmp_path / "prompts.jsonl", [PROMPT.model_dump() | {"split": "dev"}, OTHER.model_dump()])
    feedback, rejected = read_rest(config, tmp_path)
    assert feedback.prompts == [OTHER] and {one.id for one in feedback.completions} == {X.id, Y.id}
    assert [one.prompt_id for one in feedback.rankings] == [OTHER.id]
    assert [one["file"] for one in rejected] == ["prompts.jsonl", *["completions.jsonl"] * 3, "rankings.jsonl"]


def test_setting_everything_aside_is_refused(tmp_path):
    config = folder(tmp_path, row(score=1), "no")
    with pytest.raises(DataError, match="bad rows: 2"):
        read_rest(config, tmp_path)
    assert not (tmp_path / "rejected.jsonl").exists()


def test_rejected_lines_do_not_name_the_folder(tmp_path):
    """Equal files give equal snapshots, wherever they lie."""
    config = folder(tmp_path, row(), "no", row())
    read_rest(config, tmp_path)
    text = (tmp_path / "rejected.jsonl").read_text(encoding="utf-8")
    assert text.splitlines()[0] == (
        '{"file": "rankings.jsonl", "line": 2, "reasons": [{"field": "", "reason": "not JSON (Expecting value at '
        'column 1)"}], "row": "no"}'
    )
    assert str(tmp_path) not in text


def test_who_wrote_a_completion_is_read_and_an_unknown_one_named(tmp_path):
    config = folder(tmp_path, row())
    wrote = [{"completion_id": A.id, "system": "x"}, {"completion_id": A.id, "system": "y"}]
    write_lines(tmp_path / "systems.jsonl", wrote)
    assert [one.model_dump() for one in read(config).systems] == wrote
    write_lines(
        tmp_path / "systems.jsonl",
        [*wrote, {"completion_id": "c_0", "system": "x"}, {"completion_id": B.id, "system": " "}],
    )
    message = refusal(config)
    assert (
        "systems.jsonl:3: completion_id: no completion has the id c_0" in message
        and "systems.jsonl:4: system: " in message
    )
