"""What a row says was asked and replied, as texts: plain, dialogues in one text, or lists of messages."""

import re
from collections.abc import Sequence
from typing import Any

from labeling.sources.bad_rows import BadRows, Row, shown
from labeling.sources.columns import read_text
from models.conversation import SPEAKERS, Message, conversation, transcript, turns
from models.errors import DataError

Exchange = tuple[str, list[str]]
HUMAN, ASSISTANT, SYSTEM = "\n\nHuman:", "\n\nAssistant:", "\n\nSystem:"
_ROLE_OF = {HUMAN: "user", ASSISTANT: "assistant", SYSTEM: "system"}
_TURN = re.compile(rf"(\A{SYSTEM}|{HUMAN}|{ASSISTANT})")
BESIDE_THE_CONTENT = (
    "tool_calls",
    "function_call",
    "tool_call_id",
    "audio",
    "images",
    "refusal",
    "reasoning_content",
    "thinking",
)
"""Fields of messages (those of OpenAI's and Hugging Face's chat formats) in which a part of what was said may stand."""


def read_prompt(row: Row, field: str, bad: BadRows) -> str:
    """The prompt in a column; an empty text after a complaint.

    A text stands as it is, unless it is a dialogue in the form of Anthropic's HH data, `\\n\\nHuman: …\\n\\nAssistant:`: that is the
    conversation it tells, as is a list of messages {role, content}. Of a list of texts, as MT-bench has the user's turns, the first is
    the prompt: the others answer replies that are not there.
    """
    value = row.values.get(field)
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        messages: list[Message] | None = [_user(value[0])]
    elif isinstance(value, list) and value:
        messages = _messages(row, field, value, bad)
    else:
        text = read_text(row, field, bad)
        messages = _dialogue(text) if text else None
    return _asked(row, field, messages, bad) if messages is not None else ""


def read_exchange(row: Row, prompt: str | None, fields: Sequence[str], bad: BadRows) -> Exchange | None:
    """(prompt, the reply in each field) of a row, by the names of its columns; None after complaints.

    Replies are texts, or lists of messages: the assistant's alone, or the whole dialogue with it last. Without a prompt they are
    whole dialogues that differ in the last turn alone. Empty replies, and those with a dialogue marker inside, are bad.
    """
    replies = [row.values.get(field) for field in fields]
    if all(isinstance(one, str) for one in replies):
        found = _of_texts(row, prompt, fields, replies, bad)
    elif all(isinstance(one, list) for one in replies):
        found = _of_messages(row, prompt, fields, replies, bad)
    else:
        found = None
        for field, one in zip(fields, replies, strict=True):
            kinds = "expected text, or messages everywhere in the row"
            bad.add(row, field, f"{kinds}, found {shown(one)}" if field in row.values else "no such column")
    if found is None or row in bad:
        return None
    for field, text in zip(fields, found[1], strict=True):
        if not text.strip():
            bad.add(row, field, "the completion is empty")
        elif HUMAN in text or ASSISTANT in text:
            bad.add(row, field, f"a dialogue marker ({HUMAN!r} or {ASSISTANT!r}) stands inside the completion")
    return None if row in bad else found


def read_reply(row: Row, field: str, prompt: str, bad: BadRows) -> str:
    """The reply in a column, a text as it stands or a message of the assistant, alone or after those of the prompt; an empty text after
    a complaint."""
    value = row.values.get(field)
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        bad.add(row, field, f"expected a text, found {shown(value)}" if field in row.values else "no such column")
        return ""
    said = _messages(row, field, value, bad)
    return _reply(row, field, said, prompt, True, bad) if said is not None and prompt else ""


def read_demonstration(row: Row, prompt: str, completion: str, bad: BadRows) -> tuple[str, str]:
    """(prompt, completion) of two columns, or of whole dialogues where one column is named twice; empty texts after complaints."""
    found = read_exchange(row, None if prompt == completion else prompt, (completion,), bad)
    return (found[0], found[1][0]) if found else ("", "")


def _of_texts(row: Row, asked: str | None, fields: Sequence[str], replies: list[str], bad: BadRows) -> Exchange | None:
    if asked is not None:
        return read_prompt(row, asked, bad), replies
    start, marker, _ = replies[0].rpartition(ASSISTANT)
    if not (marker and start.startswith((HUMAN, SYSTEM))):
        return bad.add(row, fields[0], f"there is no prompt, and this is no dialogue from {HUMAN!r} to {ASSISTANT!r}")
    start += marker
    for field, reply in zip(fields, replies, strict=True):
        if not reply.startswith(start):
            bad.add(row, field, f"the dialogues differ before the last {ASSISTANT!r}")
    return _asked(row, fields[0], _dialogue(start), bad), [reply.removeprefix(start) for reply in replies]


def _of_messages(
    row: Row, asked: str | None, fields: Sequence[str], replies: list[list[Any]], bad: BadRows
) -> Exchange | None:
    lists = [_messages(row, field, said, bad) for field, said in zip(fields, replies, strict=True)]
    if asked is not None:
        prompt = read_prompt(row, asked, bad)
    elif lists[0] is None:
        return None
    elif len(lists[0]) < 2:
        return bad.add(row, fields[0], "there is no prompt, and this dialogue has fewer than two messages")
    else:
        prompt = _asked(row, fields[0], lists[0][:-1], bad)
    if not prompt or None in lists:
        return None
    may_be_alone = asked is not None
    return prompt, [
        _reply(row, field, said, prompt, may_be_alone, bad) for field, said in zip(fields, lists, strict=True)
    ]


def _reply(row: Row, field: str, said: list[Message], prompt: str, may_be_alone: bool, bad: BadRows) -> str:
    before = turns(prompt)
    is_alone = may_be_alone and said[: len(before)] != before
    if said[:-1] == ([] if is_alone else before) and said[-1:] and said[-1]["role"] == "assistant":
        return said[-1]["content"]
    alone = "alone or " if may_be_alone else ""
    bad.add(row, field, f"expected one message of the assistant, {alone}after exactly those of the prompt")
    return ""


def dialogue_text(prompt: str) -> str:
    """The prompt as one text for readers of plain text; a conversation as such a dialogue, up to where a reply begins.

    Read again it is the same conversation, unless somebody says what looks like a marker, or what has white space around it.
    """
    return prompt if len(turns(prompt)) == 1 else f"\n\n{transcript(prompt)}{ASSISTANT}"


def _dialogue(text: str) -> list[Message]:
    """The turns of a text that is such a dialogue up to where a reply begins, without the white space around the markers; else one turn
    of the user."""
    if not (text.startswith((HUMAN, SYSTEM)) and text.rstrip().endswith(ASSISTANT)):
        return [_user(text)]
    _, *parts = _TURN.split(text.rstrip().removesuffix(ASSISTANT))
    said = zip(parts[::2], parts[1::2], strict=True)
    return [{"role": _ROLE_OF[marker], "content": content.strip()} for marker, content in said]


def _asked(row: Row, field: str, messages: Sequence[Message], bad: BadRows) -> str:
    try:
        return conversation(messages)
    except DataError as error:
        bad.add(row, field, str(error))
        return ""


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _messages(row: Row, field: str, said: list[Any], bad: BadRows) -> list[Message] | None:
    """Role and content of the messages of a list; a complaint about each that is none, or that says something beside its content. Other
    fields (a name, an id, a date) are about the message, and left out."""
    messages = []
    for number, one in enumerate(said):
        unsaid = [key for key in BESIDE_THE_CONTENT if one.get(key)] if isinstance(one, dict) else []
        if unsaid:
            reason = "says something that is no text here; leave the row out, or write it into the content"
            bad.add(row, f"{field}.{number}.{unsaid[0]}", f"{reason}, found {shown(one[unsaid[0]])}")
        elif isinstance(one, dict) and isinstance(one.get("content"), str) and one.get("role") in list(SPEAKERS):
            messages.append({"role": one["role"], "content": one["content"]})
        else:
            expected = f"expected {{role, content}} with a role of {', '.join(SPEAKERS)}"
            bad.add(row, f"{field}.{number}", f"{expected}, found {shown(one)}")
    return messages if len(messages) == len(said) else None
