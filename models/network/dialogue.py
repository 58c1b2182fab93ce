"""Conversations as the model's makers write them down: the template's words around what is said, and where a turn ends.

The one place that knows templates, ends of turns and control tokens. What somebody says is text, whatever it spells: it never becomes
a control token. Everywhere else a prompt or completion is text, or a plain list of token ids.
"""

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import pairwise

from jinja2 import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.conversation import transcript, turns
from models.errors import ConfigError, DataError

PLAIN_CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ message['content'] }}\n"
    "{% else %}{{ message['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
"""The template of models trained from scratch: the prompt, a line break, the completion."""

Message = Mapping[str, str]
Argument = str | bool | int | float
ASKED, SAID = "How are you?", "Fine"
DATE = re.compile(r"""strftime_now\(\s*(['"])(.*?)\1\s*\)""")


def encode_prompt(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a prompt, turn by turn in the tokenizer's chat template, up to where the completion begins.

    Raises DataError for a conversation that the template does not write, such as one with a system message.
    """
    try:
        return _dialogue(tokenizer).prompt(turns(text))
    except ConfigError as error:
        raise DataError(f"{error}: {transcript(text)[:80]!r}") from None


def encode_completion(tokenizer: PreTrainedTokenizerBase, text: str, ended: bool) -> list[int]:
    """Token ids of a completion without its outer white space, as they stand behind a prompt; with the end of the turn when it `ended`.

    The same text gives the same tokens in every stage, behind whatever prompt.
    """
    dialogue = _dialogue(tokenizer)
    tokens = dialogue.completion(text.strip())
    return tokens + dialogue.end if ended else tokens


def written_completion(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """A completion with the end of its turn, as text that stands behind a prompt in the template."""
    dialogue = _dialogue(tokenizer)
    return dialogue._around[0] + text.strip() + tokenizer.decode(dialogue.end)


def encode_document(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text that stands by itself, in no conversation, and the end-of-sequence token."""
    dialogue = _dialogue(tokenizer)
    last = dialogue.end[-1] if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    return [*dialogue.content("", text), last]


def decode_completion(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    """The text of a completion's tokens, control tokens left out, outer white space stripped."""
    return tokenizer.decode(tokens, skip_special_tokens=True).strip()


def end_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that the template puts where a turn ends: the end-of-sequence token, where it puts none."""
    return _dialogue(tokenizer).end[-1]


def end_tokens(model: PreTrainedModel) -> list[int]:
    """The tokens that end a completion: those of the model's generation config, where a base was given all of its own when it was loaded."""
    ends = model.generation_config.eos_token_id
    return [ends] if isinstance(ends, int) else list(ends or [])


def pad_token(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """A control token that ends no turn, to fill rows with: the tokenizer's own, or another one. None: it has none."""
    ends = {end_token(tokenizer), tokenizer.eos_token_id}
    known = [tokenizer.pad_token, tokenizer.unk_token, *_dialogue(tokenizer).names]
    return next((name for name in known if name and tokenizer.convert_tokens_to_ids(name) not in ends), None)


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Raises ConfigError, saying which key to set, when a tokenizer cannot serve: it has no template, no end of a turn, or the template
    does not write a completion behind its prompt as they are learned from."""
    if not tokenizer.chat_template:
        raise ConfigError(f"base model {name}: its tokenizer has no chat template; set base.chat_template")
    try:
        dialogue = _dialogue(tokenizer)
        ours = dialogue.prompt([_user(ASKED)]) + encode_completion(tokenizer, SAID, ended=True)
    except ConfigError as error:
        raise ConfigError(f"base model {name}: {error}") from None
    rendered = dialogue.ids(dialogue.render([_user(ASKED), {"role": "assistant", "content": SAID}]))
    if rendered[: len(ours)] != ours:
        raise ConfigError(
            f"base model {name}: its template writes a conversation as {tokenizer.decode(rendered)!r}; prompt, completion and end of "
            f"the turn by themselves are {tokenizer.decode(ours)!r}; set base.chat_template"
        )


def fixed_template(
    template: str, arguments: Mapping[str, Argument], system_prompt: str | None, date: datetime.date
) -> str:
    """The template with what it depends on besides the messages written into it, so that every stage and every export reads the same.

    `arguments` are its own variables (`enable_thinking`); `system_prompt` opens conversations that have none; `date` is what
    `strftime_now` gives.
    """
    said = "".join(f"{{%- set {name} = {_literal(value)} -%}}" for name, value in arguments.items())
    if formats := sorted({format for _, format in DATE.findall(template)}):
        days = _literal({one: date.strftime(one) for one in formats})
        said += f"{{%- macro strftime_now(format) -%}}{{{{ {days}[format] }}}}{{%- endmacro -%}}"
    if system_prompt is not None:
        first = _literal([{"role": "system", "content": system_prompt}])
        said += (
            f"{{%- if messages[0]['role'] != 'system' -%}}{{%- set messages = {first} + messages -%}}{{%- endif -%}}"
        )
    return said + template


def _literal(value: object) -> str:
    """Texts, numbers, yes and no, lists and dicts of them are in Jinja what they are in JSON."""
    return json.dumps(value, ensure_ascii=False)


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


class _Dialogue:
    """What a tokenizer and its template make of what is said."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        special = {token.content: name for name, token in tokenizer.added_tokens_decoder.items() if token.special}
        special |= dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
        self.special = frozenset(special.values())
        # an unknown word is no control, unless the tokenizer ends turns with the very token that it has for one
        self.control = self.special - ({tokenizer.unk_token_id} - {tokenizer.eos_token_id})
        self.names = list(special)
        spelled = sorted(filter(None, special), key=len, reverse=True)
        self.spelled = re.compile("|".join(map(re.escape, spelled)) if spelled else r"(?!)")
        self._frames: dict[tuple[str, ...], list[int]] = {}
        self._before: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        """Tokens of the template's own words: control tokens are what they spell."""
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def render(self, messages: Sequence[Message], asks: bool = False) -> str:
        """A conversation in the template's words; with `asks` up to where the next completion begins."""
        try:
            return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=asks)
        except TemplateError as error:
            raise ConfigError(f"its chat template cannot write a conversation: {error}") from None

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of a conversation, up to where the next completion begins."""
        tokens = self.ids(self.render(messages, asks=True))
        frame = self._frame(tuple(message["role"] for message in messages))
        if [token for token in tokens if token in self.special] == frame:
            return tokens
        tokens = self._prompt_with_guarded_contents(messages)
        if self._controls(tokens) != self._controls(frame):
            raise DataError(
                f"a prompt spells a control token in a way that cannot be kept text: {messages[-1]['content'][:80]!r}"
            )
        return tokens

    def _prompt_with_guarded_contents(self, messages: Sequence[Message]) -> list[int]:
        """As `prompt`, with each content cut out of the template's words and encoded as text."""
        plain = self.render(messages, asks=True)
        marks = [f"\ue000{place}\ue001" for place in range(len(messages))]
        marked = [{**message, "content": mark} for message, mark in zip(messages, marks, strict=True)]
        pieces = re.split("\ue000(\\d+)\ue001", self.render(marked, asks=True))
        tokens = self.ids(pieces[0])
        for before, place, after in zip(pieces[::2], pieces[1::2], pieces[2::2], strict=False):
            said = messages[int(place)]["content"]
            tokens += self.content(self._tail(before), said if said in plain else said.strip())
            tokens += self.ids(after)
        return tokens

    def content(self, before: str, text: str) -> list[int]:
        """Tokens of what somebody says, as they stand behind the template's words `before`; none is a control token."""
        cuts = [0, *(match.start() + 1 for match in self.spelled.finditer(text)), len(text)]
        tokens = self._in_parts(before, [text[start:end] for start, end in pairwise(cuts)])
        if not self.control.isdisjoint(tokens):  # spelled in letters that the tokenizer takes for others
            tokens = self._in_parts(before, list(text))
        if not self.control.isdisjoint(tokens):
            raise DataError(f"a text spells a control token in a way that cannot be kept text: {text[:80]!r}")
        return tokens

    def _in_parts(self, before: str, parts: Sequence[str]) -> list[int]:
        tokens = self._behind(before, parts[0]) if parts else []
        for part in parts[1:]:
            tokens += self._behind("\n", part)  # behind what it really follows, it would spell a control token again
        return tokens

    def _behind(self, before: str, text: str) -> list[int]:
        """Tokens of a text without the mark that some tokenizers put before a text that begins."""
        if not text:
            return []
        if before not in self._before:
            self._before[before] = self.ids(before)
        known, together = self._before[before], self.ids(before + text)
        return together[len(known) :] if together[: len(known)] == known else self.ids(text)

    def completion(self, text: str) -> list[int]:
        """Tokens of a completion behind any prompt. White space that the template writes before it, unasked, is the completion's."""
        return self.content(self._tail(self._asked), self._around[0] + text)

    @cached_property
    def end(self) -> list[int]:
        """Tokens from the end of a completion to the first control token that the template puts behind it."""
        before, after = self._around
        found = self.spelled.search(after)
        if found is None:
            if self.tokenizer.eos_token_id is None:
                raise ConfigError(
                    "its template ends no turn and its tokenizer has no end-of-sequence token, so no completion could end"
                )
            return [self.tokenizer.eos_token_id]
        return self._behind(self._tail(self._asked + before + SAID), after[: found.end()])

    @cached_property
    def _asked(self) -> str:
        return self.render([_user(ASKED)], asks=True)

    @cached_property
    def _around(self) -> tuple[str, str]:
        """What the template writes between prompt and completion that it does not ask for, and behind the completion."""
        answered = self.render([_user(ASKED), {"role": "assistant", "content": SAID}])
        before, _, after = answered.removeprefix(self._asked).partition(SAID)
        if not answered.startswith(self._asked) or before.strip():
            raise ConfigError(
                f"its template asks for a completion with {self._asked!r}, and writes one as {answered!r}: what is asked is no beginning of "
                "what is written; set base.template_arguments (such as enable_thinking: false) or base.chat_template"
            )
        return before, after

    def _tail(self, words: str) -> str:
        """From the last control token on, so that it is short and begins where tokens do."""
        last = max((match.start() for match in self.spelled.finditer(words)), default=0)
        return words[last:]

    def _frame(self, roles: tuple[str, ...]) -> list[int]:
        """The template's own special tokens in a conversation of these roles."""
        if roles not in self._frames:
            plain = [{"role": role, "content": SAID} for role in roles]
            tokens = self.ids(self.render(plain, asks=True))
            self._frames[roles] = [token for token in tokens if token in self.special]
        return self._frames[roles]

    def _controls(self, tokens: Sequence[int]) -> list[int]:
        return [token for token in tokens if token in self.control]


@lru_cache(maxsize=8)
def _dialogue_of(tokenizer: PreTrainedTokenizerBase, template: str, end: int | None) -> _Dialogue:
    return _Dialogue(tokenizer)


def _dialogue(tokenizer: PreTrainedTokenizerBase) -> _Dialogue:
    """Made once for each tokenizer, template and end."""
    return _dialogue_of(tokenizer, tokenizer.chat_template, tokenizer.eos_token_id)
