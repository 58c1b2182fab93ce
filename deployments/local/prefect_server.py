"""Prefect's own server, for SQLite: what the database turns away because something else has just written is tried again.

SQLite refuses a transaction at once that has read before another one wrote. Prefect then answers 503, which its Python clients try
again, but its pages do not: whoever presses Run while a run is under way would see an error.

    python -m uvicorn --factory deployments.local.prefect_server:create_app
"""

import asyncio
import random
import time

from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UNAVAILABLE = 503
PAUSE_SECONDS = (0.02, 0.2)


def create_app() -> FastAPI:
    """What `prefect server start` serves, pages and background services included, within `AskedAgain`."""
    # here, because it takes seconds, and changes what SQLAlchemy does in whatever else the process imports
    from prefect.server.api.server import create_app as prefect_app

    app = prefect_app(final=True)
    app.add_middleware(AskedAgain)
    return app


class AskedAgain:
    """ASGI middleware: a request that would change something and is answered 503 is put again, until `seconds` have passed.

    Prefect says 503 of a transaction that was rolled back, so it has changed nothing.
    """

    def __init__(self, app: ASGIApp, seconds: float = 20.0):
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self.app(scope, receive, send)
            return
        body = await Request(scope, receive).body()
        deadline = time.monotonic() + self.seconds
        while time.monotonic() < deadline:
            if await self._is_answered(dict(scope), _given(body, receive), send):
                return
            await asyncio.sleep(random.uniform(*PAUSE_SECONDS))
        await self.app(scope, _given(body, receive), send)

    async def _is_answered(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether the answer was another one than 503, and has been sent."""
        is_unavailable = False

        async def send_unless_unavailable(message: Message) -> None:
            nonlocal is_unavailable
            if message["type"] == "http.response.start":
                is_unavailable = message["status"] == UNAVAILABLE
            if not is_unavailable:
                await send(message)

        try:
            await self.app(scope, receive, send_unless_unavailable)
        except Exception:  # Starlette raises what it has answered
            if not is_unavailable:
                raise
        return not is_unavailable


def _given(body: bytes, receive: Receive) -> Receive:
    """Gives a body that has been read, then whatever comes after it."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message
