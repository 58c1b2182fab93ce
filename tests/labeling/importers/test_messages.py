"""Messages with more fields than role and content: what is about a message is left out, what says something makes the row bad."""

import pytest

from tests.labeling.importers.feedback_files import read, refusal
from tests.labeling.importers.test_pair_file import assistant, pair, pairs, said, user


def test_what_is_about_a_message_is_left_out(tmp_path):
    row = pair(
        [user("Hi") | {"name": "ann", "id": 3, "tool_calls": []}],
        [user("Hi"), assistant(" Plum") | {"timestamp": "2024-01-01", "weight": 0.5, "refusal": None}],
        [user("Hi") | {"name": "bob"}, assistant(" Sand") | {"toxic": False, "images": []}],
    )
    assert said(read(pairs(tmp_path, row))) == [("Hi", " Plum", " Sand")]


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (
            pair([user("Hi")], [assistant("a") | {"tool_calls": [{"name": "search"}]}], [assistant("b")]),
            "chosen.0.tool_calls: says something that is no text here; leave the row out, or write it into the content, found [{'name'",
        ),
        (
            pair(
                [user("Hi")], [assistant("a")], [{"role": "assistant", "content": None, "function_call": {"name": "f"}}]
            ),
            "rejected.0.function_call: says something that is no text here",
        ),
        (
            pair([user("Hi") | {"images": ["a.png"]}], [assistant("a")], [assistant("b")]),
            "prompt.0.images: says something that is no text here",
        ),
        (
            pair([user("Hi")], [assistant("a") | {"reasoning_content": "Hm."}], [assistant("b")]),
            "chosen.0.reasoning_content: says something that is no text here",
        ),
        (
            pair([{"content": "Hi", "name": "x"}], [assistant("a")], [assistant("b")]),
            "prompt.0: expected {role, content}",
        ),
        (
            pair([user("Hi")], [assistant("a") | {"content": ["a"]}], [assistant("b")]),
            "chosen.0: expected {role, content}",
        ),
    ],
)
def test_a_message_that_is_more_than_its_text_or_none_is_named(tmp_path, bad, complaint):
    message = refusal(pairs(tmp_path, pair(), bad))
    assert f"pairs.jsonl:2: {complaint}" in message and "(bad rows: 1)" in message
