"""Feedback from a folder: prompts.jsonl, completions.jsonl, and rankings.jsonl or ratings.jsonl or both."""

from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from labeling.feedback import Feedback, rankings_of_ratings
from labeling.importers.bad_rows import BadRows, Row
from labeling.importers.row_files import read_rows
from models.errors import DataError
from models.records import Completion, Prompt, Ranking, Rating, Record, collector_paused
from models.settings.labels import FeedbackFolder
from models.settings.pipeline import SplitConfig

Shown = TypeVar("Shown", Prompt, Completion)


class RankingRow(Record):
    """A line of rankings.jsonl: a ranking whose id may be left out.

    With an id it is a record that Rein wrote, of all that the labeler was shown. Without, it must rank every completion of its
    prompt, so that nothing is forgotten.
    """

    prompt_id: str
    labeler: str
    criterion: str
    levels: tuple[tuple[str, ...], ...]
    unusable: tuple[str, ...] = ()
    id: str | None = None


class RatingRow(Record):
    """A line of ratings.jsonl: a rating whose id may be left out."""

    prompt_id: str
    completion_id: str
    labeler: str
    criterion: str
    wanted: bool
    id: str | None = None


@collector_paused()
def read(config: FeedbackFolder, split: SplitConfig, seed: int, bad: BadRows) -> Feedback:
    """The feedback of a folder, rankings and ratings by one criterion only; its rows that do not fit go to `bad`.

    Where there is no rankings.jsonl, the rankings that follow from the ratings are given.
    Raises DataError for a missing file, and where nothing is by the criterion.
    """
    folder = Path(config.path)
    texts = _Texts(folder, bad)
    rankings_file, ratings_file = folder / "rankings.jsonl", folder / "ratings.jsonl"
    has_ratings = ratings_file.is_file()
    has_rankings = rankings_file.is_file() or not has_ratings
    num_rows, rankings = _read_rankings(rankings_file, config.criterion, texts, bad) if has_rankings else (0, [])
    num_rated, ratings = _read_ratings(ratings_file, config.criterion, texts, bad) if has_ratings else (0, [])
    if not (rankings or ratings or bad):
        what = "rankings" if has_rankings else "ratings"
        if not num_rows + num_rated:
            raise DataError(f"{folder / what}.jsonl: it holds no {what}")
        said = f"{num_rows} rankings and {num_rated} ratings"
        raise DataError(f"{folder}: criterion: none of its {said} is by {config.criterion!r}")
    return Feedback(
        list(texts.prompts.values()),
        list(texts.completions.values()),
        rankings if has_rankings else rankings_of_ratings(ratings),
        tuple(ratings),
    )


class _Texts:
    """The prompts and completions of a folder by id, without the bad ones."""

    def __init__(self, folder: Path, bad: BadRows):
        self.bad = bad
        self._dropped: dict[str, str] = {}
        prompts, completions = folder / "prompts.jsonl", folder / "completions.jsonl"
        self.prompts = {one.id: one for _, one in self._on_one_side(prompts, self._unique(prompts, Prompt))}
        fitting = self._of_a_prompt(completions, self._unique(completions, Completion))
        self.completions = {one.id: one for one in fitting}
        self.of_prompt: dict[str, list[str]] = {name: [] for name in self.prompts}
        for one in fitting:
            self.of_prompt[one.prompt_id].append(one.id)

    def why_unknown(self, what: str, name: str) -> str:
        """The reason to give for an id that is not there."""
        place = self._dropped.get(name)
        return f"{what} {name} is a bad row itself, at {place}" if place else f"no {what} has the id {name}"

    def _unique(self, file: Path, record_type: type[Shown]) -> list[tuple[int, Shown]]:
        """(line, record) of the rows that are such a record and share their id with no other."""
        found: dict[str, tuple[int, Shown]] = {}
        again: dict[str, list[tuple[int, Shown]]] = {}
        for row in read_rows(file, self.bad):
            try:
                record = record_type.model_validate(row.values, strict=True)
            except ValidationError as error:
                _complain(row, error, self.bad)
                if isinstance(row.values.get("id"), str):
                    self._dropped[row.values["id"]] = row.place
                continue
            if found.setdefault(record.id, (row.line, record))[0] != row.line:
                again.setdefault(record.id, []).append((row.line, record))
        for name, more in again.items():
            for line, record in [found.pop(name), *more]:
                self._drop(file, line, record, "id", f"it stands {len(more) + 1} times")
        return list(found.values())

    def _on_one_side(self, file: Path, prompts: Iterable[tuple[int, Prompt]]) -> Iterator[tuple[int, Prompt]]:
        """The prompts without those that put the text of an earlier one on another side of the split."""
        first: dict[str, tuple[int, str]] = {}
        for line, prompt in prompts:
            earlier, split = first.setdefault(prompt.text, (line, prompt.split))
            if split == prompt.split:
                yield line, prompt
            else:
                reason = f"{prompt.split}, but the same text is {split} at {file.name}:{earlier}"
                self._drop(file, line, prompt, "split", reason)

    def _of_a_prompt(self, file: Path, completions: Iterable[tuple[int, Completion]]) -> list[Completion]:
        """The completions that belong to a prompt."""
        fitting = []
        for line, one in completions:
            if one.prompt_id in self.prompts:
                fitting.append(one)
            else:
                self._drop(file, line, one, "prompt_id", self.why_unknown("prompt", one.prompt_id))
        return fitting

    def _drop(self, file: Path, line: int, record: Prompt | Completion, field: str, reason: str) -> None:
        row = Row(file, line, record.model_dump())
        self.bad.add(row, field, reason)
        self._dropped[record.id] = row.place


def _read_rankings(file: Path, criterion: str, texts: _Texts, bad: BadRows) -> tuple[int, list[Ranking]]:
    """(number of rows that are rankings, those by the criterion that fit)."""
    num_rows = 0
    rankings: list[Ranking] = []
    repeats = _Repeats(file)
    for row in read_rows(file, bad):
        num_rows += 1
        try:
            read = RankingRow.model_validate(row.values)
            ranking = Ranking.of(read.prompt_id, read.labeler, read.criterion, read.levels, read.unusable)
        except ValidationError as error:
            _complain(row, error, bad, whole="levels")
            continue
        _check_id(row, read.id, ranking.id, bad)
        if ranking.criterion == criterion:
            _check_completions(row, ranking, read.id is None, texts, bad)
            if row not in bad:
                repeats.check(row, ranking, bad)
            if row not in bad:
                rankings.append(ranking)
    return num_rows, rankings


def _check_completions(row: Row, ranking: Ranking, must_be_all: bool, texts: _Texts, bad: BadRows) -> None:
    known = texts.of_prompt.get(ranking.prompt_id)
    if known is None:
        return bad.add(row, "prompt_id", texts.why_unknown("prompt", ranking.prompt_id))
    if len(known) < 2:
        bad.add(row, "prompt_id", f"prompt {ranking.prompt_id} has fewer than 2 completions")
    named = [name for level in (*ranking.levels, ranking.unusable) for name in level]
    for name in named:
        one = texts.completions.get(name)
        if one is None:
            bad.add(row, "levels", texts.why_unknown("completion", name))
        elif one.prompt_id != ranking.prompt_id:
            bad.add(row, "levels", f"completion {name} belongs to prompt {one.prompt_id}")
    if must_be_all and (missing := [name for name in known if name not in named]):
        bad.add(row, "levels", f"not ranked and not marked unusable: {', '.join(missing)}")
    return None


class _Repeats:
    """Finds rankings in which a labeler orders two completions that the same labeler ordered before."""

    def __init__(self, file: Path):
        self._file = file
        self._first: dict[tuple[str, str], tuple[int, Ranking]] = {}
        self._pairs: dict[tuple[str, str], dict[frozenset[str], int]] = {}

    def check(self, row: Row, ranking: Ranking, bad: BadRows) -> None:
        """Complains of such a ranking; of any other it remembers what it orders."""
        who = (ranking.prompt_id, ranking.labeler)
        line, first = self._first.setdefault(who, (row.line, ranking))
        if line == row.line:
            return
        pairs = self._pairs.setdefault(who, dict.fromkeys(_pairs_of(first), line))
        new = list(_pairs_of(ranking))
        earlier = next((pairs[pair] for pair in new if pair in pairs), None)
        if earlier is None:
            pairs.update(dict.fromkeys(new, row.line))
        else:
            said = f"{ranking.labeler} ranked prompt {ranking.prompt_id} by {ranking.criterion} already"
            bad.add(row, "labeler", f"{said}, at {self._file.name}:{earlier}")


def _pairs_of(ranking: Ranking) -> Iterator[frozenset[str]]:
    named = [name for level in (*ranking.levels, ranking.unusable) for name in level]
    return map(frozenset, combinations(named, 2))


def _read_ratings(file: Path, criterion: str, texts: _Texts, bad: BadRows) -> tuple[int, list[Rating]]:
    """(number of rows that are ratings, those by the criterion that fit)."""
    num_rows = 0
    ratings: list[Rating] = []
    seen: dict[tuple[str, str], int] = {}
    for row in read_rows(file, bad):
        num_rows += 1
        try:
            read = RatingRow.model_validate(row.values, strict=True)
        except ValidationError as error:
            _complain(row, error, bad)
            continue
        rating = Rating.of(read.prompt_id, read.completion_id, read.labeler, read.criterion, read.wanted)
        _check_id(row, read.id, rating.id, bad)
        if rating.criterion == criterion:
            _check_rated(row, rating, texts, bad)
            earlier = seen.get((rating.completion_id, rating.labeler))
            if earlier is not None:
                bad.add(
                    row, "labeler", f"{rating.labeler} rated {rating.completion_id} already, at {file.name}:{earlier}"
                )
            if row not in bad:
                seen[rating.completion_id, rating.labeler] = row.line
                ratings.append(rating)
    return num_rows, ratings


def _check_rated(row: Row, rating: Rating, texts: _Texts, bad: BadRows) -> None:
    one = texts.completions.get(rating.completion_id)
    if rating.prompt_id not in texts.prompts:
        bad.add(row, "prompt_id", texts.why_unknown("prompt", rating.prompt_id))
    elif one is None:
        bad.add(row, "completion_id", texts.why_unknown("completion", rating.completion_id))
    elif one.prompt_id != rating.prompt_id:
        bad.add(row, "completion_id", f"completion {one.id} belongs to prompt {one.prompt_id}")


def _check_id(row: Row, given: str | None, derived: str, bad: BadRows) -> None:
    if given not in (None, derived):
        bad.add(row, "id", f"{given} does not fit what the row says ({derived}); leave it out or mend it")


def _complain(row: Row, error: ValidationError, bad: BadRows, whole: str = "") -> None:
    """Every complaint of pydantic; `whole` names the field of those that are about none."""
    for item in error.errors():
        field = ".".join(str(part) for part in item["loc"]) or whole
        bad.add(row, field, item["msg"].removeprefix("Value error, "))
