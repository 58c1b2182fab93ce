"""Signing in by a personal token, and out again."""

import re
import time
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from labeling.page.access import COOKIE, Posting, Store, render, utc_now
from labeling.page.rate_limit import FailureLimit
from labeling.store import accounts

UNKNOWN = "No one has this token. Check that all of it was pasted, or ask the person who gave it to you for a new one."

router = APIRouter()


@router.get("/sign-in")
def show(request: Request, next: str = "/") -> Response:
    """The sign-in form; `next` is the path to go to afterwards."""
    return render(request, "sign_in.html", None, next=_own_path(next))


@router.post("/sign-in")
def enter(
    request: Request, store: Store, token: Annotated[str, Form()] = "", next: Annotated[str, Form()] = "/"
) -> Response:
    """Sets the cookie and goes on, or says what is wrong: 401 for an unknown token, 429 after too many of them."""
    limit: FailureLimit = request.app.state.sign_in_limit
    address, path = request.client.host if request.client else "", _own_path(next)
    wait = limit.seconds_to_wait(address, time.monotonic())
    if wait:
        message = f"Too many wrong tokens. Try again in {-(-wait // 60)} min."
        answer = render(request, "sign_in.html", None, 429, next=path, message=message)
        answer.headers["Retry-After"] = str(wait)
        return answer
    with store.write() as session:
        cookie = accounts.sign_in(session, token, utc_now())
    if cookie is None:
        limit.note_failure(address, time.monotonic())
        return render(request, "sign_in.html", None, 401, next=path, message=UNKNOWN)
    answer = RedirectResponse(path, 303)
    answer.set_cookie(
        COOKIE,
        cookie,
        max_age=accounts.SIGN_IN_DAYS * 24 * 3600,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


@router.post("/sign-out")
def leave(request: Request, store: Store, _: Posting) -> Response:
    """Forgets this browser."""
    with store.write() as session:
        accounts.sign_out(session, request.cookies[COOKIE])
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


def _own_path(path: str) -> str:
    """The path if it is one of this site, else "/": nobody is sent elsewhere after signing in."""
    return path if re.fullmatch(r"/([\w.-]+(/[\w.-]+)*)?", path, re.ASCII) else "/"
