"""The Prefect server of one command."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from cli.starting import temporary_server
from cli.starting.temporary_server import ServerError, wait_until_ready
from tests.flows.conftest import PROJECT, clean_environment
from tests.free_port import free_port
from tests.templates import empty_prefect
from tests.waiting import CEILING_SECONDS, answers, until

TRY = """
import json, os, psutil
from cli.starting.temporary_server import start_prefect_server
wait = start_prefect_server()
import prefect
wait()
processes = [one.pid for one in psutil.Process().children()]
with prefect.get_client(sync_client=True) as client:
    found = client.read_flows() if processes else None
    print(json.dumps([str(client.api_url), os.environ.get("PREFECT_API_URL"), processes, found]))
"""

WAIT = """
import os, signal, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background inherits that it is ignored
from cli.starting.temporary_server import start_prefect_server
wait = start_prefect_server()
from prefect import flow
wait()
@flow
def waits():
    print(os.environ["PREFECT_API_URL"], flush=True)
    try:
        threading.Event().wait(200)
    finally:
        threading.Event().wait(3)  # such as the last numbers take to MLflow
waits()
"""


def environment_of(home: Path) -> dict[str, str]:
    return clean_environment() | {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


def tried(home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    command, environment = [sys.executable, "-c", TRY], environment_of(home) | settings
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)


def test_a_server_comes_up_answers_and_is_gone_with_the_command(tmp_path):
    done = tried(tmp_path, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="1")  # is Prefect's own, and ends nothing
    assert done.returncode == 0, done.stderr
    used, named, processes, found = json.loads(done.stdout)
    assert len(processes) == 1 and used.rstrip("/") == named and found == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(named)
    assert (tmp_path / "prefect.db").exists(), "its database is kept where PREFECT_HOME says"


def test_a_server_that_the_environment_or_a_profile_names_is_used(tmp_path):
    url = "http://127.0.0.1:1/api"
    used, named, processes, _ = json.loads(tried(tmp_path, PREFECT_API_URL=url).stdout)
    assert (used.rstrip("/"), named, processes) == (url, url, [])
    (tmp_path / "profiles.toml").write_text(f'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "{url}"\n')
    used, named, processes, _ = json.loads(tried(tmp_path).stdout)
    assert (used.rstrip("/"), named, processes) == (url, None, [])


def test_one_that_cannot_start_is_an_error(tmp_path):
    elsewhere = f"sqlite+aiosqlite:///{tmp_path}/no/such/folder/prefect.db"
    done = tried(tmp_path, PREFECT_SERVER_DATABASE_CONNECTION_URL=elsewhere)
    assert "ServerError: Prefect's temporary server has ended with exit status 3; see above" in done.stderr


@pytest.fixture
def late() -> Iterator[tuple[subprocess.Popen, str]]:
    """A process that serves its folder once it has read a line, and its address."""
    port = free_port()
    serve = f"import http.server, sys; sys.stdin.readline(); http.server.test(http.server.SimpleHTTPRequestHandler, port={port}, bind='127.0.0.1')"
    with subprocess.Popen([sys.executable, "-c", serve], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        yield process, f"http://127.0.0.1:{port}"
        process.kill()


@pytest.fixture
def long_ago(monkeypatch) -> float:
    """A start after which the user is to be told what is waited for, at once."""
    monkeypatch.setattr(temporary_server, "TOLD_AFTER_SECONDS", 100.0)
    return time.monotonic() - 200


def test_a_late_one_is_waited_for_and_the_user_is_told_so_once(late, long_ago, monkeypatch):
    process, url = late
    said = []

    def told(line: str) -> None:
        said.append(line)
        if "waiting for Prefect's temporary server" in line:
            process.stdin.write(b"\n")
            process.stdin.flush()

    monkeypatch.setattr(temporary_server.sys, "stderr", SimpleNamespace(write=told, flush=lambda: None))
    wait_until_ready(process, url, long_ago)
    assert "".join(said) == "waiting for Prefect's temporary server, which takes long on a busy machine\n"


def test_one_that_ends_or_hangs_is_waited_for_no_longer(late, long_ago, monkeypatch):
    process, url = late
    monkeypatch.setattr(temporary_server, "LONGEST_SECONDS", 150.0)
    with pytest.raises(ServerError, match=f"does not answer at {url} after 200 s; name a server with PREFECT_API_URL"):
        wait_until_ready(process, url, long_ago)
    process.kill()
    process.wait()
    with pytest.raises(ServerError, match="has ended with exit status -9"):
        wait_until_ready(process, url, long_ago)


@pytest.fixture
def home(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One in which a server has been before."""
    return Path(shutil.copy(empty_prefect(tmp_path_factory), tmp_path / "prefect.db")).parent


@contextmanager
def waiting(home: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """A command, in a process group of its own, whose flow does nothing; and the address of its server."""
    command, environment = [sys.executable, "-c", WAIT], environment_of(home)
    with subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True, process_group=0
    ) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_it_hears_of_a_ctrl_c_before_it_ends(home):
    with waiting(home) as (process, _):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        process.wait(timeout=CEILING_SECONDS)
    with sqlite3.connect(f"file:{home}/prefect.db?mode=ro", uri=True) as database:
        assert database.execute("select state_name from flow_run").fetchall() == [("Crashed",)]


def test_it_ends_with_a_command_that_is_killed(home):
    with waiting(home) as (process, url):
        assert answers(f"{url}/health")
        process.kill()
        until(lambda: not answers(f"{url}/health"))
