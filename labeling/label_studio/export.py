"""Feedback from a JSON export of Label Studio: what its labelers said, checked, since Label Studio itself checks nothing of it.

Read are projects that Rein pushed (labeling/label_studio/client.py) and two kinds of others: `prompt` with a list `items` of
{id, body}, put in order by a Ranker, and `prompt` with `answer1` and `answer2`, chosen between by a Pairwise tag. In a Ranker
with buckets these are the levels 1, 2, … (completions in one bucket are tied) and `unusable`.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from labeling.feedback import Feedback
from labeling.label_studio.tasks import ShownTask, TaskTexts, is_whole_number
from labeling.sources.bad_rows import BadRows, Row, shown
from models.errors import DataError
from models.labeler_names import why_no_name
from models.records import Ranking
from models.settings.labels import LabelStudioExport
from models.settings.pipeline import SplitConfig

LEFT_IN_LIST = "_"
"""Where Label Studio keeps what was dragged into no bucket."""
QUICK_SECONDS_PER_COMPLETION = 2


def read(config: LabelStudioExport, split: SplitConfig, seed: int, bad: BadRows) -> Feedback:
    """One ranking for each task and labeler, of the newest annotation that was not skipped; prompts and completions of all tasks.

    Labelers are named by email where the export says it (a pulled one does), else `label-studio-user-<id>`. A bad task or
    annotation goes to `bad` (the row is the task, its line the place in the list); the task's other annotations are read.
    Drafts and predictions are not. `split` and `seed` decide the side of prompts that Rein did not push.
    Raises DataError for a file that is no export, and where nothing was annotated.
    """
    reader = _Reader(config, TaskTexts(config.criterion, split, seed, bad), bad)
    for row in _tasks(Path(config.path), bad):
        reader.take(row)
    if not (reader.rankings or bad):
        raise DataError(f"{config.path}: nobody has annotated any of its tasks")
    return Feedback(reader.texts.prompts, reader.texts.completions, reader.rankings)


def rankings_as_shown(config: LabelStudioExport) -> list[str]:
    """A line for each ranking that is the order shown and was made quickly: perhaps submitted without moving anything.

    Quick is under 2 seconds for each completion. These rankings are read like any other; bad rows are passed over.
    """
    bad = BadRows()
    reader = _Reader(config, TaskTexts(config.criterion, SplitConfig(), 0, bad), bad)
    for row in _tasks(Path(config.path), bad):
        reader.take(row)
    return reader.as_shown


class _Bad(ValueError):
    """Why an annotation cannot be read: its first argument is the field, the second the reason."""


class _Said(NamedTuple):
    levels: list[list[str]]
    unusable: list[str]
    left: list[str]


class _Reader:
    """Gathers the rankings of task after task."""

    def __init__(self, config: LabelStudioExport, texts: TaskTexts, bad: BadRows):
        self.texts = texts
        self.rankings: list[Ranking] = []
        self.as_shown: list[str] = []
        self._criterion = config.criterion
        self._bad = bad
        self._ranked: dict[tuple[str, str, frozenset[str]], str] = {}

    def take(self, row: Row) -> None:
        """Adds what a task shows and the rankings of it."""
        task = self.texts.take(row)
        if task is None:
            return
        annotations = row.values.get("annotations")
        if not isinstance(annotations, list):
            found = f"expected a list of annotations, found {shown(annotations)}; export as JSON"
            return self._bad.add(row, f"{task.place}: annotations", found)
        by_labeler: dict[str, list[dict]] = {}
        for number, annotation in enumerate(annotations):
            try:
                if not _was_skipped(annotation):
                    by_labeler.setdefault(_labeler(annotation), []).append(annotation)
            except _Bad as error:
                self._complain(row, task, annotation if isinstance(annotation, dict) else {"id": f"#{number}"}, error)
        for labeler, of_labeler in by_labeler.items():
            self._take_newest(row, task, labeler, of_labeler)
        return None

    def _take_newest(self, row: Row, task: ShownTask, labeler: str, annotations: list[dict]) -> None:
        try:
            annotation = annotations[0] if len(annotations) == 1 else max(annotations, key=_age)
        except _Bad as error:
            return self._complain(row, task, annotations[0], error)
        try:
            _check_own(annotation)
            said = _said(annotation, task)
            levels = [[task.completion_ids[name] for name in level] for level in said.levels]
            unusable = [task.completion_ids[name] for name in said.unusable]
            ranking = Ranking.of(task.prompt_id, labeler, self._criterion, levels, unusable)
            self._check_repeat(row, ranking)
        except _Bad as error:
            return self._complain(row, task, annotation, error)
        self.rankings.append(ranking)
        seconds = annotation.get("lead_time")
        quick = QUICK_SECONDS_PER_COMPLETION * len(task.completion_ids)
        if said.levels == [[name] for name in task.order_on_page] and type(seconds) in (int, float) and seconds < quick:
            place = f"{row.place}: {task.place}, annotation {annotation.get('id')}"
            self.as_shown.append(f"{place}: {labeler} gave the order shown, after {seconds:.1f} s")
        return None

    def _check_repeat(self, row: Row, ranking: Ranking) -> None:
        key = ranking.prompt_id, ranking.labeler, frozenset(ranking.places)
        if key in self._ranked:
            raise _Bad("completed_by", f"{ranking.labeler} ranked these already, at {self._ranked[key]}")
        self._ranked[key] = row.place

    def _complain(self, row: Row, task: ShownTask, annotation: dict, error: _Bad) -> None:
        field, reason = error.args
        self._bad.add(row, f"{task.place}, annotation {annotation.get('id')}: {field}", reason)


def _tasks(file: Path, bad: BadRows) -> Iterator[Row]:
    """The tasks of an export in order."""
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    try:
        tasks = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: not JSON ({error}); export the project as JSON") from None
    if not isinstance(tasks, list):
        raise DataError(f"{file}: expected a list of tasks, found {shown(tasks)}; export the project as JSON")
    for number, task in enumerate(tasks, start=1):
        row = Row(file, number, task)
        if not isinstance(task, dict):
            bad.add(row, "", f"expected a task, found {shown(task)}")
        elif _has_half_characters(task):
            bad.add(row, "", "holds half of a surrogate pair, which is no character")
        else:
            yield row


def _has_half_characters(task: dict) -> bool:
    try:
        json.dumps(task, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _was_skipped(annotation: Any) -> bool:
    if not isinstance(annotation, dict):
        raise _Bad("annotations", f"expected an annotation, found {shown(annotation)}")
    skipped = annotation.get("was_cancelled", False)
    if not isinstance(skipped, bool):
        raise _Bad("was_cancelled", f"expected true or false, found {shown(skipped)}")
    return skipped


def _labeler(annotation: dict) -> str:
    who = annotation.get("completed_by")
    email, number = (who.get("email"), who.get("id")) if isinstance(who, dict) else (None, who)
    if isinstance(email, str) and email.strip():
        if reason := why_no_name(email):
            raise _Bad("completed_by", f"{email!a} names no labeler: {reason}")
        return email
    if type(number) is not int:
        raise _Bad("completed_by", f"expected a user, found {shown(who)}; was the account deleted?")
    return f"label-studio-user-{number}"


def _check_own(annotation: dict) -> None:
    """Whoever opens a task in the list of tasks sees somebody's annotation there, and "Update" changes that one."""
    who, changed_by = annotation["completed_by"], annotation.get("updated_by")
    number = who.get("id") if isinstance(who, dict) else who
    if type(number) is int and type(changed_by) is int and number != changed_by:
        reason = f"user {changed_by} changed what user {number} had said, so it is not known whose ranking it is"
        raise _Bad("updated_by", reason)


def _age(annotation: dict) -> tuple[datetime, int]:
    """What is greater for a newer annotation."""
    when, number = annotation.get("updated_at"), annotation.get("id")
    try:
        parsed = datetime.fromisoformat(when)
    except (TypeError, ValueError):
        parsed = None
    if parsed is None or parsed.tzinfo is None or type(number) is not int:
        reason = "the labeler has several annotations here, and it takes this and a number `id` to tell the newest"
        raise _Bad("updated_at", f"expected a time with its zone, found {shown(when)}; {reason}")
    return parsed, number


def _said(annotation: dict, task: ShownTask) -> _Said:
    """What an annotation says of the task's items, every item of which stands in it exactly once."""
    results = annotation.get("result")
    if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
        raise _Bad("result", f"expected a list of results, found {shown(results)}")
    ours = [one for one in results if one.get("type") in ("ranker", "pairwise")]
    if len(ours) != 1:
        raise _Bad("result", f"expected one ranking or choice between two, found {len(ours)}")
    value = ours[0].get("value")
    if not isinstance(value, dict):
        raise _Bad("value", f"expected an object, found {shown(value)}")
    if ours[0]["type"] == "pairwise":
        return _chosen(value, list(task.completion_ids))
    said = _ranked(value.get("ranker"), ours[0].get("from_name"))
    _check_all_named_once(said, task.completion_ids)
    return said


def _chosen(value: dict, names: list[str]) -> _Said:
    side = value.get("selected")
    if side not in ("left", "right") or len(names) != 2:
        raise _Bad("value.selected", f"expected left or right of 2 completions, found {shown(side)} of {len(names)}")
    first, second = names if side == "left" else reversed(names)
    return _Said([[first], [second]], [], [])


def _ranked(ranker: Any, control: Any) -> _Said:
    if isinstance(ranker, list):
        return _Said([[name] for name in _names(ranker)], [], [])
    if not isinstance(ranker, dict):
        raise _Bad("value.ranker", f"expected lists of completions, found {shown(ranker)}")
    if list(ranker) == [control]:
        return _Said([[name] for name in _names(ranker[control])], [], [])
    lists = {bucket: _names(names) for bucket, names in ranker.items()}
    left, unusable = lists.pop(LEFT_IN_LIST, []), lists.pop("unusable", [])
    strange = [bucket for bucket in lists if not is_whole_number(bucket) or bucket == "0"]
    if strange:
        raise _Bad("value.ranker", f"bucket {shown(strange[0])} is neither a level (1, 2, …) nor unusable")
    levels = [lists[bucket] for bucket in sorted(lists, key=int) if lists[bucket]]
    return _Said(levels, unusable, left)


def _names(names: Any) -> list[str]:
    if not isinstance(names, list) or not all(type(name) in (str, int) for name in names):
        raise _Bad("value.ranker", f"expected a list of ids, found {shown(names)}")
    return [str(name) for name in names]


def _check_all_named_once(said: _Said, known: Iterable[str]) -> None:
    placed = [name for level in said.levels for name in level] + said.unusable
    everything = placed + said.left
    strange = sorted({name for name in everything if name not in known})
    if strange:
        raise _Bad("value.ranker", f"the task shows no completion {', '.join(map(shown, strange))}")
    twice = sorted({name for name in everything if everything.count(name) > 1})
    if twice:
        raise _Bad("value.ranker", f"named more than once: {', '.join(twice)}")
    missing = [name for name in known if name not in placed]
    if missing and not placed:
        raise _Bad("value.ranker", "nothing was ranked: it was submitted before any completion was dragged to a level")
    if missing:
        raise _Bad("value.ranker", f"not ranked and not marked unusable: {', '.join(missing)}")
