"""What holds for every request: where it may come from, how much it may carry, and the headers that go with the answer."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024
READING = ("GET", "HEAD", "OPTIONS")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


class Guard:
    """ASGI middleware: adds the security headers to every answer, 403 to what another site posts, 413 to long bodies.

    A body is read whole before the app sees it, so that no endpoint starts on one that is too long. An exception in the app
    is answered by 500, with the headers, and raised again for the log.
    """

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sender = _Sender(scope["path"], send)
        if scope["method"] not in READING and not _is_own_origin(Headers(scope=scope)):
            await PlainTextResponse("This was sent by another site.", 403)(scope, receive, sender)
            return
        body = await _body(receive)
        if body is None:
            await PlainTextResponse(f"More than {MAX_BODY_BYTES} bytes.", 413)(scope, receive, sender)
            return
        try:
            await self.app(scope, _replay(body, receive), sender)
        except Exception:
            if not sender.has_started:
                await PlainTextResponse("Something went wrong here. It has been logged.", 500)(scope, receive, sender)
            raise


class _Sender:
    """Sends an answer on with the headers."""

    def __init__(self, path: str, send: Send):
        self.cache_control = "no-cache" if path.startswith("/static/") else "no-store"
        self.send = send
        self.has_started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            headers = MutableHeaders(scope=message)
            headers.update({**HEADERS, "Cache-Control": self.cache_control})
        await self.send(message)


def _is_own_origin(headers: Headers) -> bool:
    """Whether the page that posts came from this host. Browsers send Origin or Referer; without either it is refused."""
    source = headers.get("origin") or headers.get("referer")
    return source is not None and urlsplit(source).netloc == headers.get("host")


async def _body(receive: Receive) -> bytes | None:
    """The request's body, None when it is too long; then the rest stays unread."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, and then goes on with the real one."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed
