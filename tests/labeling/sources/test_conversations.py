"""Prompts and demonstrations that are conversations, in every form that files have them."""

import json

import pytest
from datasets import Dataset

from labeling.sources.read_source import read_demonstrations, read_prompts, read_texts
from models.conversation import conversation
from models.errors import DataError
from models.settings.sources import DemonstrationFile, DemonstrationHub, SelfInstruct, TextFile, TextHub


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


TALK = [said("system", "Be brief."), said("user", "Hi"), said("assistant", "Hello!"), said("user", "Name a fruit.")]
FRUIT = said("assistant", "Plum")
ASKED = conversation(TALK)
HH = "\n\nSystem: Be brief.\n\nHuman: Hi \n\nAssistant: Hello!\n\nHuman: Name a fruit.\n\nAssistant:"


def write(path, rows) -> str:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        Dataset.from_list(rows).to_parquet(path)
    else:
        Dataset.from_list(rows).save_to_disk(path)
    return str(path)


@pytest.mark.parametrize("ending", [".jsonl", ".parquet", ""])
def test_a_column_of_messages_holds_prompts(tmp_path, ending):
    name = write(tmp_path / f"rows{ending}", [{"asked": TALK}, {"asked": [said("user", "Hi") | {"name": "ann"}]}])
    source = TextFile(path=name, column="asked") if ending else TextHub(name=name, column="asked")
    assert read_prompts(source, 0) == [ASKED, "Hi"]


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".txt"])
def test_a_dialogue_in_one_text_is_a_conversation(tmp_path, ending):
    path = tmp_path / f"rows{ending}"
    if ending == ".csv":
        path.write_text(f'text\n"{HH}"\n', encoding="utf-8")
    elif ending == ".txt":
        path.write_text("Human: Hi\n", encoding="utf-8")
    else:
        write(path, [{"text": HH}])
    assert read_prompts(TextFile(path=str(path)), 0) == (["Human: Hi"] if ending == ".txt" else [ASKED])


def test_of_the_turns_of_one_user_the_first_is_the_prompt(tmp_path):
    """As in MT-bench; a second turn asks about a reply that is not there."""
    rows = [{"question_id": 81, "turns": ["Write a blog post.", "Rewrite it."]}, {"question_id": 1, "turns": ["Why?"]}]
    source = TextFile(path=write(tmp_path / "questions.jsonl", rows), column="turns")
    assert read_prompts(source, 0) == ["Write a blog post.", "Why?"]


@pytest.mark.parametrize(
    ("row", "prompt_column", "completion_column"),
    [
        ({"prompt": TALK, "completion": "Plum"}, "prompt", "completion"),
        ({"prompt": TALK, "completion": [FRUIT]}, "prompt", "completion"),
        ({"prompt": TALK, "completion": [*TALK, FRUIT]}, "prompt", "completion"),
        ({"prompt": HH, "completion": "Plum"}, "prompt", "completion"),
        ({"messages": [*TALK, FRUIT]}, "messages", "messages"),
        ({"text": f"{HH}Plum"}, "text", "text"),
    ],
)
@pytest.mark.parametrize("ending", [".jsonl", ""])
def test_demonstrations_answer_conversations(tmp_path, ending, row, prompt_column, completion_column):
    name = write(tmp_path / f"rows{ending}", [row])
    columns = {"prompt_column": prompt_column, "completion_column": completion_column}
    source = DemonstrationFile(path=name, **columns) if ending else DemonstrationHub(name=name, **columns)
    assert read_demonstrations(source, 0, None) == [(ASKED, "Plum")]


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (TALK[:3], "text: the last turn must be the user's"),
        ([TALK[1], said("assistant", " "), TALK[3]], "text: turn 2 of 3 is empty"),
        (TALK[1:] + TALK[:1] + TALK[3:], "text: turn 4 of 5 is a system message"),
        ([TALK[1] | {"images": ["a.png"]}], "text.0.images: says something that is no text here"),
        (
            [said("user", "Hi"), said("tool", "4")],
            "text.1: expected {role, content} with a role of system, user, assistant",
        ),
        (["Hi", said("user", "Ho")], "text.0: expected {role, content}"),
        ([], "text: expected text, found []"),
        ([""], "text: turn 1 of 1 is empty"),
        (ASKED, "text: it begins with U+001E"),
        ("\x1eHi", "text: it begins with U+001E"),
        ([said("user", ASKED)], "text: it begins with U+001E"),
    ],
)
def test_what_cannot_be_asked_is_a_bad_row(tmp_path, prompt, reason):
    rows = [{"text": "good"}, {"text": prompt}]
    source = TextFile(path=write(tmp_path / "rows.jsonl", rows))
    with pytest.raises(DataError) as caught:
        read_prompts(source, 0)
    assert f"(bad rows: 1):\n  {source.path}:2: {reason}" in str(caught.value)
    assert read_prompts(source, 0, set_aside=tmp_path / "rejected.jsonl") == ["good"]


def test_nobody_forges_a_conversation_in_what_is_text(tmp_path):
    task = {"instruction": ASKED, "input": "", "output": "a"}
    for name, rows, read in (
        ("tasks", [task], lambda path: read_prompts(SelfInstruct(path=path), 0)),
        ("texts", [{"text": ASKED}], lambda path: read_texts(TextFile(path=path), 0, None)),
    ):
        with pytest.raises(DataError, match=r"begins with U\+001E"):
            read(write(tmp_path / f"{name}.jsonl", rows))
