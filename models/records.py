"""The records that flow from prompts to pairs, and the handle by which stages pass them on.

Records are frozen, their ids are derived from their content, and children name their parents: from a pair one can walk back
to the completions, the prompt and the labelers behind it.
"""

import gc
import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.conversation import PromptText
from models.degrees import Degree
from models.errors import DataError, describe_validation
from models.labeler_names import LabelerName

Split = Literal["train", "validation", "test"]
_CANONICAL = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def content_id(prefix: str, *parts: object) -> str:
    """An id such as `p_3f1c…`: the prefix and 64 bits of the SHA-256 of the parts as canonical JSON."""
    return f"{prefix}_{hashlib.sha256(_CANONICAL.encode(parts).encode()).hexdigest()[:16]}"


class Record(BaseModel):
    """Base of all records: immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Prompt(Record):
    """What a user asks. `split` is decided once, here, and inherited by everything made from the prompt."""

    id: str
    text: PromptText
    split: Split

    @classmethod
    def of(cls, text: str, split: Split) -> "Prompt":
        """A prompt whose id is derived from its text alone, so that one text can never stand on both sides of a split."""
        return cls(id=content_id("p", text), text=text, split=split)


class Text(Record):
    """Raw text to pretrain on."""

    text: str


class Demonstration(Record):
    """A prompt with a completion to imitate."""

    prompt: str
    completion: str


class Completion(Record):
    """One sampled or collected continuation of a prompt: the same text is the same completion, whoever wrote it and in whatever order.

    `ended` says whether the text ended by itself (end-of-sequence) rather than at the length limit.
    """

    id: str
    prompt_id: str
    text: str
    ended: bool

    @classmethod
    def of(cls, prompt_id: str, text: str, ended: bool = True) -> "Completion":
        """A completion whose id is derived from its prompt and its text."""
        return cls(id=content_id("c", prompt_id, text), prompt_id=prompt_id, text=text, ended=ended)


class Authorship(Record):
    """That a system (a model, a submission to a challenge) wrote a completion. Of one text there may be several."""

    completion_id: str
    system: Annotated[str, Field(pattern=r"\S")]


class Ranking(Record):
    """How one labeler ordered the completions of one prompt by one criterion.

    `levels` runs from best to worst; completions on one level are tied, and have no order. `unusable` holds those marked "F".
    Every completion that the labeler was shown stands exactly once in either. `session` tells apart the times that one labeler was
    asked about the same completions; empty where that happened once. `degree`: by how much the better one of two is better, if that was
    said. `shown`: all of them in the order in which the labeler saw them, empty where nobody noted it; no part of the id.
    """

    id: str
    prompt_id: str
    labeler: LabelerName
    criterion: str
    levels: tuple[tuple[str, ...], ...]
    unusable: tuple[str, ...] = ()
    session: str = ""
    degree: Degree | None = None
    shown: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        prompt_id: str,
        labeler: str,
        criterion: str,
        levels: Iterable[Iterable[str]],
        unusable: Iterable[str] = (),
        session: str = "",
        degree: Degree | None = None,
        shown: Iterable[str] = (),
    ) -> "Ranking":
        """A ranking whose id is derived from all it says; what has no order, a tie, is kept in that of the ids."""
        ordered = tuple(tuple(sorted(level)) for level in levels)
        marked = tuple(sorted(unusable))
        said = (ordered, marked, session, degree) if degree else (ordered, marked, session)
        return cls(
            id=content_id("r", prompt_id, labeler, criterion, *said),
            prompt_id=prompt_id,
            labeler=labeler,
            criterion=criterion,
            levels=ordered,
            unusable=marked,
            session=session,
            degree=degree,
            shown=tuple(shown),
        )

    @model_validator(mode="after")
    def _each_completion_once(self) -> "Ranking":
        named = list(chain(*self.levels, self.unusable))
        if not named:
            raise ValueError("a ranking must name at least one completion")
        if len(set(named)) != len(named):
            twice = sorted({name for name in named if named.count(name) > 1})
            raise ValueError(f"completion {', '.join(twice)} stands more than once in the ranking")
        if () in self.levels:
            raise ValueError("a level of the ranking is empty")
        if self.shown and sorted(self.shown) != sorted(named):
            raise ValueError("shown must hold each completion of the ranking once")
        if self.degree and not len(named) == len(self.levels) == 2:
            raise ValueError("a degree is of two completions of which one is better")
        return self

    @property
    def places(self) -> dict[str, int]:
        """Completion id -> place: 1 is best, tied completions share a place, unusable ones come last together."""
        places = {name: place for place, level in enumerate(self.levels, start=1) for name in level}
        return places | {name: len(self.levels) + 1 for name in self.unusable}


class Rating(Record):
    """One labeler's yes or no to one completion by one criterion: thumbs up or down; "is this toxic?".

    `wanted` says whether the answer puts the completion into the class that is wanted: thumbs up, *not* toxic.
    """

    id: str
    prompt_id: str
    completion_id: str
    labeler: LabelerName
    criterion: str
    wanted: bool

    @classmethod
    def of(cls, prompt_id: str, completion_id: str, labeler: str, criterion: str, wanted: bool) -> "Rating":
        """A rating whose id is derived from all it says."""
        return cls(
            id=content_id("v", prompt_id, completion_id, labeler, criterion, wanted),
            prompt_id=prompt_id,
            completion_id=completion_id,
            labeler=labeler,
            criterion=criterion,
            wanted=wanted,
        )


class Consensus(Record):
    """What the labelers of one prompt agree on.

    `levels` as in `Ranking`; `unusable` holds completions that a (weighted) majority marked so; `strengths` gives the latent
    strength of every completion (higher is better, its unit depends on the method); `confidence` is the mean, over pairs of
    completions, of the probability given to the more likely order (.5 = no idea, 1 = certain). `margins`: completion -> others
    that people said it is better than by some degree -> the mean margin (models/preferences/margins.py).
    """

    prompt_id: str
    criterion: str
    levels: tuple[tuple[str, ...], ...]
    unusable: tuple[str, ...] = ()
    strengths: dict[str, float]
    confidence: float = Field(ge=0, le=1)
    num_labelers: int = Field(ge=1)
    margins: dict[str, dict[str, float]] = {}


class Pair(Record):
    """Two completions of one prompt, the preferred one first.

    `label` is the probability that `chosen` is the better one: 1 for a strict preference, .5 for a tie (then the order of the
    two says nothing). `weight` scales the pair's loss. `margin`: by how much the score of `chosen` should lead; 0 where nothing says.
    """

    prompt_id: str
    chosen: str
    rejected: str
    label: float = Field(default=1.0, ge=0.5, le=1)
    weight: float = Field(default=1.0, gt=0)
    margin: float = 0.0


class Artifact(Record):
    """A handle to what a stage wrote: small, hashable by value, readable in the Prefect UI.

    `uri` is the folder, `sha256` the digest of its files (names and contents), `rows` how many records (or training steps)
    it holds, `run_id` the MLflow run that made it. Two artifacts with equal `kind` and `sha256` hold the same content.
    """

    kind: str
    uri: str
    sha256: str
    rows: int
    run_id: str

    @property
    def folder(self) -> Path:
        """The folder as a path."""
        return Path(self.uri)

    @property
    def identity(self) -> dict[str, str]:
        """What counts for caching: the content, not where it lies or which run made it."""
        return {"kind": self.kind, "sha256": self.sha256}


class StepMetrics(Record):
    """What a training loop yields after a step: its number (from 0), of how many, and named numbers."""

    step: int
    num_steps: int
    values: dict[str, float]


RecordType = TypeVar("RecordType", bound=Record)


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Writes one JSON object a line and returns how many."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(record.model_dump_json() + "\n")
            count += 1
    return count


def read_records(path: Path, record_type: type[RecordType], may_be_missing: bool = False) -> list[RecordType]:
    """The records of a JSON Lines file; none of one that `may_be_missing` and is. Raises DataError naming file, line and field."""
    records: list[RecordType] = []
    if may_be_missing and not path.is_file():
        return records
    with collector_paused():
        for number, line in _lines(path):
            try:
                records.append(record_type.model_validate_json(line))
            except ValidationError:
                records.append(_validated(path, number, line, record_type))
    return records


@contextmanager
def collector_paused() -> Iterator[None]:
    """Makes records quicker, by the million: the garbage collector would look through them again and again, though none refers to another."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.isspace():
                yield number, line.rstrip(b"\r\n")


def _object(path: Path, number: int, line: bytes) -> dict:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise DataError(f"{path}:{number}: not UTF-8 ({error.reason} at byte {error.start + 1})") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{number}: not JSON ({error.msg} at column {error.colno})") from None
    if not isinstance(row, dict):
        raise DataError(f"{path}:{number}: expected a JSON object, found {type(row).__name__}")
    return row


def _validated(path: Path, number: int, line: bytes, record_type: type[RecordType]) -> RecordType:
    """The record of a line that is not plain: JSON that pydantic's own reader does not take, or a mistake to explain."""
    try:
        return record_type.model_validate(_object(path, number, line))
    except ValidationError as error:
        raise DataError(f"{path}:{number}: {describe_validation(error)}") from None
