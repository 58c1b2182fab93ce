"""A Prefect server for the time of one command, which starts while torch, MLflow and the flows are imported.

Prefect starts one by itself, but only once everything is imported and a flow is called: some eight seconds later. It also ends it by
the Ctrl-C that it should hear of, and leaves it behind when the command is killed.
"""

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING

import httpx

from models.errors import PipelineError
from models.records import collector_paused

if TYPE_CHECKING:
    from fastapi import FastAPI

HOST = "127.0.0.1"
SECONDS_TO_END = 5.0
TOLD_AFTER_SECONDS = 20.0
LONGEST_SECONDS = 900.0


class ServerError(PipelineError):
    """The temporary Prefect server does not come up."""


def start_prefect_server() -> Callable[..., None]:
    """Gives a function that returns once the server is ready (`wait_until_ready`), to be called before a flow.

    Its arguments are modules that will be needed: while the server is not ready, they are imported.

    Where Prefect's settings name a server, or want no temporary one, nothing is started. To be called before a flow is imported.
    """
    from prefect.context import refresh_global_settings_context
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url or not settings.server.ephemeral.enabled:
        return lambda *meanwhile: None
    url = f"http://{HOST}:{_free_port()}"
    served = ("--factory", "cli.starting.temporary_server:create_app", "--log-level", "error")
    where = ("--host", HOST, "--port", url.rpartition(":")[2])
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", *served, *where],
        env=os.environ | {"PREFECT_UI_ENABLED": "0"},
        stdin=subprocess.PIPE,
        process_group=0,  # it has to hear of a Ctrl-C, not to end by it
    )
    started = time.monotonic()
    atexit.register(_end, process)  # before Prefect registers its own, and so after it has sent its last log lines
    os.environ |= {"PREFECT_API_URL": f"{url}/api", "PREFECT_UI_URL": ""}  # no page of it lasts
    refresh_global_settings_context()
    return lambda *meanwhile: wait_until_ready(process, f"{url}/api/health", started, meanwhile)


def create_app() -> "FastAPI":
    """What the server's process serves: Prefect's application, until its standard input is closed."""
    with collector_paused():  # what is imported stays: to look for what could go takes a quarter of the time
        from prefect.server.api.server import create_app as prefect_app
    threading.Thread(target=_end_with_the_command, daemon=True).start()
    return prefect_app(ephemeral=True, final=True)


def _end_with_the_command() -> None:
    os.read(sys.stdin.fileno(), 1)  # the command holds the other end, and the system closes it however the command ends
    os.kill(os.getpid(), signal.SIGTERM)


def wait_until_ready(process: subprocess.Popen, url: str, started: float, meanwhile: Iterable[str] = ()) -> None:
    """Returns once the server answers, however long it takes while its process lives: on a busy machine, minutes.

    Says on stderr what is waited for when that takes long. Raises ServerError when the process has ended, and after 15 minutes.
    """
    told, to_import = False, iter(meanwhile)
    with httpx.Client() as client:  # one: to make it loads certificates, which takes longer than to ask
        while not _is_ready(client, url):
            if process.poll() is not None:
                raise ServerError(
                    f"Prefect's temporary server has ended with exit status {process.returncode}; see above"
                )
            waited = time.monotonic() - started
            if waited > LONGEST_SECONDS:
                raise ServerError(
                    f"Prefect's temporary server does not answer at {url} after {waited:.0f} s; name a server with PREFECT_API_URL"
                )
            if waited > TOLD_AFTER_SECONDS and not told:
                print(
                    "waiting for Prefect's temporary server, which takes long on a busy machine",
                    file=sys.stderr,
                    flush=True,
                )
                told = True
            if module := next(to_import, None):
                import_module(module)
            else:
                time.sleep(0.05)


def _is_ready(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _end(process: subprocess.Popen) -> None:
    process.stdin.close()
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
