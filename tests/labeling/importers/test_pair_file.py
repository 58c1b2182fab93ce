"""Feedback from files of preferences: texts, dialogues and messages, and the dirt of real ones."""

import csv
import json
import os
from collections import Counter
from pathlib import Path

import pyarrow
import pytest
from pyarrow.parquet import write_table
from pydantic import ValidationError

from labeling.feedback import Feedback, in_order
from models.conversation import conversation, turns
from models.preferences.splits import assign_split
from models.records import Completion, Prompt, Ranking
from models.settings.labels import PairFile
from tests.labeling.importers.feedback_files import SEED, SPLIT, read, read_rest, refusal, write_lines


def pair(prompt="Name a fruit.", chosen="Plum", rejected="Sand", **more) -> dict:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected} | more


def pairs(tmp_path: Path, *rows, **more) -> PairFile:
    return PairFile(path=str(write_lines(tmp_path / "pairs.jsonl", rows)), criterion="taste", **more)


def said(feedback) -> list[tuple[str, str, str]]:
    """(prompt, chosen, rejected) of each ranking, as texts."""
    prompts = {one.id: one.text for one in feedback.prompts}
    texts = {one.id: one.text for one in feedback.completions}
    return [(prompts[one.prompt_id], *(texts[name] for (name,) in one.levels)) for one in feedback.rankings]


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict:
    return {"role": "assistant", "content": text}


def test_rows_become_rankings_of_two(tmp_path):
    rows = [
        pair(who="ann"),
        pair(chosen="Sand", rejected="Plum", who="bob"),
        pair(chosen="Plum", rejected="Fig", who="ann", source="more"),
        pair(" Name a bird.\n", " Owl", "Dog ", who=3),
    ]
    feedback = read(pairs(tmp_path, *rows, labeler_column="who"))
    fruit, bird = (Prompt.of(text, assign_split(text, SPLIT, SEED)) for text in ("Name a fruit.", " Name a bird.\n"))
    plum, sand, fig = (Completion.of(fruit.id, text) for text in ["Plum", "Sand", "Fig"])
    owl, dog = (Completion.of(bird.id, text) for text in [" Owl", "Dog "])
    rankings = [
        Ranking.of(fruit.id, "ann", "taste", [[plum.id], [sand.id]]),
        Ranking.of(fruit.id, "bob", "taste", [[sand.id], [plum.id]]),
        Ranking.of(fruit.id, "ann", "taste", [[plum.id], [fig.id]]),
        Ranking.of(bird.id, "3", "taste", [[owl.id], [dog.id]]),
    ]
    assert feedback == in_order(Feedback([fruit, bird], [plum, sand, fig, owl, dog], rankings))
    assert read(pairs(tmp_path, *reversed(rows), labeler_column="who")) == feedback
    assert {one.labeler for one in read(pairs(tmp_path, *rows[:1], labeler="crowd")).rankings} == {"crowd"}


def levels_said(feedback) -> set[tuple]:
    texts = {one.id: one.text for one in feedback.completions}
    return {tuple(tuple(sorted(texts[name] for name in level)) for level in one.levels) for one in feedback.rankings}


def test_ties_and_winners_are_read(tmp_path):
    tie, plum, sand = ((("Plum", "Sand"),), (("Plum",), ("Sand",)), (("Sand",), ("Plum",)))
    for more, expected in [
        ({"winner": "tie"}, tie),
        ({"winner": "Tie"}, tie),
        ({"winner": "model_b"}, sand),
        ({"label": 0.5}, tie),
        ({"label": 1}, plum),
        ({"label": 0.0}, sand),
        ({"label": False}, sand),
        ({"label": "0.5"}, tie),
        ({"label": 0.75}, plum),  # a probability
        ({"label": 0.2}, sand),
        ({"winner": "a", "label": 0}, plum),  # the first of the two that is there
    ]:
        assert levels_said(read(pairs(tmp_path, pair(**more)))) == {expected}, more
    row = {"prompt": "Name a fruit.", "response1": "Plum", "response2": "Sand", "annotator1": 0}
    columns = {"columns": {"chosen": "response1", "rejected": "response2"}, "winner_column": "annotator1"}
    words = {"first_wins": ["1"], "second_wins": ["2"], "tie": ["0"]}
    for number, expected in enumerate([tie, plum, sand]):
        assert levels_said(read(pairs(tmp_path, row | {"annotator1": number}, **columns, **words))) == {expected}
    complaint = "annotator1: expected one of first_wins: 1; second_wins: 2; tie: 0; found 3"
    assert complaint in refusal(pairs(tmp_path, row | {"annotator1": 3}, **columns, **words))
    assert "label: expected one of first_wins: first, chosen" in refusal(pairs(tmp_path, pair(label=1.5)))
    about = pair(label="gardening")  # a column of another meaning
    assert levels_said(read(pairs(tmp_path, about, winner_column=""))) == {plum}
    assert "better: no such column" in refusal(pairs(tmp_path, pair(), winner_column="better"))
    with pytest.raises(ValidationError, match="1 stands in more than one of first_wins, second_wins and tie"):
        pairs(tmp_path, tie=["1"])


def test_a_tie_after_a_choice_is_named(tmp_path):
    message = refusal(pairs(tmp_path, pair(), pair(winner="tie"), pair(winner="tie", prompt="Q")))
    assert ":2: chosen: unnamed said something else of these two already, at " in message and "bad rows: 1" in message


def test_an_arena_names_the_models(tmp_path):
    row = pair("Hi", "Plum", "Sand") | {"model_a": "x", "model_b": "y", "winner": "model_b"}
    feedback = read(pairs(tmp_path, row, first_system_column="model_a", second_system_column="model_b"))
    texts = {one.id: one.text for one in feedback.completions}
    assert sorted((texts[one.completion_id], one.system) for one in feedback.systems) == [("Plum", "x"), ("Sand", "y")]
    assert "model_c: no such column" in refusal(pairs(tmp_path, row, first_system_column="model_c"))


HH = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Name a fruit.\n\nAssistant:"
TURNS = [user("Hi"), assistant("Hello!"), user("Name a fruit.")]
SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("row", "asked"),
    [
        (pair(HH, " Plum", " Sand"), TURNS),
        (pair(TURNS, " Plum", " Sand"), TURNS),
        ({"chosen": HH + " Plum", "rejected": HH + " Sand"}, TURNS),
        (pair(TURNS, [assistant(" Plum")], [assistant(" Sand")]), TURNS),
        (pair(HH, [assistant(" Plum")], [*TURNS, assistant(" Sand")]), TURNS),
        (pair(TURNS, [*TURNS, assistant(" Plum")], [*TURNS, assistant(" Sand")]), TURNS),
        ({"chosen": [*TURNS, assistant(" Plum")], "rejected": [*TURNS, assistant(" Sand")]}, TURNS),
        (pair([user("Hi")], [assistant(" Plum")], [assistant(" Sand")]), [user("Hi")]),
        (pair("\n\nHuman: Hi \n\nAssistant:", " Plum", " Sand"), [user("Hi")]),
        (pair("Hi", [user("Hi"), assistant(" Plum")], [user("Hi"), assistant(" Sand")]), [user("Hi")]),
        (pair([user(HH)], [assistant(" Plum")], [assistant(" Sand")]), [user(HH)]),  # that is what this user said
        (  # as rows of Parquet have it
            pair(
                [user("Hi") | {"name": None}],
                [assistant(" Plum") | {"name": None, "tool_calls": None}],
                [assistant(" Sand") | {"name": None, "tool_calls": None}],
            ),
            [user("Hi")],
        ),
        (pair([SYSTEM, user("Hi")], [assistant(" Plum")], [assistant(" Sand")]), [SYSTEM, user("Hi")]),
        (pair("\n\nSystem: Be brief.\n\nHuman: Hi\n\nAssistant:", " Plum", " Sand"), [SYSTEM, user("Hi")]),
        (
            {
                side: "\n\nSystem: Be brief.\n\nHuman:Hi\n\nAssistant:" + end
                for side, end in (("chosen", " Plum"), ("rejected", " Sand"))
            },
            [SYSTEM, user("Hi")],
        ),
    ],
)
def test_dialogues_are_told_apart_from_replies(tmp_path, row, asked):
    ((prompt, *replies),) = said(read(pairs(tmp_path, row)))
    assert turns(prompt) == asked and replies == [" Plum", " Sand"]


@pytest.mark.parametrize(
    "text", ["Human: Hi\n\nAssistant:", "\n\nHuman: Hi", "\n\nAssistant:", " \n\nHuman: Hi\n\nAssistant:"]
)
def test_a_text_of_another_form_is_what_one_user_said(tmp_path, text):
    assert said(read(pairs(tmp_path, pair(text)))) == [(text, "Plum", "Sand")]


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (pair(chosen=" "), "chosen: the completion is empty"),
        (
            pair(HH, " Plum\n\nHuman: Thanks!", ""),
            "chosen: a dialogue marker ('\\n\\nHuman:' or '\\n\\nAssistant:') stands",
        ),
        (pair(HH, " Plum\n\nHuman: Thanks!", ""), "; rejected: the completion is empty"),
        (pair(rejected="Plum "), "rejected: it is the same text as chosen (outer white space does not count)"),
        (pair(prompt=" "), "prompt: expected text, found ' '"),
        (pair(prompt=None), "prompt: expected text, found None"),
        (pair(rejected=3), "rejected: expected text, or messages everywhere in the row, found 3"),
        (pair(rejected=[assistant("Sand")]), "rejected: expected text, or messages everywhere in the row, found [{"),
        ({"prompt": "Hi", "chosen": "Plum"}, "rejected: no such column"),
        ({"chosen": "Plum", "rejected": "Sand"}, "chosen: there is no prompt, and this is no dialogue"),
        ({"chosen": HH + " a", "rejected": "\n\nHuman: Hi\n\nAssistant: b"}, "rejected: the dialogues differ before"),
        ({"chosen": [assistant("a")], "rejected": [assistant("b")]}, "chosen: there is no prompt, and this dialogue"),
        ({"chosen": [], "rejected": []}, "chosen: there is no prompt, and this dialogue has fewer than two messages"),
        (
            {"chosen": [user("Hi"), assistant("a")], "rejected": [assistant("b")]},
            "rejected: expected one message of the",
        ),
        (
            pair([user("Hi")], [assistant("a")], [user("b")]),
            "rejected: expected one message of the assistant, alone or",
        ),
        (pair([user("Hi")], [assistant("a")], []), "rejected: expected one message of the assistant, alone or"),
        (pair([user("Hi")], [assistant("a")], [user("Ho"), assistant("b")]), "rejected: expected one message of the"),
        (pair([], [assistant("a")], [assistant("b")]), "prompt: expected text, found []"),
        (pair([user(" ")], [assistant("a")], [assistant("b")]), "prompt: turn 1 of 1 is empty"),
        (
            pair([user("Hi")], [assistant("a")], ["b"]),
            "rejected.0: expected {role, content} with a role of system, user",
        ),
        (
            pair([{"role": "tool", "content": ""}], [assistant("a")], [assistant("b")]),
            "prompt.0: expected {role, content}",
        ),
        (pair([{"role": [], "content": ""}], [assistant("a")], [assistant("b")]), "prompt.0: expected {role, content}"),
        (pair([user("Hi")], [assistant("a\n\nHuman: b")], [assistant("b")]), "chosen: a dialogue marker"),
        (pair([user("a"), SYSTEM], [assistant("a")], [assistant("b")]), "prompt: the last turn must be the user's"),
        (
            pair([user("a"), SYSTEM, user("b")], [assistant("a")], [assistant("b")]),
            "prompt: turn 2 of 3 is a system message, which can only be the first",
        ),
        (pair("\n\nHuman: a\n\nAssistant:\n\nHuman: b\n\nAssistant:"), "prompt: turn 2 of 3 is empty"),
        (
            {"chosen": "\n\nHuman: \n\nAssistant: a", "rejected": "\n\nHuman: \n\nAssistant: b"},
            "chosen: turn 1 of 1 is empty",
        ),
        (pair("\x1eHi"), "prompt: it begins with U+001E"),
        (
            pair(conversation(TURNS)),
            "prompt: it begins with U+001E, which no plain text does; write a conversation as a",
        ),
        (pair([user("\x1eHi")], [assistant("a")], [assistant("b")]), "prompt: it begins with U+001E"),
        (pair(who=None), "who: expected a name, found None"),
        (pair(who=True), "who: expected a name, found True"),
        (pair(), "chosen: unnamed said the same of these two already, at pairs.jsonl:1"),
        (
            pair(chosen="Sand", rejected="Plum"),
            "chosen: unnamed said something else of these two already, at pairs.jsonl:1",
        ),
    ],
)
def test_a_bad_preference_is_named_by_line_and_field(tmp_path, bad, complaint):
    more = {"labeler_column": "who"} if "who" in bad else {}
    message = refusal(pairs(tmp_path, pair(who="ann") if more else pair(), bad, **more))
    assert f"{tmp_path / 'pairs.jsonl'}:2: " in message
    assert complaint in message
    assert "(bad rows: 1)" in message


def test_a_bad_row_leaves_no_trace_among_the_good_ones(tmp_path):
    rows = [pair(chosen="Gone", rejected=""), pair(), pair("Lost", "a", "a"), pair(chosen="Sand", rejected="Plum")]
    feedback, rejected = read_rest(pairs(tmp_path, *rows), tmp_path)
    assert feedback == read(pairs(tmp_path, pair()))
    assert [(one["line"], one["row"]) for one in rejected] == [(1, rows[0]), (3, rows[2]), (4, rows[3])]


def test_csv_and_parquet_say_the_same_as_json_lines(tmp_path):
    rows = [pair(HH, ' "Plum",\n', " Sänd", who="ann"), pair(who="bob")]
    expected = read(pairs(tmp_path, *rows, labeler_column="who"))
    with (tmp_path / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    write_table(pyarrow.Table.from_pylist(rows), tmp_path / "pairs.parquet")
    for name in ("pairs.csv", "pairs.parquet"):
        assert read(PairFile(path=str(tmp_path / name), criterion="taste", labeler_column="who")) == expected
    turns = [pair(TURNS, [assistant("a")], [assistant("b")])]
    write_table(pyarrow.Table.from_pylist(turns), tmp_path / "turns.parquet")
    assert said(read(PairFile(path=str(tmp_path / "turns.parquet")))) == [(conversation(TURNS), "a", "b")]


def test_an_empty_file_is_refused(tmp_path):
    assert "pairs.jsonl: it holds no rows" in refusal(pairs(tmp_path))


REAL = {
    "hh_harmless_base.train": (1812, 3, 3),
    "hh_harmless_base.test": (500, 1, 2),
    "hh_helpful_base.train": (1852, 2, 8),
    "hh_helpful_base.test": (500, 2, 1),
}


@pytest.mark.parametrize(("name", "rows", "empty", "marked"), [(name, *counts) for name, counts in REAL.items()])
def test_real_preferences(tmp_path, name, rows, empty, marked):
    """8 rows with an empty completion or turn and 14 with a marker inside one, over the four files."""
    data = os.environ.get("REIN_DATA")
    if not data:
        pytest.skip("REIN_DATA is not set: no folder with real preferences")
    file = Path(data) / "pairs" / f"{name}.jsonl"
    if not file.is_file():
        pytest.skip(f"REIN_DATA holds no pairs/{name}.jsonl")
    config = PairFile(path=str(file))
    assert f"(bad rows: {empty + marked})" in refusal(config)
    feedback, rejected = read_rest(config, tmp_path)
    reasons = Counter(reason["reason"].split()[-1] for one in rejected for reason in one["reasons"])
    assert reasons == {"empty": empty, "completion": marked}
    originals = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert all(originals[one["line"] - 1] == one["row"] for one in rejected)
    left_out = {one["line"] for one in rejected}
    kept = [one for line, one in enumerate(originals, start=1) if line not in left_out]
    assert len(kept) == rows - empty - marked
    assert sorted(said(feedback)) == sorted((asked(one["prompt"]), one["chosen"], one["rejected"]) for one in kept)
    whole = [{side: one["prompt"] + one[side] for side in ("chosen", "rejected")} for one in kept]
    assert read(PairFile(path=str(write_lines(tmp_path / "whole.jsonl", whole)))) == feedback


def asked(text: str) -> str:
    """Turn by turn, cut at the empty line before each name."""
    names = {"Human: ": "user", "Assistant: ": "assistant"}
    messages: list[dict] = []
    for part in text.removesuffix("\n\nAssistant:").split("\n\n")[1:]:
        name = next((one for one in names if part.startswith(one)), None)
        if name:
            messages.append({"role": names[name], "content": part.removeprefix(name)})
        else:
            messages[-1]["content"] += f"\n\n{part}"
    return conversation([one | {"content": one["content"].strip()} for one in messages])
