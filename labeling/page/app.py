"""The labelers' page as an ASGI app."""

from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from labeling.page import api, overseer, pages, sign_in, steering
from labeling.page.access import SignInNeeded, render
from labeling.page.guard import Guard
from labeling.page.rate_limit import FailureLimit
from labeling.store.database import FeedbackStore
from labeling.store.judgements import NotYours
from models.errors import DataError

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


def create_app(store: FeedbackStore, allowed_hosts: Sequence[str] = LOCAL_HOSTS) -> FastAPI:
    """The page over an open store. `allowed_hosts`: the names by which browsers may address it; others get 400."""
    app = FastAPI(
        openapi_url=None,
        exception_handlers={
            SignInNeeded: _sign_in_needed,
            NotYours: _not_yours,
            DataError: _wrong_data,
            RequestValidationError: _wrong_form,
            HTTPException: _refused,
        },
    )
    app.state.store = store
    app.state.sign_in_limit = FailureLimit()
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts), www_redirect=False)
    app.add_middleware(Guard)
    for part in (sign_in, pages, api, overseer, steering):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    return app


def _sign_in_needed(request: Request, _: SignInNeeded) -> Response:
    if _is_api(request):
        return _answer(request, 401, "You are signed out.")
    path = request.url.path
    return RedirectResponse("/sign-in" if path == "/" else f"/sign-in?next={path}", 303)


def _not_yours(request: Request, error: NotYours) -> Response:
    return _answer(request, 403, str(error))


def _wrong_data(request: Request, error: DataError) -> Response:
    return _answer(request, 422, str(error))


def _wrong_form(request: Request, error: RequestValidationError) -> Response:
    complaints = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()]
    return _answer(request, 422, "; ".join(complaints))


def _refused(request: Request, error: HTTPException) -> Response:
    return _answer(request, error.status_code, error.detail, error.headers)


def _answer(request: Request, status: int, message: str, headers: Any = None) -> Response:
    """The message as JSON for scripts, as a page for people."""
    if _is_api(request):
        return JSONResponse({"error": message}, status, headers)
    answer = render(request, "error.html", None, status, message=message, phrase=HTTPStatus(status).phrase)
    answer.headers.update(headers or {})
    return answer


def _is_api(request: Request) -> bool:
    return request.url.path.startswith("/api/")
