"""A prompt is one text: what a user asks, or a whole conversation, written so that nothing that anybody says can pass for turns.

A conversation of one turn of the user is that turn's text. Any other is a record of a JSON text sequence (RFC 7464): the character
U+001E and its messages as canonical JSON. Other prompts do not begin with that character, so each conversation has one form, and
each prompt one meaning.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator

from models.errors import DataError

Message = dict[str, str]

SPEAKERS = {"system": "System", "user": "Human", "assistant": "Assistant"}
"""Role -> what readers see, as in Anthropic's HH data (Bai et al. 2022)."""
RECORD = "\x1e"


def conversation(messages: Sequence[Message]) -> str:
    """The prompt that asks for what comes after these messages {role, content}.

    Raises DataError where nothing can: the last turn is not the user's, one is empty, or a system message is not the first.
    """
    if reason := _why_none(messages):
        raise DataError(reason)
    if len(messages) == 1:
        return messages[0]["content"]
    said = [{"role": one["role"], "content": one["content"]} for one in messages]
    return RECORD + json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def turns(prompt: str) -> list[Message]:
    """The messages of a prompt. Raises DataError for a text that begins with U+001E and is no conversation."""
    if not prompt.startswith(RECORD):
        return [{"role": "user", "content": prompt}]
    try:
        messages = json.loads(prompt.removeprefix(RECORD))
    except (ValueError, RecursionError):
        messages = None
    if not _are_messages(messages) or len(messages) == 1 or conversation(messages) != prompt:
        raise DataError(f"it begins with U+001E, as conversations do, and is none: {prompt[:80]!r}")
    return messages


def transcript(prompt: str) -> str:
    """The prompt as people read it; the turns of a conversation below each other, each behind who said it."""
    if not prompt.startswith(RECORD):
        return prompt
    return "\n\n".join(f"{SPEAKERS[one['role']]}: {one['content']}" for one in turns(prompt))


def _with_one_meaning(text: str) -> str:
    try:
        turns(text)
    except DataError as error:
        raise ValueError(str(error)) from None
    return text


PromptText = Annotated[str, AfterValidator(_with_one_meaning)]
"""The text of a prompt in a record: what a user asks, or a conversation."""


def _why_none(messages: Sequence[Message]) -> str:
    """Why nothing can be asked with these messages; empty where something can."""
    if not messages or messages[-1]["role"] != "user":
        return "the last turn must be the user's: a completion is what comes after it"
    for number, one in enumerate(messages, start=1):
        if not one["content"].strip():
            return f"turn {number} of {len(messages)} is empty"
        if one["role"] == "system" and number > 1:
            return f"turn {number} of {len(messages)} is a system message, which can only be the first"
    if len(messages) == 1 and messages[0]["content"].startswith(RECORD):
        return "it begins with U+001E, with which only conversations begin"
    return ""


def _are_messages(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict)
        and one.keys() == {"role", "content"}
        and isinstance(one["content"], str)
        and one["role"] in list(SPEAKERS)
        for one in value
    )
