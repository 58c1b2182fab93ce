"""Feedback from a folder: prompts.jsonl, completions.jsonl, rankings.jsonl, ratings.jsonl or class_votes.jsonl or several of them, and, where
it is known which systems wrote the completions, systems.jsonl."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from labeling.feedback import Feedback, ShownTexts, rankings_of_ratings
from labeling.sources.bad_rows import BadRows, Row
from labeling.sources.row_files import read_rows
from models.class_votes import ClassVotes
from models.degrees import Degree
from models.errors import DataError
from models.labeler_names import LabelerName
from models.records import Authorship, Completion, Prompt, Ranking, Rating, Record, collector_paused
from models.settings.labels import FeedbackFolder
from models.settings.pipeline import SplitConfig

Shown = TypeVar("Shown", Prompt, Completion)


class RankingRow(Record):
    """A line of rankings.jsonl: a ranking, of all or some completions of its prompt, whose id may be left out."""

    prompt_id: str
    labeler: LabelerName
    criterion: str
    levels: tuple[tuple[str, ...], ...]
    unusable: tuple[str, ...] = ()
    session: str = ""
    degree: Degree | None = None
    shown: tuple[str, ...] = ()
    id: str | None = None


class RatingRow(Record):
    """A line of ratings.jsonl: a rating whose id may be left out."""

    prompt_id: str
    completion_id: str
    labeler: LabelerName
    criterion: str
    wanted: bool
    id: str | None = None


@collector_paused()
def read(config: FeedbackFolder, split: SplitConfig, seed: int, bad: BadRows) -> Feedback:
    """The feedback of a folder, rankings and ratings by one criterion only; its rows that do not fit go to `bad`.

    The ids in the files say which row means which: the records have ids of their own, by their texts. Rankings that follow from the ratings are
    given too, but not of completions that the same labeler ranked outright.
    Raises DataError for a missing file, and where nothing is by the criterion.
    """
    folder = Path(config.path)
    texts = _Texts(folder, bad)
    rankings_file, ratings_file = folder / "rankings.jsonl", folder / "ratings.jsonl"
    has_ratings = ratings_file.is_file()
    votes_file = folder / "class_votes.jsonl"
    counted = _read_class_votes(votes_file, bad) if votes_file.is_file() else []
    has_rankings = rankings_file.is_file() or not (has_ratings or votes_file.is_file())
    num_rows, rankings = _read_rankings(rankings_file, config.criterion, texts, bad) if has_rankings else (0, [])
    num_rated, ratings = _read_ratings(ratings_file, config.criterion, texts, bad) if has_ratings else (0, [])
    if not (rankings or ratings or counted or bad):
        what = "rankings" if has_rankings else "ratings"
        if not num_rows + num_rated:
            raise DataError(f"{folder / what}.jsonl: it holds no {what}")
        said = f"{num_rows} rankings and {num_rated} ratings"
        raise DataError(f"{folder}: criterion: none of its {said} is by {config.criterion!r}")
    if (folder / "systems.jsonl").is_file():
        _read_systems(folder / "systems.jsonl", texts, bad)
    shown, said = texts.shown, rankings + _not_ranked_outright(rankings_of_ratings(ratings), rankings)
    return Feedback(shown.prompts, shown.completions, said, tuple(ratings), shown.systems, counted)


def _not_ranked_outright(derived: Iterable[Ranking], outright: Iterable[Ranking]) -> list[Ranking]:
    ranked = {(one.labeler, one.session, frozenset(one.places)) for one in outright}
    return [one for one in derived if (one.labeler, one.session, frozenset(one.places)) not in ranked]


class _Texts:
    """The prompts and completions of a folder by the ids in its files, without the bad ones. `shown`: their records."""

    def __init__(self, folder: Path, bad: BadRows):
        self.bad = bad
        self._dropped: dict[str, str] = {}
        prompts, completions = folder / "prompts.jsonl", folder / "completions.jsonl"
        self.prompts = {one.id: one for _, one in self._on_one_side(prompts, self._unique(prompts, Prompt))}
        fitting = self._of_a_prompt(completions, self._unique(completions, Completion))
        self.completions = {one.id: one for one in fitting}
        self.shown = ShownTexts()
        self._shown_prompts = {one.id: self.shown.prompt(one.text, one.split) for one in self.prompts.values()}
        self._shown_completions = {
            one.id: self.shown.completion(self._shown_prompts[one.prompt_id], one.text, one.ended) for one in fitting
        }

    def prompt_id(self, name: str) -> str:
        """The id of the record of a prompt, for its id in the files."""
        return self._shown_prompts[name].id

    def completion_id(self, name: str) -> str:
        """The id of the record of a completion, for its id in the files."""
        return self._shown_completions[name].id

    def wrote(self, name: str, system: str) -> None:
        """Notes who wrote the completion of this id in the files."""
        self.shown.wrote(self._shown_completions[name], system)

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
            said = (read.labeler, read.criterion)
            ranking = Ranking.of(
                read.prompt_id, *said, read.levels, read.unusable, read.session, read.degree, read.shown
            )
        except ValidationError as error:
            _complain(row, error, bad, whole="levels")
            continue
        _check_id(row, read.id, ranking.id, bad)
        if ranking.criterion == criterion:
            _check_completions(row, ranking, texts, bad)
            levels, unusable = _by_texts(row, ranking, texts, bad) if row not in bad else ([], [])
            if row not in bad:
                prompt_id = texts.prompt_id(ranking.prompt_id)
                shown = dict.fromkeys(texts.completion_id(name) for name in ranking.shown)  # two may be one text
                ranking = Ranking.of(prompt_id, *said, levels, unusable, ranking.session, ranking.degree, shown)
                repeats.check(row, ranking, bad)
            if row not in bad:
                rankings.append(ranking)
    return num_rows, rankings


def _check_completions(row: Row, ranking: Ranking, texts: _Texts, bad: BadRows) -> None:
    if ranking.prompt_id not in texts.prompts:
        return bad.add(row, "prompt_id", texts.why_unknown("prompt", ranking.prompt_id))
    named = [name for level in (*ranking.levels, ranking.unusable) for name in level]
    for name in named:
        one = texts.completions.get(name)
        if one is None:
            bad.add(row, "levels", texts.why_unknown("completion", name))
        elif one.prompt_id != ranking.prompt_id:
            bad.add(row, "levels", f"completion {name} belongs to prompt {one.prompt_id}")
    return None


def _by_texts(row: Row, ranking: Ranking, texts: _Texts, bad: BadRows) -> tuple[list[list[str]], list[str]]:
    """Levels and unusable ones with the ids of records. Complains of two that are one text and do not stand on one level."""
    first: dict[str, tuple[int, str]] = {}
    levels: list[list[str]] = []
    for number, level in enumerate((*ranking.levels, ranking.unusable)):
        levels.append([])
        for name in level:
            record = texts.completion_id(name)
            where, earlier = first.setdefault(record, (number, name))
            if earlier == name:
                levels[-1].append(record)
            elif where != number:
                bad.add(row, "levels", f"{earlier} and {name} are one text, but do not stand on one level")
    return levels[:-1], levels[-1]


class _Repeats:
    """Finds rankings of completions that the same labeler ranked before, in the same session."""

    def __init__(self, file: Path):
        self._file = file
        self._first: dict[tuple[str, str, str, frozenset[str]], int] = {}

    def check(self, row: Row, ranking: Ranking, bad: BadRows) -> None:
        """Complains of such a ranking."""
        key = (ranking.prompt_id, ranking.labeler, ranking.session, frozenset(ranking.places))
        line = self._first.setdefault(key, row.line)
        if line != row.line:
            said = f"{ranking.labeler} ranked these completions of the prompt by {ranking.criterion} already"
            bad.add(row, "labeler", f"{said}, at {self._file.name}:{line}")


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
            if row in bad:
                continue
            shown = texts.prompt_id(rating.prompt_id), texts.completion_id(rating.completion_id)
            rating = Rating.of(*shown, rating.labeler, rating.criterion, rating.wanted)
            earlier = seen.get((rating.completion_id, rating.labeler))
            if earlier is not None:
                bad.add(
                    row, "labeler", f"{rating.labeler} rated {read.completion_id} already, at {file.name}:{earlier}"
                )
            if row not in bad:
                seen[rating.completion_id, rating.labeler] = row.line
                ratings.append(rating)
    return num_rows, ratings


def _read_systems(file: Path, texts: _Texts, bad: BadRows) -> None:
    """Which system wrote which completion."""
    for row in read_rows(file, bad):
        try:
            read = Authorship.model_validate(row.values, strict=True)
        except ValidationError as error:
            _complain(row, error, bad)
            continue
        if read.completion_id in texts.completions:
            texts.wrote(read.completion_id, read.system)
        else:
            bad.add(row, "completion_id", texts.why_unknown("completion", read.completion_id))


def _read_class_votes(file: Path, bad: BadRows) -> list[ClassVotes]:
    """How many people put each text into which class."""
    votes = []
    for row in read_rows(file, bad):
        try:
            votes.append(ClassVotes.model_validate(row.values, strict=True))
        except ValidationError as error:
            _complain(row, error, bad)
    return votes


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
