"""A real Label Studio for tests, in a folder of its own, and people who sign up there."""

import os
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

PROGRAM = Path(__file__).resolve().parents[2] / ".label-studio/bin/label-studio"
START_SECONDS = 900


@contextmanager
def running(folder: Path) -> Iterator[tuple[str, str]]:
    """(address, token of its owner) of a server that stops afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(20)
    settings = {
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "XDG_CACHE_HOME": str(folder),
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_USERNAME": "owner@example.org",
        "LABEL_STUDIO_PASSWORD": secrets.token_hex(10),
        "LABEL_STUDIO_USER_TOKEN": token,
    }
    command = [PROGRAM, "start", "--no-browser", "--data-dir", folder / "data", "--internal-host", "127.0.0.1"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=folder,
            env=os.environ | settings,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_up(url, process, folder / "log")
            yield url, token
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def _wait_until_up(url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise RuntimeError(f"Label Studio did not start:\n{log.read_text()[-3000:]}")


class Person:
    """Somebody who has signed up; `api` speaks as their browser does."""

    def __init__(self, url: str, name: str):
        self.email = f"{name}@example.org"
        self.password = secrets.token_hex(10)
        session = httpx.Client(base_url=url, follow_redirects=True, timeout=60)
        page = session.get("/user/signup/").text
        form = {
            "csrfmiddlewaretoken": re.search(r'csrfmiddlewaretoken" value="([^"]+)"', page)[1],
            "email": self.email,
            "password": self.password,
            "allow_newsletters": "false",
        }
        session.post("/user/signup/", data=form, headers={"Referer": url}).raise_for_status()
        token = session.get("/api/current-user/token").raise_for_status().json()["token"]
        headers = {"X-CSRFToken": session.cookies["csrftoken"], "Referer": url}
        self.personal_token = session.post("/api/token/", headers=headers).raise_for_status().json()["token"]
        session.close()
        self.api = httpx.Client(base_url=url, headers={"Authorization": f"Token {token}"}, timeout=60)

    def submit(self, project: int, task: int, value: dict, seconds: float = 9.5) -> int:
        """The id of a new annotation with this value of the Ranker, as its page sends it."""
        sent = {"lead_time": seconds, "result": [_result(value)], "draft_id": 0, "project": str(project)}
        path = f"/api/tasks/{task}/annotations?project={project}"
        return self.api.post(path, json=sent).raise_for_status().json()["id"]

    def skip(self, project: int, task: int) -> None:
        """Skips a task."""
        sent = {"lead_time": 2.5, "result": [], "was_cancelled": True, "project": str(project)}
        self.api.post(f"/api/tasks/{task}/annotations?project={project}", json=sent).raise_for_status()

    def leave_draft(self, project: int, task: int, value: dict) -> None:
        """Ranks without submitting."""
        sent = {"lead_time": 3, "result": [_result(value)], "draft_id": 0, "project": str(project)}
        self.api.post(f"/api/tasks/{task}/drafts?project={project}", json=sent).raise_for_status()

    def update(self, annotation: int, value: dict) -> None:
        """Changes an annotation; Label Studio lets everybody change everybody's."""
        self.api.patch(f"/api/annotations/{annotation}", json={"result": [_result(value)]}).raise_for_status()

    def delete(self, annotation: int) -> None:
        """Deletes an annotation."""
        self.api.delete(f"/api/annotations/{annotation}/").raise_for_status()


def _result(value: dict) -> dict:
    names = {"from_name": "ranking", "to_name": "completions", "type": "ranker", "origin": "manual"}
    return {"id": secrets.token_hex(5), "value": {"ranker": value}, **names}
