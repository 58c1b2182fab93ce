"""Prefect's server while something else writes to its database: plain, and ours."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from deployments.local.prefect_server import AskedAgain
from deployments.local.programs import Program, Programs
from tests.free_port import free_port
from tests.templates import empty_prefect
from tests.waiting import CEILING_SECONDS

PLAIN = "prefect.server.api.server:create_app"
OURS = "deployments.local.prefect_server:create_app"


@pytest.fixture
def serve(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Starts a server without background services, its database in `tmp_path`; gives the address of its API."""
    shutil.copy(empty_prefect(tmp_path_factory), tmp_path / "prefect.db")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    slim = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT__SERVER_WEBSERVER_ONLY": "1"}
    programs = Programs(tmp_path, kept | slim | {"PREFECT_HOME": str(tmp_path)}, print)

    def served(factory: str) -> str:
        port = free_port()
        command = (sys.executable, "-m", "uvicorn", "--factory", factory, "--port", f"{port}")
        programs.start(Program("prefect", command, f"http://127.0.0.1:{port}/api/health"))
        programs.wait_until_ready()
        return f"http://127.0.0.1:{port}/api"

    yield served
    programs.stop()


@contextmanager
def somebody_writes(database: Path) -> Iterator[None]:
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def press_run(api: str) -> Callable[[], int]:
    """Registers a deployment; calling what it gives makes a run of it, as Prefect's page does, and gives the status."""
    flow = httpx.post(f"{api}/flows/", json={"name": "flow"}, timeout=CEILING_SECONDS).json()["id"]
    deployment = httpx.post(
        f"{api}/deployments/", json={"name": "one", "flow_id": flow}, timeout=CEILING_SECONDS
    ).json()["id"]
    return lambda: (
        httpx.post(f"{api}/deployments/{deployment}/create_flow_run", json={}, timeout=CEILING_SECONDS).status_code
    )


def test_a_plain_server_turns_away_who_presses_run_while_something_writes(serve, tmp_path):
    """What the middleware is for; were this green in some later Prefect, it could go."""
    press = press_run(serve(PLAIN))
    assert press() == 201
    with somebody_writes(tmp_path / "prefect.db"):
        assert press() == 503


def test_ours_waits_and_makes_one_run(serve, tmp_path):
    api = serve(OURS)
    press = press_run(api)
    with ThreadPoolExecutor() as pool:
        with somebody_writes(tmp_path / "prefect.db"):
            pressed = pool.submit(press)
            with pytest.raises(TimeoutError):
                pressed.result(timeout=1)
        assert pressed.result(timeout=CEILING_SECONDS) == 201
    assert httpx.post(f"{api}/flow_runs/count", json={}, timeout=CEILING_SECONDS).json() == 1


class Busy:
    """An application (a fake one) that is unavailable a number of times, raising after its answer as Starlette does."""

    def __init__(self, num_times: int):
        self.num_left = num_times
        self.bodies: list[bytes] = []
        routes = [Route("/", self.answer, methods=["GET", "POST"])]
        self.app = Starlette(routes=routes, exception_handlers={Exception: self.unavailable})

    async def answer(self, request: Request) -> PlainTextResponse:
        self.bodies.append(await request.body())
        self.num_left -= 1
        if self.num_left >= 0:
            raise sqlite3.OperationalError("database is locked")
        return PlainTextResponse("done", 201)

    async def unavailable(self, request: Request, error: Exception) -> PlainTextResponse:
        return PlainTextResponse("unavailable", 503)


def test_the_same_body_is_put_until_it_is_taken():
    busy = Busy(3)
    answer = TestClient(AskedAgain(busy.app)).post("/", content=b"body")
    assert (answer.status_code, answer.text) == (201, "done")
    assert busy.bodies == [b"body"] * 4


def test_after_a_while_the_answer_stands():
    busy = Busy(1000)
    answer = TestClient(AskedAgain(busy.app, seconds=0.3), raise_server_exceptions=False).post("/", content=b"body")
    assert (answer.status_code, answer.text) == (503, "unavailable")
    assert 2 <= len(busy.bodies) <= 17


def test_who_only_reads_is_answered_at_once():
    busy = Busy(1)
    assert TestClient(AskedAgain(busy.app), raise_server_exceptions=False).get("/").status_code == 503
    assert len(busy.bodies) == 1


def test_other_errors_are_not_put_again():
    async def broken(request: Request) -> PlainTextResponse:
        asked.append(request.method)
        raise ValueError("a mistake")

    asked: list[str] = []
    app = AskedAgain(Starlette(routes=[Route("/", broken, methods=["POST"])]))
    assert TestClient(app, raise_server_exceptions=False).post("/").status_code == 500
    with pytest.raises(ValueError, match="a mistake"):
        TestClient(app).post("/")
    assert asked == ["POST", "POST"]
