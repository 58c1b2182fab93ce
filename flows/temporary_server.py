"""A Prefect server for the time of one command, which starts while torch, MLflow and the flows are imported.

Prefect starts one by itself, but only once everything is imported and a flow is called: some eight seconds later.
"""

import atexit
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import httpx

from models.errors import PipelineError

HOST = "127.0.0.1"
SECONDS_TO_END = 5.0


class ServerError(PipelineError):
    """The temporary Prefect server does not come up."""


def start_prefect_server() -> Callable[[], None]:
    """Gives a function that returns once the server is ready, to be called before a flow. Raises ServerError there.

    Where Prefect's settings name a server, or want no temporary one, nothing is started. To be called before flows/ is imported.
    """
    from prefect.context import refresh_global_settings_context
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url or not settings.server.ephemeral.enabled:
        return lambda: None
    url = f"http://{HOST}:{_free_port()}"
    served = ("--factory", "prefect.server.api.server:create_app", "--log-level", "error")
    where = ("--host", HOST, "--port", url.rpartition(":")[2])
    slim = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    command, environment = [sys.executable, "-m", "uvicorn", *served, *where], os.environ | slim
    # in a group of its own: it has to hear of a Ctrl-C, not to end by it
    process = subprocess.Popen(command, env=environment, process_group=0)
    atexit.register(_end, process)  # before Prefect registers its own, and so after it has sent its last log lines
    os.environ |= {"PREFECT_API_URL": f"{url}/api", "PREFECT_UI_URL": ""}  # no page of it lasts
    refresh_global_settings_context()
    deadline = time.monotonic() + settings.server.ephemeral.startup_timeout_seconds
    return lambda: _wait_until_ready(process, f"{url}/api/health", deadline)


def _wait_until_ready(process: subprocess.Popen, url: str, deadline: float) -> None:
    while not _is_ready(url):
        if process.poll() is not None:
            raise ServerError(f"Prefect's temporary server has ended with exit status {process.returncode}; see above")
        if time.monotonic() > deadline:
            raise ServerError(
                f"Prefect's temporary server is not ready at {url}; give it longer with "
                "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, or name a server with PREFECT_API_URL"
            )
        time.sleep(0.05)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
