"""Feedback from a CSV or TSV file with one row per prompt, completion and annotator: a rank or score in each."""

import re
from decimal import Decimal
from typing import NamedTuple

from labeling.feedback import Feedback, ShownTexts
from labeling.importers.annotated_rows import SidesOfSplit, chosen_rows, levels_of
from labeling.importers.row_names import read_name, read_optional_name
from labeling.sources.bad_rows import BadRows, Row, shown
from labeling.sources.exchanges import read_prompt
from models.records import Ranking, Split
from models.settings.labels import AnnotatedColumns, AnnotatedFile

_RANK = re.compile(r"[1-9][0-9]{0,17}(\.0{1,17})?")
_SCORE = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")


class _Question(NamedTuple):
    prompt: str
    labeler: str
    session: str


class _Cell(NamedTuple):
    row: Row
    completion: str
    system: str
    number: Decimal  # exact: floats would tie what differs in the 17th digit
    side: Split


def read_annotated_table(config: AnnotatedFile, sides: SidesOfSplit, bad: BadRows) -> Feedback:
    """One ranking for each annotator of each prompt, of the completions that have a row; bad rows go to `bad`.

    A bad row makes the others of its prompt and annotator bad too: the ranking would not be whole.
    """
    questions: dict[_Question, list[_Cell]] = {}
    broken: dict[_Question, Row] = {}
    for row in chosen_rows(config, bad):
        question, cell = _read_cell(row, config, sides, bad)
        if row in bad:
            broken.setdefault(question, row)
        else:
            sides.keep(row, question.prompt, cell.side)
            questions.setdefault(question, []).append(cell)
    texts, rankings = ShownTexts(), []
    for question, cells in questions.items():
        if _is_whole(question, cells, broken.get(question), config.columns, bad):
            prompt = texts.prompt(question.prompt, cells[0].side)
            completions = [texts.completion(prompt, one.completion) for one in cells]
            for completion, cell in zip(completions, cells, strict=True):
                texts.wrote(completion, cell.system)
            names = [one.id for one in completions]
            levels = levels_of(names, [one.number for one in cells], config)
            labeler, session = question.labeler, question.session
            rankings.append(Ranking.of(prompt.id, labeler, config.criterion, levels, session=session))
    return Feedback(texts.prompts, texts.completions, rankings, systems=texts.systems)


def _read_cell(row: Row, config: AnnotatedFile, sides: SidesOfSplit, bad: BadRows) -> tuple[_Question, _Cell]:
    """(what was asked of whom, what the row says), as far as it can be read; complaints about the rest."""
    columns = config.columns
    text = read_prompt(row, columns.prompt, bad)
    labeler = read_name(row, columns.annotator, row.values.get(columns.annotator), bad)
    completion = row.values.get(columns.completion)
    if completion is None:
        bad.add(row, columns.completion, "no such column")
        completion = ""
    column, form, expected = (
        (columns.rank, _RANK, "a whole number from 1 on")
        if config.by == "ranks"
        else (columns.score, _SCORE, "a number")
    )
    written = row.values.get(column)
    is_number = written is not None and form.fullmatch(written) is not None
    if not is_number:
        bad.add(row, column, "no such column" if written is None else f"expected {expected}, found {shown(written)}")
    number = Decimal(written) if is_number else Decimal(0)
    question = _Question(text, labeler, read_optional_name(row, config.session_column, bad))
    system = read_optional_name(row, config.systems_column, bad)
    return question, _Cell(row, completion, system, number, sides.side(row, text, bad))


def _is_whole(
    question: _Question, cells: list[_Cell], broken: Row | None, columns: AnnotatedColumns, bad: BadRows
) -> bool:
    """Whether the rows make a ranking; complaints about all of them if not."""
    first: dict[str, Row] = {}
    for one in cells:
        earlier = first.setdefault(one.completion, one.row)
        if earlier is not one.row:
            bad.add(one.row, columns.completion, f"{question.labeler} has a row for it already, at {earlier.place}")
            broken = broken or one.row
    if broken is None and len(cells) < 2:
        broken = cells[0].row
        bad.add(
            broken, columns.annotator, f"{question.labeler} has no second completion of this prompt to rank it against"
        )
    if broken is not None:
        for one in cells:
            if one.row not in bad:
                bad.add(one.row, columns.annotator, f"a row of the same prompt and annotator is bad, at {broken.place}")
    return broken is None
