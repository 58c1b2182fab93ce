"""What the page's scripts ask for and send: the next task, answers, skips and undo. JSON in, JSON out.

An answer is committed before the next task is looked up: who reads `saved` can rely on it.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy.orm import Session

from labeling.page.access import Posting, Store, utc_now
from labeling.page.markdown import text_html
from labeling.page.pages import published_batch
from labeling.store import judgements
from labeling.store.accounts import Visitor
from labeling.store.assignments import Given, as_shown, next_task, progress
from labeling.store.batches import has_read_instructions
from labeling.store.qualification import trial_of
from labeling.store.schema import Assignment, Batch, Judgement, Task
from models.conversation import SPEAKERS, turns
from models.degrees import Degree
from models.errors import DataError

SubmissionKey = Annotated[str, StringConstraints(pattern=r"^[\w-]+$", max_length=judgements.MAX_SUBMISSION_LENGTH)]
AssignmentId = Annotated[int, Path(ge=1, lt=2**31)]

router = APIRouter(prefix="/api")


class Posted(BaseModel):
    """Base of what is posted: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class PostedAnswer(Posted):
    """An answer to a task: `levels` and `unusable` where completions are compared (and `degree`, if asked), `answer` where one is judged."""

    submission: SubmissionKey
    levels: list[list[str]] = []
    unusable: dict[str, str] = {}
    answer: Literal["up", "down", "yes", "no"] | None = None
    degree: Degree | None = None
    note: Annotated[str, Field(pattern=r"^[^\x00]*$")] = ""


class PostedKey(Posted):
    """That what this submission judged or skipped is to be shown again."""

    submission: SubmissionKey


class PostedSkip(PostedKey):
    """That a task is skipped; `takes_back`: the submission that has judged it."""

    takes_back: SubmissionKey | None = None


@router.post("/batches/{batch_id}/next")
def show_next(store: Store, visitor: Posting, batch_id: str) -> dict[str, Any]:
    """The task to judge now."""
    with store.read() as session:
        batch = published_batch(session, batch_id)
    return _next(store, batch, visitor)


@router.post("/assignments/{assignment_id}/judgement")
def save(store: Store, visitor: Posting, assignment_id: AssignmentId, posted: PostedAnswer) -> dict[str, Any]:
    """Stores an answer, and once that is committed looks up the next task."""
    with store.write() as session:
        batch = _batch_of(session, assignment_id, visitor)
        answer = judgements.Answer(
            submission=posted.submission,
            levels=tuple(tuple(level) for level in posted.levels),
            unusable=posted.unusable,
            wanted=_wanted(batch, posted.answer),
            degree=posted.degree,
            note=posted.note,
        )
        saved = judgements.judge(session, assignment_id, visitor.labeler_id, answer, utc_now()).id
    return {"saved": saved, "next": _next(store, batch, visitor)}


@router.post("/assignments/{assignment_id}/skip")
def skip(store: Store, visitor: Posting, assignment_id: AssignmentId, posted: PostedSkip) -> dict[str, Any]:
    """Sets a task aside, and then looks up the next one."""
    with store.write() as session:
        batch = _batch_of(session, assignment_id, visitor)
        judgements.skip(session, assignment_id, visitor.labeler_id, posted.submission, utc_now(), posted.takes_back)
    return {"next": _next(store, batch, visitor)}


@router.post("/batches/{batch_id}/reopen")
def reopen(store: Store, visitor: Posting, batch_id: str, posted: PostedKey) -> dict[str, Any]:
    """Shows the task again that a submission judged or skipped, to judge it again; `next` is None when that does not hold any more."""
    with store.write() as session:
        batch = published_batch(session, batch_id)
        opened = judgements.reopen(session, batch, visitor.labeler_id, posted.submission, utc_now())
        task = None if opened is None else _shown(as_shown(session, opened))
    return {"next": None if task is None else {"task": task, **_so_far(store, batch, visitor, opened)}}


def _next(store: Store, batch: Batch, visitor: Visitor) -> dict[str, Any]:
    """`task` (None: nothing is left) and what `_so_far` gives; or that newer instructions are to be read first."""
    with store.write() as session:
        if not has_read_instructions(session, visitor.labeler_id, batch.id):
            return {"read_instructions": True}
        given = next_task(session, batch, visitor.labeler_id, utc_now())
        task = None if given is None else _shown(given)
    return {"task": task, **_so_far(store, batch, visitor)}


def _so_far(store: Store, batch: Batch, visitor: Visitor, opened: Assignment | None = None) -> dict[str, Any]:
    """`progress`; of a qualification under way `trial`, how many of its tasks are done; `is_unqualified`; `code`, where nothing is left for who has
    judged; and `last`: the submission that undo opens, None for none; it is before the one that is `opened` again.

    In a transaction of its own: counting must not keep the others from writing.
    """
    with store.read() as session:
        one = progress(session, batch, visitor.labeler_id, utc_now())
        last = judgements.last_submission(session, batch.id, visitor.labeler_id, opened)
        trial = trial_of(session, batch, visitor.labeler_id)
    is_finished = one.num_done and not one.num_left and not trial.is_failed
    return {
        "progress": {"done": one.num_done, "skipped": one.num_skipped, "left": one.num_left},
        "trial": {"done": trial.num_done, "of": trial.num_tasks} if trial.is_under_way else None,
        "is_unqualified": trial.is_failed,
        "code": batch.completion_code if is_finished else None,
        "last": last,
    }


def _batch_of(session: Session, assignment_id: int, visitor: Visitor) -> Batch:
    assignment = session.get(Assignment, assignment_id)
    if assignment is None or assignment.labeler_id != visitor.labeler_id:
        raise judgements.NotYours("This task was given to someone else.")
    return session.get_one(Batch, session.get_one(Task, assignment.task_id).batch_id)


def _answers(batch: Batch) -> dict[str, bool]:
    """What can be answered in a batch, and whether that is what is wanted."""
    if batch.task["kind"] == "thumbs":
        return {"up": True, "down": False}
    if batch.task["kind"] == "yes_no":
        return {answer: answer == batch.task["wanted"] for answer in ("yes", "no")}
    return {}


def _wanted(batch: Batch, answer: str | None) -> bool | None:
    if answer is None:
        return None
    answers = _answers(batch)
    if answer not in answers:
        raise DataError(f"answer: {answer} is none of {', '.join(answers) or 'those that this task takes'}")
    return answers[answer]


def _shown(given: Given) -> dict[str, Any]:
    return {
        "assignment": given.assignment_id,
        "turns": [{"speaker": SPEAKERS[one["role"]], **_text(one["content"])} for one in turns(given.prompt)],
        "completions": [{"id": name, **_text(text)} for name, text in given.completions],
        "former": None if given.former is None else _former(given.batch, given.former),
        "judged_by": given.judged_by,
    }


def _text(text: str) -> dict[str, str]:
    """A text as it is written, and as a reader would see it."""
    return {"text": text, "html": text_html(text)}


def _former(batch: Batch, former: Judgement) -> dict[str, Any]:
    """What was said before, as it was posted."""
    said = [answer for answer, wanted in _answers(batch).items() if wanted == former.wanted]
    return {
        "levels": former.levels or [],
        "unusable": former.unusable or {},
        "degree": former.degree,
        "answer": said[0] if said else None,
        "note": former.note,
    }
