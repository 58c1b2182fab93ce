"""What every page builds on: the store, the templates, who is signed in, and the check of what is posted.

An endpoint names what it needs in its signature: `store: Store`, `visitor: SignedIn`. One that changes something takes
`Posting` instead (or `OverseerPosting`): signed in, and the form token came along.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from labeling.store.accounts import Visitor, form_token_fits, visitor_of
from labeling.store.database import FeedbackStore

COOKIE = "rein_sign_in"
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")

templates = Jinja2Templates(directory=Path(__file__).parent / "templates")


class SignInNeeded(Exception):
    """Someone who is not signed in asks for what only visitors who are may see."""


def utc_now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


def feedback_store(request: Request) -> FeedbackStore:
    """The store that the app was made with."""
    return request.app.state.store


Store = Annotated[FeedbackStore, Depends(feedback_store)]


def current_visitor(request: Request, store: Store) -> Visitor:
    """Who is signed in. Raises SignInNeeded when no one is."""
    cookie = request.cookies.get(COOKIE)
    if cookie is None:
        raise SignInNeeded
    with store.read() as session:
        visitor = visitor_of(session, cookie, utc_now())
    if visitor is None:
        raise SignInNeeded
    return visitor


SignedIn = Annotated[Visitor, Depends(current_visitor)]


async def given_form_token(request: Request) -> str:
    """The form token that came with a request: the header X-Form-Token or the form field `form_token`; else empty."""
    header = request.headers.get("x-form-token")
    if header is not None:
        return header
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() in FORM_TYPES:
        form = await request.form()
        return str(form.get("form_token", ""))
    return ""


def posting_visitor(visitor: SignedIn, token: Annotated[str, Depends(given_form_token)]) -> Visitor:
    """Who posts. Answers 403 unless the form token of their own sign-in came along."""
    if not form_token_fits(visitor, token):
        raise HTTPException(403, "This form is not from your present sign-in. Load the page again.")
    return visitor


Posting = Annotated[Visitor, Depends(posting_visitor)]


def require_overseer(visitor: SignedIn) -> Visitor:
    """The signed-in overseer. Answers 403 to labelers."""
    if not visitor.is_overseer:
        raise HTTPException(403, "Only overseers may see this.")
    return visitor


Overseer = Annotated[Visitor, Depends(require_overseer)]


def posting_overseer(visitor: Overseer, _: Posting) -> Visitor:
    """The overseer who posts: both checks."""
    return visitor


OverseerPosting = Annotated[Visitor, Depends(posting_overseer)]


def render(
    request: Request, template: str, visitor: Visitor | None, status_code: int = 200, **values: object
) -> HTMLResponse:
    """A page from a template that extends base.html; everything in `values` is escaped."""
    return templates.TemplateResponse(request, template, {"visitor": visitor, **values}, status_code=status_code)
