"""What overseers see: how far each batch is, how well its labelers agree, where they contradict each other, and CSV files."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response, StreamingResponse
from sqlalchemy.orm import Session

from labeling.oversight import csv_tables, overview
from labeling.oversight.labeler_figures import MIN_PROMPTS, MIN_RELIABILITY
from labeling.oversight.overview import BatchFigures, FigureCache
from labeling.page import charts
from labeling.page.access import Overseer, Store, render, utc_now
from labeling.page.pages import KIND_NAMES
from labeling.store.schema import Batch

ON_BATCH_PAGE = 3
ON_A_PAGE = 10

router = APIRouter(prefix="/overseer")


@router.get("")
def list_batches(request: Request, store: Store, visitor: Overseer) -> Response:
    """All batches, newest first, and how far they are."""
    with store.read() as session:
        progress = overview.all_progress(session, utc_now())
    return render(request, "overseer_batches.html", visitor, progress=progress, kind_names=KIND_NAMES)


@router.get("/judgements.csv")
def all_judgements(store: Store, visitor: Overseer) -> Response:
    """Every revision of every judgement of every batch."""
    return _csv("judgements.csv", csv_tables.JUDGEMENT_COLUMNS, _streamed(store, None))


@router.get("/batches/{batch_id}")
def show_batch(request: Request, store: Store, visitor: Overseer, batch_id: str) -> Response:
    """One batch: progress, agreement over time, its labelers, and the sharpest disagreements."""
    with store.read() as session:
        batch = overseen_batch(session, batch_id)
        progress = overview.batch_progress(session, batch, utc_now())
        figures = _cache(request).figures(session, batch)
        sharpest = overview.side_by_side(session, batch.id, figures.disagreements[:ON_BATCH_PAGE])
    return render(
        request,
        "overseer_batch.html",
        visitor,
        progress=progress,
        charts=_charts(figures),
        sharpest=sharpest,
        **_words(batch, figures),
    )


@router.get("/batches/{batch_id}/disagreements")
def show_disagreements(
    request: Request, store: Store, visitor: Overseer, batch_id: str, page: Annotated[int, Query(ge=1, le=1000)] = 1
) -> Response:
    """Prompts about which labelers contradict each other, the sharpest contradiction first, ten to a page."""
    with store.read() as session:
        batch = overseen_batch(session, batch_id)
        figures = _cache(request).figures(session, batch)
        start = (page - 1) * ON_A_PAGE
        shown = overview.side_by_side(session, batch.id, figures.disagreements[start : start + ON_A_PAGE])
    num_pages = -(-len(figures.disagreements) // ON_A_PAGE)
    values = {"shown": shown, "page": page, "num_pages": num_pages, "start": start}
    return render(request, "overseer_disagreements.html", visitor, **values, **_words(batch, figures))


@router.get("/batches/{batch_id}/judgements.csv")
def judgements_of_batch(store: Store, visitor: Overseer, batch_id: str) -> Response:
    """Every revision of every judgement of the batch."""
    with store.read() as session:
        overseen_batch(session, batch_id)
    return _csv(f"{batch_id}_judgements.csv", csv_tables.JUDGEMENT_COLUMNS, _streamed(store, batch_id))


@router.get("/batches/{batch_id}/labelers.csv")
def labelers_of_batch(request: Request, store: Store, visitor: Overseer, batch_id: str) -> Response:
    """The figures of each labeler of the batch."""
    rows = _of_figures(request, store, batch_id, lambda figures: csv_tables.labeler_rows(figures.labelers))
    return _csv(f"{batch_id}_labelers.csv", csv_tables.LABELER_COLUMNS, rows)


@router.get("/batches/{batch_id}/agreement.csv")
def agreement_of_batch(request: Request, store: Store, visitor: Overseer, batch_id: str) -> Response:
    """The agreement of the batch over time."""
    rows = _of_figures(request, store, batch_id, lambda figures: csv_tables.agreement_rows(figures.agreement))
    return _csv(f"{batch_id}_agreement.csv", csv_tables.AGREEMENT_COLUMNS, rows)


@router.get("/batches/{batch_id}/consensus.csv")
def consensus_of_batch(store: Store, visitor: Overseer, batch_id: str) -> Response:
    """What the labelers of the batch agree on."""
    with store.read() as session:
        agreed = overview.batch_consensus(session, overseen_batch(session, batch_id))
        rows = list(csv_tables.consensus_rows(session, agreed))
    return _csv(f"{batch_id}_consensus.csv", csv_tables.CONSENSUS_COLUMNS, rows)


def overseen_batch(session: Session, batch_id: str) -> Batch:
    """The batch with this id, an imported one too. Answers 404 where there is none."""
    batch = session.get(Batch, batch_id) if batch_id.isprintable() else None
    if batch is None:
        raise HTTPException(404, "There is no such batch.")
    return batch


def _cache(request: Request) -> FigureCache:
    state = request.app.state
    if not hasattr(state, "figure_cache"):
        state.figure_cache = FigureCache()
    return state.figure_cache


def _words(batch: Batch, figures: BatchFigures) -> dict[str, object]:
    """What the templates need to speak of a batch: its kind, its answers, and whom to rely on."""
    task = batch.task
    unwanted = {"yes": "no", "no": "yes"}.get(task.get("wanted"), "down")
    return {
        "batch": batch,
        "kind": KIND_NAMES[task["kind"]],
        "is_rated": task["kind"] in ("thumbs", "yes_no"),
        "figures": figures,
        "min_prompts": MIN_PROMPTS,
        "min_reliability": MIN_RELIABILITY,
        "answers": {True: task.get("wanted", "up"), False: unwanted},
        "reliability": {one.labeler: one.reliability for one in figures.labelers if one.reliability is not None},
    }


def _charts(figures: BatchFigures) -> dict[str, object]:
    points, days = figures.agreement, figures.days
    if not points:
        return {}
    labels = [one.label for one in points]
    return {
        "alpha": charts.line_chart(labels, [one.alpha for one in points]),
        "tau_b": charts.line_chart(labels, [one.tau_b for one in points]),
        "days": charts.bar_chart([str(one.day) for one in days], [one.num_judgements for one in days]),
    }


def _of_figures(
    request: Request, store: Store, batch_id: str, rows: Callable[[BatchFigures], Iterable[Sequence[csv_tables.Cell]]]
) -> Iterable[Sequence[csv_tables.Cell]]:
    with store.read() as session:
        return rows(_cache(request).figures(session, overseen_batch(session, batch_id)))


def _streamed(store: Store, batch_id: str | None) -> Iterator[Sequence[csv_tables.Cell]]:
    with store.read() as session:
        yield from csv_tables.judgement_rows(session, batch_id)


def _csv(name: str, columns: Sequence[str], rows: Iterable[Sequence[csv_tables.Cell]]) -> Response:
    return StreamingResponse(
        csv_tables.csv_text(columns, rows),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
