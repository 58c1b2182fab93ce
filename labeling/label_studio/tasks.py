"""What the tasks of a Label Studio export show: prompts and completions, by the ids under which Rein pushed them or by their texts."""

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from labeling.feedback import ShownTexts
from labeling.importers.bad_rows import BadRows, Row, shown
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
    index: Annotated[int, Field(ge=0)]
    ended: bool


class _Task(_Strict):
    prompt: Annotated[str, StringConstraints(pattern=r"\S")]
    items: Annotated[list[_Item], Field(min_length=2)]

    @model_validator(mode="after")
    def _items_differ(self) -> "_Task":
        _require_different("id", [str(one.id) for one in self.items])
        return self


class _ForeignTask(_Task):
    @model_validator(mode="after")
    def _texts_differ(self) -> "_ForeignTask":
        _require_different("body", [one.body for one in self.items])
        return self


class _PushedTask(_Task):
    prompt_id: str
    split: Split
    criterion: str
    items: Annotated[list[_PushedItem], Field(min_length=2)]

    @model_validator(mode="after")
    def _indices_differ(self) -> "_PushedTask":
        _require_different("index", [one.index for one in self.items])
        return self


def _require_different(field: str, values: list[str] | list[int]) -> None:
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
        self._by_text = ShownTexts()
        self._prompts: dict[str, Prompt] = {}
        self._sides: dict[str, Split] = {}
        self._completions: dict[str, Completion] = {}
        self._indices: dict[tuple[str, int], str] = {}

    @property
    def prompts(self) -> list[Prompt]:
        """The prompts of all good tasks, in their order."""
        return list(self._prompts.values())

    @property
    def completions(self) -> list[Completion]:
        """The completions of all good tasks, in their order and within a task by index."""
        return list(self._completions.values())

    def take(self, row: Row) -> ShownTask | None:
        """What the task shows; None, with the reasons in the bad rows, for a bad one."""
        place = f"task {row.values.get('id')}"
        data = row.values.get("data")
        if not isinstance(data, dict):
            found = f"expected an object, found {shown(data)}; export as JSON, not as JSON-MIN"
            return self._bad.add(row, f"{place}: data", found)
        try:
            read = self._pushed(data) if "prompt_id" in data else self._by_texts(data)
        except ValidationError as error:
            for item in error.errors():
                field = ".".join(("data", *(str(part) for part in item["loc"])))
                self._bad.add(row, f"{place}: {field}", item["msg"].removeprefix("Value error, "))
            return None
        prompt, completions = read
        problems = list(self._problems(data, prompt, completions.values()))
        for field, reason in problems:
            self._bad.add(row, f"{place}: data.{field}", reason)
        if problems:
            return None
        self._keep(prompt, completions.values())
        return ShownTask(place, prompt.id, {name: one.id for name, one in completions.items()})

    def _pushed(self, data: dict) -> tuple[Prompt, dict[str, Completion]]:
        read = _PushedTask.model_validate(data)
        prompt = Prompt(id=read.prompt_id, text=read.prompt, split=read.split)
        return prompt, {
            one.id: Completion(id=one.id, prompt_id=prompt.id, index=one.index, text=one.body, ended=one.ended)
            for one in read.items
        }

    def _by_texts(self, data: dict) -> tuple[Prompt, dict[str, Completion]]:
        if "items" not in data and all(name in data for name in PAIR):
            data = data | {"items": [{"id": name, "body": data[name]} for name in PAIR]}
        read = _ForeignTask.model_validate(data)
        prompt = self._by_text.prompt(read.prompt, assign_split(read.prompt, self._split, self._seed))
        return prompt, {str(one.id): self._by_text.completion(prompt, one.body) for one in read.items}

    def _problems(self, data: dict, prompt: Prompt, completions: Iterable[Completion]) -> Iterator[tuple[str, str]]:
        """(field, reason) of all that contradicts the settings or an earlier task."""
        if data.get("criterion", self._criterion) != self._criterion:
            reason = f"it was ranked by {shown(data['criterion'])}, but the settings say {shown(self._criterion)}"
            yield "criterion", reason
        side = self._sides.get(prompt.text, prompt.split)
        if side != prompt.split:
            yield "split", f"{prompt.split}, but the same text is {side} in an earlier task"
        elif self._prompts.get(prompt.id, prompt) != prompt:
            yield "prompt", f"{prompt.id} has another text in an earlier task"
        for one in completions:
            if self._completions.get(one.id, one) != one:
                yield "items", f"{one.id} is another completion in an earlier task"
            elif self._indices.get((prompt.id, one.index), one.id) != one.id:
                yield "items", f"index {one.index} of {prompt.id} is taken by another completion"

    def _keep(self, prompt: Prompt, completions: Iterable[Completion]) -> None:
        self._prompts[prompt.id] = prompt
        self._sides[prompt.text] = prompt.split
        for one in sorted(completions, key=lambda completion: completion.index):
            self._completions[one.id] = one
            self._indices[prompt.id, one.index] = one.id


def is_whole_number(name: str) -> bool:
    """Whether a browser takes this id for a place in a list and so shows its item before all others, in numeric order."""
    return re.fullmatch("0|[1-9][0-9]{0,8}", name) is not None
