"""CSV files of all that was said and of the figures: UTF-8, RFC 4180, read back by any CSV reader.

A text cell that begins with = + - @, a tab or a carriage return gets an apostrophe in front, since spreadsheets would
otherwise run it as a formula (OWASP, "CSV Injection"). Numbers stay numbers. Lists are JSON within their cell, texts by id too.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from labeling.oversight.labeler_figures import LabelerFigures
from labeling.oversight.labeler_pairs import AgreementPoint
from labeling.store.batches import CHUNK
from labeling.store.schema import (
    Assignment,
    Batch,
    CompletionRow,
    Judgement,
    Labeler,
    PromptRow,
    Task,
    Withdrawal,
)
from labeling.store.steering import is_left_out
from models.conversation import transcript
from models.records import Consensus

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
ROWS_AT_ONCE = 1000

Cell = str | int | float | bool | datetime | list | dict | None

JUDGEMENT_COLUMNS = (
    "id",
    "batch",
    "criterion",
    "prompt_id",
    "prompt",
    "completions",
    "gold",
    "labeler",
    "withdrawn",
    "left_out",
    "revision",
    "taken_back",
    "counts",
    "levels",
    "unusable",
    "reasons",
    "wanted",
    "degree",
    "note",
    "shown_order",
    "instructions_version",
    "seconds",
    "created_at",
)
LABELER_COLUMNS = (
    "labeler",
    "withdrawn",
    "left_out",
    "unqualified",
    "judgements",
    "prompts",
    "median_seconds",
    "very_fast",
    "tie_rate",
    "unusable_rate",
    "wanted_rate",
    "agreement",
    "reliability",
    "upside_down",
    "relied_on",
    "gold_accuracy",
    "gold_pairs",
    "position_bias",
    "position_bias_low",
    "position_bias_high",
    "position_bias_rankings",
    "as_shown_quickly",
)
AGREEMENT_COLUMNS = ("until", "judgements", "krippendorff_alpha", "mean_tau_b")
CONSENSUS_COLUMNS = (
    "prompt_id",
    "prompt",
    "criterion",
    "completion_id",
    "completion",
    "place",
    "unusable",
    "strength",
    "confidence",
    "labelers",
)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    """The file piece by piece, a thousand rows each, the columns' names first."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for number, row in enumerate(chain([columns], rows)):
        writer.writerow([_cell(value) for value in row])
        if number % ROWS_AT_ONCE == ROWS_AT_ONCE - 1:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def judgement_rows(session: Session, batch_id: str | None) -> Iterator[Sequence[Cell]]:
    """Every revision that was ever stored, oldest first, of one batch or of all (None).

    `taken_back`: this revision says nothing and takes back the one before. `counts`: it is learned from (the last revision, not
    of a gold prompt or a head-to-head, its labeler has not withdrawn and is not left out). `withdrawn`: its labeler has, whenever it was said. `completions`:
    the texts that were judged, by id, in the order shown where it is known.
    """
    later = aliased(Judgement)
    is_last = (
        ~select(later.id)
        .where(later.assignment_id == Judgement.assignment_id, later.revision > Judgement.revision)
        .exists()
    )
    query = (
        select(
            Judgement,
            Assignment.shown_order,
            Task,
            Batch,
            Labeler.name,
            Withdrawal.id,
            is_left_out(Batch.id, Labeler.id),
            is_last,
        )
        .join(Assignment, Assignment.id == Judgement.assignment_id)
        .join(Task, Task.id == Assignment.task_id)
        .join(Batch, Batch.id == Task.batch_id)
        .join(Labeler, Labeler.id == Assignment.labeler_id)
        .outerjoin(Withdrawal, Withdrawal.labeler_id == Labeler.id)
        .order_by(Judgement.id)
        .execution_options(yield_per=ROWS_AT_ONCE)
    )
    if batch_id is not None:
        query = query.where(Batch.id == batch_id)
    rows = (
        (*row, texts)
        for part in session.execute(query).partitions()
        for texts in [_texts(session, {row[2].prompt_id for row in part})]
        for row in part
    )
    for said, shown, task, batch, labeler, withdrawal, left_out, last, (prompts, completions) in rows:
        is_gold, takes_back = task.gold_levels is not None, said.record_id is None
        counts = (
            last and not takes_back and not is_gold and withdrawal is None and not left_out and batch.is_learned_from
        )
        yield (
            said.id,
            batch.id,
            batch.criterion,
            task.prompt_id,
            prompts[task.prompt_id],
            {one: completions[one] for one in shown or task.completion_ids},
            is_gold,
            labeler,
            withdrawal is not None,
            left_out,
            said.revision,
            takes_back,
            counts,
            said.levels,
            None if said.unusable is None else list(said.unusable),
            None if said.unusable is None else list(said.unusable.values()),
            said.wanted,
            said.degree,
            said.note,
            shown,
            said.instructions_version,
            said.seconds,
            said.created_at,
        )


def labeler_rows(labelers: Iterable[LabelerFigures]) -> Iterator[Sequence[Cell]]:
    """One row per labeler; a figure that there is not is empty."""
    for one in labelers:
        bias = one.position_bias
        yield (
            one.labeler,
            one.is_withdrawn,
            one.is_left_out,
            one.is_unqualified,
            one.num_judgements,
            one.num_prompts,
            one.median_seconds,
            one.is_very_fast,
            one.tie_rate,
            one.unusable_rate,
            one.wanted_rate,
            one.agreement,
            one.reliability,
            one.is_upside_down,
            one.can_be_relied_on,
            one.gold_accuracy,
            one.num_gold_pairs,
            *((bias.mean, bias.low, bias.high, bias.num_rankings) if bias else (None, None, None, 0)),
            one.as_shown_quickly,
        )


def agreement_rows(points: Iterable[AgreementPoint]) -> Iterator[Sequence[Cell]]:
    """One row per point in time."""
    for one in points:
        yield one.label, one.num_judgements, one.alpha, one.tau_b


def consensus_rows(session: Session, agreed: Sequence[Consensus]) -> Iterator[Sequence[Cell]]:
    """One row per completion, best first within its prompt; unusable ones come last and have no place."""
    prompts, completions = _texts(session, {one.prompt_id for one in agreed})
    for one in agreed:
        places = [(name, place) for place, level in enumerate(one.levels, start=1) for name in level]
        for name, place in [*places, *((name, None) for name in one.unusable)]:
            yield (
                one.prompt_id,
                prompts[one.prompt_id],
                one.criterion,
                name,
                completions[name],
                place,
                place is None,
                one.strengths[name],
                one.confidence,
                one.num_labelers,
            )


def _texts(session: Session, prompt_ids: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Of these prompts: prompt id -> text as people read it, completion id -> text."""
    names = sorted(prompt_ids)
    prompts: dict[str, str] = {}
    completions: dict[str, str] = {}
    for start in range(0, len(names), CHUNK):
        chunk = names[start : start + CHUNK]
        asked = session.execute(select(PromptRow.id, PromptRow.text).where(PromptRow.id.in_(chunk)))
        prompts |= {name: transcript(text) for name, text in asked}
        of_chunk = select(CompletionRow.id, CompletionRow.text).where(CompletionRow.prompt_id.in_(chunk))
        completions |= dict(session.execute(of_chunk).all())
    return prompts, completions


def _cell(value: Cell) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value
