"""Dialogues as one text, and back: a prompt is text everywhere in Rein, also when it is a conversation of several turns.

A single message of the user is its own text. Any other conversation is written the way of Anthropic's HH data (Bai et al. 2022):
`\\n\\nHuman: …\\n\\nAssistant: …\\n\\nHuman: …\\n\\nAssistant:`, a system message first as `\\n\\nSystem: …`. Text to messages to text
gives the same text, always.
"""

import re
from collections.abc import Sequence

Message = dict[str, str]

HUMAN, ASSISTANT, SYSTEM = "\n\nHuman:", "\n\nAssistant:", "\n\nSystem:"
ROLES = {"system": SYSTEM, "user": HUMAN, "assistant": ASSISTANT}
_ROLE_OF = {marker: role for role, marker in ROLES.items()}
_TURN = re.compile(rf"(\A{SYSTEM}|{HUMAN}|{ASSISTANT}) ")


def dialogue_text(messages: Sequence[Message]) -> str:
    """The conversation up to where the assistant's reply begins, as one text."""
    if len(messages) == 1 and messages[0]["role"] == "user":
        return messages[0]["content"]
    return "".join(f"{ROLES[one['role']]} {one['content']}" for one in messages) + ASSISTANT


def dialogue_messages(prompt: str) -> list[Message]:
    """The messages behind a prompt; one message of the user where the text is no dialogue of that form."""
    if prompt.endswith(ASSISTANT):
        start, *turns = _TURN.split(prompt.removesuffix(ASSISTANT))
        said = zip(turns[::2], turns[1::2], strict=True)
        messages = [{"role": _ROLE_OF[marker], "content": content} for marker, content in said]
        if not start and messages and dialogue_text(messages) == prompt:
            return messages
    return [{"role": "user", "content": prompt}]
