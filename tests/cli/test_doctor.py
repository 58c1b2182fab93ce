"""`rein doctor`: what it says of this machine, and of what is configured."""

import re
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from labeling.store import accounts
from labeling.store.database import FeedbackStore
from tests.calling import call_rein
from tests.free_port import free_port


class Healthy(BaseHTTPRequestHandler):
    """Answers /health and /api/health, and nothing else."""

    def do_GET(self):
        self.send_response(200 if self.path in ("/health", "/api/health") else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with HTTPServer(("127.0.0.1", 0), Healthy) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


@pytest.fixture
def doctor(tmp_path, monkeypatch):
    """Calls it in an empty folder, and gives exit status, lines by what stands before their colon, and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    def call(*words: str) -> tuple[int, dict[str, str], str]:
        done = call_rein("doctor", *words)
        return done.returncode, dict(line.split(": ", 1) for line in done.stdout.splitlines()), done.stderr

    return call


def test_it_says_what_is_installed_and_what_there_is(doctor, tmp_path):
    status, said, errors = doctor()
    assert (status, errors) == (0, "")
    assert re.fullmatch(
        r"Rein [\d.]+, Python [\d.]+, torch \S+, transformers [\d.]+, prefect [\d.]+, mlflow [\d.]+", said["versions"]
    )
    assert re.search(r", \d+ cores, \w+, (no )?bfloat16$", said["processor"])
    assert said["disk"].endswith(f" free for {tmp_path}/.rein") and "free" in said["memory"] and said["device"]
    assert said["Prefect"].startswith("no server is configured")
    assert said["MLflow"] == "sqlite:///.rein/mlflow.db: nothing is there yet; the first run makes it"
    assert said["feedback store"] == "sqlite:///.rein/feedback.db: nothing is there yet; the first run makes it"
    assert not (tmp_path / ".rein").exists(), "it only looks"


def test_it_asks_what_is_configured(doctor, server, tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", f"{server}/api")
    url = f"sqlite:///{tmp_path}/feedback.db"
    with FeedbackStore(url) as store, store.write() as session:
        accounts.add_labeler(session, "ann", False, datetime.now(UTC))
    status, said, _ = doctor("--tracking-uri", server, "--store", url)
    assert status == 0
    assert (said["Prefect"], said["MLflow"]) == (f"{server}/api answers", f"{server} answers")
    assert said["feedback store"] == f"{url}: batches 0, labelers 1, judgements 0"


def test_what_does_not_answer_is_named(doctor, server, tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", f"{server}/elsewhere/api")
    (tmp_path / "notes.txt").write_text("no database, and long enough not to look like one at all " * 20)
    nobody = f"http://127.0.0.1:{free_port()}"
    status, said, errors = doctor("--tracking-uri", nobody, "--store", f"sqlite:///{tmp_path}/notes.txt")
    assert (
        status == 1
        and errors == "\nPipelineError: Prefect, MLflow, feedback store: configured, and cannot be used; see above\n"
    )
    assert said["Prefect"].endswith("/elsewhere/api answers with status 404")
    assert said["MLflow"].startswith(f"{nobody} does not answer: ")
    assert "notes.txt" in said["feedback store"]
