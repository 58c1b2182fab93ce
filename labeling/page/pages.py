"""What labelers see: the list of batches, the instructions, and the frame in which tasks are judged."""

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from labeling.page.access import Posting, SignedIn, Store, render, utc_now
from labeling.page.markdown import instructions_html
from labeling.store.assignments import Progress, progress
from labeling.store.batches import current_instructions, has_read_instructions, mark_instructions_read
from labeling.store.judgements import MAX_NOTE_LENGTH, UNUSABLE_REASONS
from labeling.store.schema import Batch
from models.degrees import DEGREES

KIND_NAMES = {"ranking": "Ranking", "choice": "A against B", "thumbs": "Thumbs up or down", "yes_no": "Yes or no"}

router = APIRouter()


def published_batch(session: Session, batch_id: str) -> Batch:
    """The batch with this id. Answers 404 where there is none, and for an imported one."""
    batch = session.get(Batch, batch_id) if batch_id.isprintable() else None
    if batch is None or batch.labelers_per_prompt == 0:
        raise HTTPException(404, "There is no such batch.")
    return batch


@router.get("/")
def start(store: Store, visitor: SignedIn) -> Response:
    """Goes to the one batch that has work for the visitor, or to the list."""
    waiting = [batch.id for batch, one in _batches(store, visitor.labeler_id) if one.num_left]
    return RedirectResponse(f"/batches/{waiting[0]}" if len(waiting) == 1 else "/batches", 303)


@router.get("/batches")
def list_batches(request: Request, store: Store, visitor: SignedIn) -> Response:
    """All published batches, newest first, and how far the visitor is in each."""
    batches = _batches(store, visitor.labeler_id)
    return render(request, "batches.html", visitor, batches=batches, kind_names=KIND_NAMES)


@router.get("/batches/{batch_id}")
def show_batch(request: Request, store: Store, visitor: SignedIn, batch_id: str) -> Response:
    """The instructions while their newest version is unread, then the frame that scripts fill with tasks."""
    with store.read() as session:
        batch = published_batch(session, batch_id)
        instructions = current_instructions(session, batch_id)
        is_read = has_read_instructions(session, visitor.labeler_id, batch_id)
    values = {"batch": batch, "instructions": instructions, "instructions_html": instructions_html(instructions.text)}
    if not is_read:
        return render(request, "instructions.html", visitor, **values)
    degrees = DEGREES if batch.task.get("degrees") else ()
    values |= {"reasons": UNUSABLE_REASONS, "max_note_length": MAX_NOTE_LENGTH, "degrees": degrees}
    return render(request, "task.html", visitor, **values)


@router.post("/batches/{batch_id}/instructions-read")
def go_on(store: Store, visitor: Posting, batch_id: str, version: Annotated[int, Form(ge=1, lt=2**31)]) -> Response:
    """Notes that the visitor has read a version of the instructions, and goes on to the tasks."""
    with store.write() as session:
        published_batch(session, batch_id)
        mark_instructions_read(session, visitor.labeler_id, batch_id, version, utc_now())
    return RedirectResponse(f"/batches/{batch_id}", 303)


@router.get("/health")
def health(store: Store) -> Response:
    """200 "ok" when the database answers."""
    with store.read() as session:
        session.execute(text("SELECT 1"))
    return Response("ok", media_type="text/plain")


def _batches(store: Store, labeler_id: int) -> list[tuple[Batch, Progress]]:
    with store.read() as session:
        published = select(Batch).where(Batch.labelers_per_prompt > 0).order_by(Batch.created_at.desc(), Batch.id)
        return [(batch, progress(session, batch, labeler_id, utc_now())) for batch in session.scalars(published).all()]
