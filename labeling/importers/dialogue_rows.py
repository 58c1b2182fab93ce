"""What a row of a pair or thumb file says was asked and replied, as texts: plain, dialogues in one text, or lists of messages."""

from collections.abc import Sequence
from typing import Any

from labeling.importers.dialogue import ASSISTANT, HUMAN, ROLES, Message, dialogue_messages, dialogue_text
from labeling.sources.bad_rows import BadRows, Row, shown
from labeling.sources.columns import read_text
from models.labeler_names import why_no_name
from models.settings.labels import PairFile, ThumbFile

Asked = tuple[str, list[str]]
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


def read_labeler(row: Row, config: PairFile | ThumbFile, bad: BadRows) -> str:
    """Who said it: the name (a text or whole number) in the labeler column, or the one that the settings give."""
    if config.labeler_column is None:
        return config.labeler
    return read_name(row, config.labeler_column, row.values.get(config.labeler_column), bad)


def read_name(row: Row, field: str, value: Any, bad: BadRows) -> str:
    """A text, or the digits of a whole number; a complaint and an empty text for anything else, and for what looks like another name."""
    if type(value) is int:
        return str(value)
    reason = why_no_name(value) if isinstance(value, str) and value.strip() else "not a text"
    if not reason:
        return value
    found = f"found {shown(value)}" if reason == "not a text" else f"found {shown(value)}: {reason}"
    bad.add(row, field, f"expected a name, {found}")
    return ""


def read_optional_name(row: Row, column: str | None, bad: BadRows) -> str:
    """The name in a column that the settings may name; empty where they name none. A complaint where the row has no such column."""
    if column is None:
        return ""
    if column not in row.values:
        bad.add(row, column, "no such column, but the settings ask for it")
        return ""
    return read_name(row, column, row.values[column], bad)


def read_dialogue(row: Row, prompt: str, fields: Sequence[str], bad: BadRows) -> Asked | None:
    """(prompt, the reply in each field) of a row, by the names of its columns; None after complaints.

    Replies are texts, or lists of messages: the assistant's alone, or the whole dialogue with it last. Without a prompt they are
    whole dialogues that differ in the last turn alone. Empty replies, and those with a dialogue marker inside, are bad.
    """
    replies = [row.values.get(field) for field in fields]
    if all(isinstance(one, str) for one in replies):
        asked = _of_texts(row, prompt, fields, replies, bad)
    elif all(isinstance(one, list) for one in replies):
        asked = _of_messages(row, prompt, fields, replies, bad)
    else:
        asked = None
        for field, one in zip(fields, replies, strict=True):
            kinds = "expected text, or messages everywhere in the row"
            bad.add(row, field, f"{kinds}, found {shown(one)}" if field in row.values else "no such column")
    if asked is None or row in bad:
        return None
    for field, text in zip(fields, asked[1], strict=True):
        if not text.strip():
            bad.add(row, field, "the completion is empty")
        elif HUMAN in text or ASSISTANT in text:
            bad.add(row, field, f"a dialogue marker ({HUMAN!r} or {ASSISTANT!r}) stands inside the completion")
    return None if row in bad else asked


def _of_texts(row: Row, asked: str, fields: Sequence[str], replies: list[str], bad: BadRows) -> Asked | None:
    if asked in row.values or len(fields) == 1:
        return read_text(row, asked, bad), replies
    prompt, marker, _ = replies[0].rpartition(ASSISTANT)
    prompt += marker
    if not (marker and prompt.startswith(HUMAN)):
        return bad.add(row, fields[0], f"there is no prompt, and this is no dialogue from {HUMAN!r} to {ASSISTANT!r}")
    for field, reply in zip(fields, replies, strict=True):
        if not reply.startswith(prompt):
            bad.add(row, field, f"the dialogues differ before the last {ASSISTANT!r}")
    return prompt, [reply.removeprefix(prompt) for reply in replies]


def _of_messages(row: Row, asked: str, fields: Sequence[str], replies: list[list[Any]], bad: BadRows) -> Asked | None:
    lists = [_messages(row, field, said, bad) for field, said in zip(fields, replies, strict=True)]
    has_prompt = asked in row.values or len(fields) == 1
    prompt = _prompt_messages(row, asked, bad) if has_prompt else lists[0][:-1]
    if row in bad:
        return None
    if not prompt:
        return bad.add(row, fields[0], "there is no prompt, and this dialogue has fewer than two messages")
    texts = []
    for field, said in zip(fields, lists, strict=True):
        is_alone = has_prompt and said[: len(prompt)] != prompt
        if said[:-1] == ([] if is_alone else prompt) and said[-1:] and said[-1]["role"] == "assistant":
            texts.append(said[-1]["content"])
        else:
            alone = "alone or " if has_prompt else ""
            bad.add(row, field, f"expected one message of the assistant, {alone}after exactly those of the prompt")
    if not all(one["content"].strip() for one in prompt):
        bad.add(row, asked, "one of its messages is empty")
    if dialogue_messages(dialogue_text(prompt)) != prompt:
        bad.add(row, asked, "one of its messages holds a dialogue marker, or a system message is not the first")
    return dialogue_text(prompt), texts


def _prompt_messages(row: Row, asked: str, bad: BadRows) -> list[Message]:
    given = row.values.get(asked)
    if isinstance(given, list) and given:
        return _messages(row, asked, given, bad)
    return [{"role": "user", "content": read_text(row, asked, bad)}]


def _messages(row: Row, field: str, said: list[Any], bad: BadRows) -> list[Message]:
    """Role and content of the messages of a list; a complaint about each that is none, or that says something beside its content. Other
    fields (a name, an id, a date) are about the message, and left out."""
    messages = []
    for number, one in enumerate(said):
        unsaid = [key for key in BESIDE_THE_CONTENT if one.get(key)] if isinstance(one, dict) else []
        if unsaid:
            reason = "says something that is no text here; leave the row out, or write it into the content"
            bad.add(row, f"{field}.{number}.{unsaid[0]}", f"{reason}, found {shown(one[unsaid[0]])}")
        elif isinstance(one, dict) and isinstance(one.get("content"), str) and one.get("role") in list(ROLES):
            messages.append({"role": one["role"], "content": one["content"]})
        else:
            expected = f"expected {{role, content}} with a role of {', '.join(ROLES)}"
            bad.add(row, f"{field}.{number}", f"{expected}, found {shown(one)}")
    return messages
