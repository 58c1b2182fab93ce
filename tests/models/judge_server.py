"""A real server on 127.0.0.1 that speaks OpenAI's chat completions, and misbehaves when it is told to."""

import json
import math
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Reply = Callable[["Handler"], None]
"""What is done with one request."""


class JudgeServer(ThreadingHTTPServer):
    """`bodies`: what was asked. `replies`: what the first requests get, in their order; all others, and those that get None, are answered by `judge`."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, judge: Callable[[dict], dict], replies: Sequence[Reply | None] = ()) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.judge, self.replies = judge, list(replies)
        self.bodies: list[dict] = []
        self.headers: list[dict[str, str]] = []
        self.lock, self.is_over = threading.Lock(), threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request, client_address) -> None:
        """A client that has gone is no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: JudgeServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.headers.append(dict(self.headers))
            reply = self.server.replies.pop(0) if self.server.replies else None
        if reply:
            reply(self)
        else:
            self.send(200, json.dumps(self.server.judge(body)))

    def send(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        data = text.encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(judge: Callable[[dict], dict], *replies: Reply | None) -> Iterator[JudgeServer]:
    """A server while the block runs."""
    server = JudgeServer(judge, replies)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.is_over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def status(code: int, text: str = "", **headers: str) -> Reply:
    return lambda handler: handler.send(code, text, {name.replace("_", "-"): value for name, value in headers.items()})


def cut_off(handler: Handler) -> None:
    """Half an answer: it announces more than it sends, and hangs up."""
    handler.send(200, '{"choices": [{"message": {"conte', {"Content-Length": "500"})
    handler.close_connection = True


def silent(handler: Handler) -> None:
    """No answer, until the server is over."""
    handler.server.is_over.wait()
    handler.close_connection = True


def chat(text: str, top: dict[str, float] | None = None) -> dict:
    """A chat completion; `top`: token -> probability, of the first token."""
    choice: dict = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    if top is not None:
        listed = [{"token": token, "logprob": math.log(p)} for token, p in top.items()]
        choice["logprobs"] = {"content": [{"token": text, "logprob": 0.0, "top_logprobs": listed}]}
    return {"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 2}}


def shown(body: dict) -> list[str]:
    """The completions that a question shows, in its order."""
    text = next(one["content"] for one in body["messages"] if one["role"] == "user")
    return [found[2] for found in re.findall(r"^(Completion(?: \d+)?):\n(=+)\n(.*?)\n\2$", text, re.M | re.S)]


def longer_is_better(body: dict) -> dict:
    """A judge without position bias that tells no probabilities."""
    texts = [(len(text), text) for text in shown(body)]
    if len(texts) == 2 and "1 or 2" in body["messages"][-1]["content"]:
        return chat("1" if texts[0] > texts[1] else "2")
    order = sorted(range(len(texts)), key=texts.__getitem__, reverse=True)
    return chat(" > ".join(str(place + 1) for place in order))
