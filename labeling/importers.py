"""Feedback from files: prompts, completions and rankings that fit together, or one error that lists every bad row.

Nothing is repaired: a row that says something impossible is named by file, line and field, and the import stops.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from labeling.feedback import Feedback
from models.config import AnnotatedFile, FeedbackFolder
from models.errors import DataError
from models.records import Completion, Prompt, Ranking, Record, RecordType, Split, describe_validation

MAX_LISTED = 50


class RankingRow(Record):
    """A line of rankings.jsonl: a ranking whose id may be left out."""

    prompt_id: str
    labeler: str
    criterion: str
    levels: tuple[tuple[str, ...], ...]
    unusable: tuple[str, ...] = ()
    id: str | None = None


def read_feedback_folder(config: FeedbackFolder) -> Feedback:
    """The feedback of a folder with prompts.jsonl, completions.jsonl and rankings.jsonl, rankings by one criterion only.

    Raises DataError listing every bad row as `file:line: field: reason` (prompts and completions first, then rankings).
    """
    folder = Path(config.path)
    problems: list[str] = []
    prompts = _read_unique(folder / "prompts.jsonl", Prompt, problems)
    completions = _read_unique(folder / "completions.jsonl", Completion, problems)
    problems += _prompt_problems(prompts) + _completion_problems(prompts, completions)
    _refuse(problems, str(folder))
    file = folder / "rankings.jsonl"
    rankings: list[tuple[str, Ranking]] = []
    num_rows = 0
    for where, row in _rows(file, problems):
        num_rows += 1
        ranking = _ranking_of(where, row, problems)
        if ranking is not None and ranking.criterion == config.criterion:
            rankings.append((where, ranking))
    feedback = Feedback([one for _, one in prompts], [one for _, one in completions], [one for _, one in rankings])
    if not num_rows and not problems:
        problems.append(f"{file}: it holds no rankings")
    elif not rankings and not problems:
        problems.append(f"{file}: criterion: none of its {num_rows} rankings is by {config.criterion!r}")
    _refuse(problems + _feedback_problems(feedback, [where for where, _ in rankings]), str(file))
    return feedback


def read_annotated_file(config: AnnotatedFile) -> Feedback:
    """The feedback of a JSONL file with `prompt`, `completions` and `annotations` ({annotator, ranks}) in each row.

    Rank 1 is best, equal ranks tie. Rows with the same prompt share its record; where their completion lists are equal they
    share these too, else the later list gets new indices. Raises DataError listing every bad row as `file:line: field: reason`.
    """
    file, problems = Path(config.path), []
    reader = _AnnotatedReader(config, problems)
    num_rows = num_taken = 0
    criteria: set[str] = set()
    for where, row in _rows(file, problems):
        num_rows += 1
        missing = [column for column in config.where if column not in row]
        problems += [f"{where}: {column}: no such column, but `where` asks for it" for column in missing]
        if not missing and all(str(row[column]) == value for column, value in config.where.items()):
            num_taken += 1
            criteria.add(str(row.get("criterion", config.criterion)))
            reader.take(where, row)
    if len(criteria) > 1:
        problems.append(f"{file}: criterion: rows by {', '.join(sorted(criteria))} are mixed; choose one by `where`")
    if not num_taken and not problems:
        problems.append(f"{file}: no row is left of {num_rows} after where {config.where}")
    _refuse(problems + _feedback_problems(reader.feedback, reader.where, partial=True), str(file))
    return reader.feedback


def _feedback_problems(feedback: Feedback, where: Sequence[str], partial: bool = False) -> list[str]:
    """What is wrong with the rankings, each complaint at its place."""
    problems: list[str] = []
    owner = {one.id: one.prompt_id for one in feedback.completions}
    of_prompt: dict[str, list[str]] = {one.id: [] for one in feedback.prompts}
    for one in feedback.completions:
        of_prompt.setdefault(one.prompt_id, []).append(one.id)
    seen: dict[tuple[str, str, str], str] = {}
    for place, ranking in zip(where, feedback.rankings, strict=True):
        key = (ranking.prompt_id, ranking.labeler, ranking.criterion)
        if key in seen:
            problems.append(
                f"{place}: labeler: {ranking.labeler} ranked prompt {ranking.prompt_id} by {ranking.criterion} already, at {seen[key]}"
            )
        seen.setdefault(key, place)
        if ranking.prompt_id not in of_prompt:
            problems.append(f"{place}: prompt_id: no prompt has the id {ranking.prompt_id}")
            continue
        named = set(ranking.places)
        for name in sorted(named):
            if name not in owner:
                problems.append(f"{place}: levels: no completion has the id {name}")
            elif owner[name] != ranking.prompt_id:
                problems.append(f"{place}: levels: completion {name} belongs to prompt {owner[name]}")
        missing = [name for name in of_prompt[ranking.prompt_id] if name not in named]
        if missing and not partial:
            problems.append(f"{place}: levels: not ranked and not marked unusable: {', '.join(missing)}")
        if len(of_prompt[ranking.prompt_id]) < 2:
            problems.append(f"{place}: prompt_id: prompt {ranking.prompt_id} has fewer than 2 completions")
    return problems


def _prompt_problems(prompts: list[tuple[str, Prompt]]) -> list[str]:
    """One text must not stand on two sides of a split."""
    problems, first = [], {}
    for where, prompt in prompts:
        place, split = first.setdefault(prompt.text, (where, prompt.split))
        if split != prompt.split:
            problems.append(f"{where}: split: {prompt.split}, but the same text is {split} at {place}")
    return problems


def _completion_problems(prompts: list[tuple[str, Prompt]], completions: list[tuple[str, Completion]]) -> list[str]:
    """Completions need a prompt, prompts with completions need at least two, and an index is taken once."""
    known = {prompt.id for _, prompt in prompts}
    problems, first = [], {}
    count = Counter(one.prompt_id for _, one in completions)
    for where, one in completions:
        place = first.setdefault((one.prompt_id, one.index), where)
        if one.prompt_id not in known:
            problems.append(f"{where}: prompt_id: no prompt has the id {one.prompt_id}")
        elif count[one.prompt_id] < 2:
            problems.append(f"{where}: prompt_id: prompt {one.prompt_id} has fewer than 2 completions")
        if place != where:
            problems.append(f"{where}: index: {one.index} of prompt {one.prompt_id} is taken at {place}")
    return problems


def _duplicate_ids(located: Sequence[tuple[str, Prompt | Completion]]) -> list[str]:
    count = Counter(one.id for _, one in located)
    return [f"{where}: id: it stands {count[one.id]} times" for where, one in located if count[one.id] > 1]


def _read_unique(file: Path, record_type: type[RecordType], problems: list[str]) -> list[tuple[str, RecordType]]:
    located = []
    for where, row in _rows(file, problems):
        try:
            located.append((where, record_type.model_validate(row)))
        except ValidationError as error:
            problems.append(f"{where}: {describe_validation(error)}")
    problems += _duplicate_ids(located)
    return located


def _ranking_of(where: str, row: dict[str, Any], problems: list[str]) -> Ranking | None:
    try:
        read = RankingRow.model_validate(row)
        ranking = Ranking.of(read.prompt_id, read.labeler, read.criterion, read.levels, read.unusable)
    except ValidationError as error:
        text = describe_validation(error)
        problems.append(f"{where}: {text if ': ' in text.partition(';')[0] else 'levels: ' + text}")
        return None
    if read.id not in (None, ranking.id):
        problems.append(
            f"{where}: id: {read.id} does not fit what the ranking says ({ranking.id}); leave it out or mend it"
        )
    return ranking


def _rows(file: Path, problems: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(`file:line`, object) of every line that holds one; the others go to `problems`. DataError for a missing file."""
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                problems.append(f"{file}:{number}: not JSON ({error.msg} at column {error.colno})")
                continue
            if isinstance(row, dict):
                yield f"{file}:{number}", row
            else:
                problems.append(f"{file}:{number}: expected a JSON object, found {type(row).__name__}")


def _refuse(problems: list[str], source: str) -> None:
    if not problems:
        return
    listed = [f"  {one}" for one in problems[:MAX_LISTED]]
    if len(problems) > MAX_LISTED:
        listed.append(f"  … and {len(problems) - MAX_LISTED} more")
    raise DataError(f"{source} does not fit (problems: {len(problems)}):\n" + "\n".join(listed))


class _AnnotatedReader:
    """Gathers prompts, completions and rankings row by row; what is wrong goes to `problems`."""

    def __init__(self, config: AnnotatedFile, problems: list[str]):
        self.config = config
        self.problems = problems
        self.feedback = Feedback([], [], [])
        self.where: list[str] = []
        self._prompts: dict[str, tuple[str, Prompt]] = {}
        self._lists: dict[str, dict[tuple[str, ...], list[str]]] = {}

    def take(self, where: str, row: dict[str, Any]) -> None:
        """Adds one row: its prompt, its completions and one ranking per annotation."""
        before = len(self.problems)
        split = self._split(where, row)
        text, texts, annotations = row.get("prompt"), row.get("completions"), row.get("annotations")
        if not isinstance(text, str) or not text.strip():
            self._complain(where, "prompt", f"expected text, found {text!r}")
        if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
            self._complain(where, "completions", f"expected a list of texts, found {texts!r}")
        elif len(texts) < 2:
            self._complain(where, "completions", f"a ranking needs at least 2, found {len(texts)}")
        if not isinstance(annotations, list) or not annotations:
            self._complain(where, "annotations", f"expected a list with at least one annotation, found {annotations!r}")
        if self.config.session_column and self.config.session_column not in row:
            self._complain(where, self.config.session_column, "no such column, but `session_column` asks for it")
        if len(self.problems) > before:
            return
        prompt = self._prompt(where, Prompt.of(text, split))
        names = self._completions(prompt, tuple(texts))
        for number, annotation in enumerate(annotations):
            self._ranking(where, f"annotations.{number}", annotation, names, row)

    def _split(self, where: str, row: dict[str, Any]) -> Split:
        number = row.get(self.config.held_out_column)
        if type(number) is not int:
            self._complain(where, self.config.held_out_column, f"expected a whole number, found {number!r}")
            return "train"
        return "test" if number % self.config.held_out_modulus < self.config.held_out_below else "train"

    def _prompt(self, where: str, prompt: Prompt) -> Prompt:
        if prompt.text not in self._prompts:
            self._prompts[prompt.text] = (where, prompt)
            self.feedback.prompts.append(prompt)
        place, first = self._prompts[prompt.text]
        if first.split != prompt.split:
            column = self.config.held_out_column
            self._complain(
                where, column, f"makes the prompt {prompt.split}, but the same text is {first.split} at {place}"
            )
        return first

    def _completions(self, prompt: Prompt, texts: tuple[str, ...]) -> list[str]:
        lists = self._lists.setdefault(prompt.id, {})
        if texts not in lists:
            start = sum(len(one) for one in lists)
            made = [Completion.of(prompt.id, start + index, text) for index, text in enumerate(texts)]
            self.feedback.completions.extend(made)
            lists[texts] = [one.id for one in made]
        return lists[texts]

    def _ranking(self, where: str, field: str, annotation: Any, names: list[str], row: dict[str, Any]) -> None:
        if not isinstance(annotation, dict) or not isinstance(annotation.get("annotator"), str):
            return self._complain(where, f"{field}.annotator", f"expected {{annotator, ranks}}, found {annotation!r}")
        ranks = annotation.get("ranks")
        if not isinstance(ranks, list) or len(ranks) != len(names):
            return self._complain(where, f"{field}.ranks", f"expected {len(names)} ranks, found {ranks!r}")
        wrong = [rank for rank in ranks if type(rank) is not int or rank < 1]
        if wrong:
            return self._complain(where, f"{field}.ranks", f"expected whole numbers from 1 on, found {wrong[0]!r}")
        labeler, session = annotation["annotator"], self.config.session_column
        levels = [
            [name for name, rank in zip(names, ranks, strict=True) if rank == level] for level in sorted(set(ranks))
        ]
        labeler = f"{labeler}/{row[session]}" if session else labeler
        self.feedback.rankings.append(
            Ranking.of(self._prompts[row["prompt"]][1].id, labeler, self.config.criterion, levels)
        )
        self.where.append(where)

    def _complain(self, where: str, field: str, reason: str) -> None:
        self.problems.append(f"{where}: {field}: {reason}")
