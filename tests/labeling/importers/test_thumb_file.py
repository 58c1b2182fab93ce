"""Feedback from files of thumbs: ratings, and the rankings that follow."""

from pathlib import Path

import pyarrow
import pytest
from pyarrow.parquet import write_table

from labeling.feedback import Feedback, in_order
from models.preferences.splits import assign_split
from models.records import Completion, Prompt, Ranking, Rating
from models.settings.labels import ThumbFile
from tests.labeling.importers.feedback_files import SEED, SPLIT, read, read_rest, refusal, write_lines


def thumb(prompt="Name a fruit.", completion="Plum", label=True, **more) -> dict:
    return {"prompt": prompt, "completion": completion, "label": label} | more


def thumbs(tmp_path: Path, *rows, **more) -> ThumbFile:
    return ThumbFile(path=str(write_lines(tmp_path / "thumbs.jsonl", rows)), criterion="taste", **more)


ROWS = [
    thumb(who="ann"),
    thumb(completion="Sand", label=False, who="ann"),
    thumb(completion="Sand", who="bob"),
    thumb("Name a bird.", "Owl", who="bob"),
]


def test_rows_become_ratings_and_rankings(tmp_path):
    feedback = read(thumbs(tmp_path, *ROWS, labeler_column="who"))
    fruit, bird = (Prompt.of(text, assign_split(text, SPLIT, SEED)) for text in ("Name a fruit.", "Name a bird."))
    plum, sand = (Completion.of(fruit.id, text) for text in ["Plum", "Sand"])
    owl = Completion.of(bird.id, "Owl")
    ratings = (
        Rating.of(fruit.id, plum.id, "ann", "taste", True),
        Rating.of(fruit.id, sand.id, "ann", "taste", False),
        Rating.of(fruit.id, sand.id, "bob", "taste", True),
        Rating.of(bird.id, owl.id, "bob", "taste", True),
    )
    rankings = [Ranking.of(fruit.id, "ann", "taste", [[plum.id], [sand.id]])]
    assert feedback == in_order(Feedback([fruit, bird], [plum, sand, owl], rankings, ratings))
    assert read(thumbs(tmp_path, *reversed(ROWS), labeler_column="who")) == feedback


def test_csv_and_parquet_say_the_same(tmp_path):
    expected = read(thumbs(tmp_path, *ROWS, labeler_column="who"))
    lines = [f"{one['prompt']},{one['completion']},{one['label']!s},{one['who']}" for one in ROWS]
    (tmp_path / "thumbs.csv").write_text("\n".join(["prompt,completion,label,who", *lines]), encoding="utf-8")
    write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "thumbs.parquet")
    for name in ("thumbs.csv", "thumbs.parquet"):
        assert read(ThumbFile(path=str(tmp_path / name), criterion="taste", labeler_column="who")) == expected


def test_one_and_nought_are_answers(tmp_path):
    rows = [thumb(completion=str(number), label=label) for number, label in enumerate([1, 0, 1.0, 0.0])]
    feedback = read(thumbs(tmp_path, *rows))
    texts = {one.id: one.text for one in feedback.completions}
    answers = {"0": True, "1": False, "2": True, "3": False}
    assert {texts[one.completion_id]: one.wanted for one in feedback.ratings} == answers
    (tmp_path / "thumbs.csv").write_text("prompt,completion,label\nQ,0,1\nQ,1,0\nQ,2,1.0\nQ,3,0.0\n")
    feedback = read(ThumbFile(path=str(tmp_path / "thumbs.csv"), criterion="taste"))
    texts = {one.id: one.text for one in feedback.completions}
    assert {texts[one.completion_id]: one.wanted for one in feedback.ratings} == answers


def test_messages_are_read(tmp_path):
    row = thumb([{"role": "user", "content": "Hi"}], [{"role": "assistant", "content": "Hello!"}])
    feedback = read(thumbs(tmp_path, row))
    assert (feedback.prompts[0].text, feedback.completions[0].text) == ("Hi", "Hello!")


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (thumb(label="true"), "label: expected true or false, found 'true'"),
        (thumb(label=2), "label: expected true or false, found 2"),
        (thumb(label=0.5), "label: expected true or false, found 0.5"),
        ({"prompt": "a", "completion": "b"}, "label: no such column"),
        (thumb(completion=""), "completion: the completion is empty"),
        (thumb(completion="a\n\nHuman: b"), "completion: a dialogue marker"),
        ({"completion": "a", "label": True}, "prompt: no such column"),
        ({"completion": [{"role": "assistant", "content": "a"}], "label": True}, "prompt: no such column"),
        (thumb(label=False), "completion: unnamed judged this completion of this prompt already, at thumbs.jsonl:1"),
    ],
)
def test_a_bad_thumb_is_named_by_line_and_field(tmp_path, bad, complaint):
    config = thumbs(tmp_path, thumb(), bad, thumb(completion="Fig"))
    assert f"{config.path}:2: {complaint}" in refusal(config)
    feedback, rejected = read_rest(config, tmp_path)
    assert feedback == read(thumbs(tmp_path, thumb(), thumb(completion="Fig")))
    assert [one["row"] for one in rejected] == [bad]


def test_a_word_that_is_no_truth_is_named(tmp_path):
    (tmp_path / "thumbs.csv").write_text("prompt,completion,label\na,b,yes\n", encoding="utf-8")
    message = refusal(ThumbFile(path=str(tmp_path / "thumbs.csv")))
    assert "thumbs.csv:2: label: expected true or false, found 'yes'" in message


def test_an_empty_file_is_refused(tmp_path):
    assert "thumbs.jsonl: it holds no rows" in refusal(thumbs(tmp_path))
