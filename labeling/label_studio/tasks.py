"""What the tasks of a Label Studio export show: prompts and completions by their texts, also where Rein pushed them under ids."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from labeling.feedback import ShownTexts
from labeling.sources.bad_rows import BadRows, Row, shown
from models.conversation import RECORD, conversation, transcript
from models.errors import DataError
from models.preferences.splits import assign_split
from models.records import Completion, Prompt, Split
from models.settings.pipeline import SplitConfig

PAIR = ("answer1", "answer2")


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Item(_Strict):
    id: str | int
    body: str


class _PushedItem(_Item):
    id: str
    ended: bool


class _Message(_Strict):
    role: Literal["system", "user", "assistant"]
    content: str


class _Task(_Strict):
    prompt: Annotated[str, StringConstraints(pattern=r"\S")]
    items: Annotated[list[_Item], Field(min_length=2)]

    @property
    def asked(self) -> str:
        """The prompt as it stands in records."""
        return self.prompt

    @model_validator(mode="after")
    def _begins_as_text(self) -> "_Task":
        if self.prompt.startswith(RECORD):
            raise ValueError("prompt: it begins with U+001E, which no plain text does")
        return self

    @model_validator(mode="after")
    def _items_differ(self) -> "_Task":
        _require_different("id", [str(one.id) for one in self.items])
        _require_different("body", [one.body for one in self.items])
        return self


class _PushedTask(_Task):
    prompt_id: str
    split: Split
    criterion: str
    items: Annotated[list[_PushedItem], Field(min_length=2)]
    messages: list[_Message] | None = None

    @property
    def asked(self) -> str:
        """What the messages say; `prompt` is how the page shows them."""
        return self.prompt if self.messages is None else conversation([one.model_dump() for one in self.messages])

    @model_validator(mode="after")
    def _shows_what_it_says(self) -> "_PushedTask":
        try:
            told = transcript(self.asked)
        except DataError as error:
            raise ValueError(f"messages: {error}") from None
        if told != self.prompt:
            raise ValueError("messages: they say something else than the prompt that was shown")
        return self


def _require_different(field: str, values: list[str]) -> None:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"two items have the same {field}: {', '.join(map(shown, twice))}")


class ShownTask(NamedTuple):
    """A task as its labelers saw it. `completion_ids`: id on the page -> completion id, in the order of the task."""

    place: str
    prompt_id: str
    completion_ids: dict[str, str]

    @property
    def order_on_page(self) -> list[str]:
        """The ids from top to bottom: Label Studio puts those that are whole numbers first, the smallest at the top."""
        return sorted(self.completion_ids, key=lambda name: (0, int(name)) if is_whole_number(name) else (1, 0))


class TaskTexts:
    """Gathers prompts and completions task by task; what does not fit what was there before goes to `bad`."""

    def __init__(self, criterion: str, split: SplitConfig, seed: int, bad: BadRows):
        self._criterion, self._split, self._seed, self._bad = criterion, split, seed, bad
        self._shown = ShownTexts()
        self._sides: dict[str, Split] = {}
        self._pushed_texts: dict[str, str] = {}

    @property
    def prompts(self) -> list[Prompt]:
        """The prompts of all good tasks."""
        return self._shown.prompts

    @property
    def completions(self) -> list[Completion]:
        """The completions of all good tasks."""
        return self._shown.completions

    def take(self, row: Row) -> ShownTask | None:
        """What the task shows; None, with the reasons in the bad rows, for a bad one."""
        place = f"task {row.values.get('id')}"
        data = row.values.get("data")
        if not isinstance(data, dict):
            found = f"expected an object, found {shown(data)}; export as JSON, not as JSON-MIN"
            return self._bad.add(row, f"{place}: data", found)
        if "items" not in data and all(name in data for name in PAIR):
            data = data | {"items": [{"id": name, "body": data[name]} for name in PAIR]}
        try:
            read = (_PushedTask if "prompt_id" in data else _Task).model_validate(data)
        except ValidationError as error:
            for item in error.errors():
                field = ".".join(("data", *(str(part) for part in item["loc"])))
                self._bad.add(row, f"{place}: {field}", item["msg"].removeprefix("Value error, "))
            return None
        side = read.split if isinstance(read, _PushedTask) else assign_split(read.asked, self._split, self._seed)
        problems = list(self._problems(data, read, side))
        for field, reason in problems:
            self._bad.add(row, f"{place}: data.{field}", reason)
        return None if problems else self._keep(place, read, side)

    def _problems(self, data: dict, read: _Task, side: Split) -> Iterator[tuple[str, str]]:
        """(field, reason) of all that contradicts the settings or an earlier task."""
        if data.get("criterion", self._criterion) != self._criterion:
            reason = f"it was ranked by {shown(data['criterion'])}, but the settings say {shown(self._criterion)}"
            yield "criterion", reason
        known = self._sides.get(read.asked, side)
        if known != side:
            yield "split", f"{side}, but the same text is {known} in an earlier task"
        elif isinstance(read, _PushedTask):
            if self._pushed_texts.get(read.prompt_id, read.asked) != read.asked:
                yield "prompt", f"{read.prompt_id} has another text in an earlier task"
            for one in read.items:
                if self._pushed_texts.get(one.id, one.body) != one.body:
                    yield "items", f"{one.id} is another completion in an earlier task"

    def _keep(self, place: str, read: _Task, side: Split) -> ShownTask:
        prompt = self._shown.prompt(read.asked, side)
        self._sides[prompt.text] = side
        if isinstance(read, _PushedTask):
            self._pushed_texts |= {read.prompt_id: read.asked, **{one.id: one.body for one in read.items}}
        ids = {
            str(one.id): self._shown.completion(prompt, one.body, getattr(one, "ended", True)).id for one in read.items
        }
        return ShownTask(place, prompt.id, ids)


def is_whole_number(name: str) -> bool:
    """Whether a browser takes this id for a place in a list and so shows its item before all others, in numeric order."""
    return re.fullmatch("0|[1-9][0-9]{0,8}", name) is not None
