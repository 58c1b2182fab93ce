"""A proxy before a real server, as a team has one: it lets requests through, or answers by itself, as when a token has expired."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


class Gate:
    """Listens at `url`. While `answer` is set to (status, type, text), it says that instead of asking the server behind it."""

    def __init__(self, behind: str = "") -> None:
        self.answer: tuple[int, str, str] | None = None
        self.num_asked = 0
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                gate.num_asked += 1
                if gate.answer is None:
                    kind = {"Content-Type": self.headers.get("Content-Type", "application/json")}
                    there = httpx.request(self.command, behind + self.path, content=body, headers=kind, timeout=60)
                    status, kind, text = there.status_code, there.headers["Content-Type"], there.text
                else:
                    status, kind, text = gate.answer
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_PATCH = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        """Listens no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
