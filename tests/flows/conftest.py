"""Real runs of the smallest preset with a real Prefect server and a real MLflow database.

The first run is a process of its own with a temporary Prefect server of its own, as a user starts it; so is what gets killed. The
others share a server and are called in this process, where everything is imported: that takes 2 to 5 seconds instead of 15.
"""

import contextlib
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from prefect.logging.configuration import setup_logging
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from tests.calling import call_rein
from tests.free_port import free_port
from tests.templates import empty_prefect
from tests.waiting import CEILING_SECONDS, until_it_answers

PROJECT = Path(__file__).resolve().parents[2]
SMOKE = PROJECT / "deployments" / "smoke.yaml"


@dataclass(frozen=True)
class Workplace:
    """A folder that `rein` is called in; `.rein/` grows below it."""

    folder: Path
    prefect_url: str
    registered_as: str = ""
    """What stands before the names that models are registered by; empty for those of the presets."""

    def rein(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Calls the command in this process, and gives what a shell would see of it."""
        with self.prefect(), prefects_log() as log:
            done = call_rein(*map(str, arguments), *self.where(arguments))
        done.stderr = log.getvalue() + done.stderr
        return done

    def prefect(self) -> contextlib.AbstractContextManager:
        """Meanwhile flows of this process are known to the shared server."""
        return temporary_settings({PREFECT_API_URL: self.prefect_url, PREFECT_LOGGING_TO_API_ENABLED: False})

    def start(self, *arguments: str | Path, own_server: bool = False) -> subprocess.Popen[str]:
        """Starts the command as a process, in a process group of its own, and does not wait for it."""
        environment = clean_environment() | ({} if own_server else {"PREFECT_API_URL": self.prefect_url})
        return subprocess.Popen(
            [sys.executable, "-m", "cli.command", *map(str, arguments), *self.where(arguments)],
            cwd=PROJECT,
            env=environment | {"PYTHONPATH": str(PROJECT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def where(self, arguments: tuple[str | Path, ...]) -> list[str]:
        """Everything that a run leaves goes below this folder."""
        if "--check" in arguments:
            return []
        if arguments[0] in ("withdraw", "lineage", "standings"):
            return ["--root", str(self.root), "--tracking-uri", self.tracking_uri, "--store", self.store_url]
        if arguments[0] == "compare":
            return ["--root", str(self.root)]
        if arguments[0] == "import":
            return ["--store", self.store_url]
        if arguments[0] in ("score", "chat"):
            return ["--root", str(self.root), "--tracking-uri", self.tracking_uri]
        names = [
            f"tracking.{one}_name={self.registered_as}-{one}" for one in ("reward", "policy") if self.registered_as
        ]
        return [
            f"storage.root={self.root}",
            f"tracking.uri={self.tracking_uri}",
            f"feedback.url={self.store_url}",
            *names,
        ]

    @property
    def root(self) -> Path:
        return self.folder / ".rein"

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.root}/mlflow.db"

    @property
    def store_url(self) -> str:
        return f"sqlite:///{self.root}/feedback.db"

    def report(self, *arguments: str | Path) -> dict:
        """Runs a flow to its end and gives back its report.json, beside the page whose path the command prints."""
        return self.report_of(self.rein(*arguments))

    def report_of(self, done: subprocess.CompletedProcess[str]) -> dict:
        """The report.json of a flow that has run to its end."""
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        printed = [line.removeprefix("report: ") for line in done.stdout.splitlines() if line.startswith("report: ")]
        return json.loads(Path(printed[0]).with_name("report.json").read_text(encoding="utf-8"))


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """What a command that was started has printed, once it has ended."""
    try:
        output, errors = process.communicate(timeout=CEILING_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


@contextlib.contextmanager
def prefects_log() -> Iterator[io.StringIO]:
    """What Prefect's loggers, those of flows and tasks among them, write meanwhile."""
    setup_logging()  # else the first flow would, and take the handler away
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    logging.getLogger("prefect").addHandler(handler)
    try:
        yield written
    finally:
        logging.getLogger("prefect").removeHandler(handler)


def clean_environment() -> dict[str, str]:
    """The environment without what would point a run at somebody's Prefect or MLflow."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API of a Prefect server that runs while the tests do."""
    home = tmp_path_factory.mktemp("prefect")
    shutil.copy(empty_prefect(tmp_path_factory), home / "prefect.db")
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    prefect = Path(sys.executable).parent / "prefect"
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            env=clean_environment() | {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    until_it_answers(process, f"{url}/health", home / "log")
    yield url
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory, prefect_url: str) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("workplace"), prefect_url)


@pytest.fixture(scope="session")
def apart(workplace: Workplace) -> Workplace:
    """The same place, where models go by other names: tests of versions by number find their own."""
    return replace(workplace, registered_as="apart")


@pytest.fixture(scope="session")
def first_report(workplace: Workplace) -> dict:
    """The report of the first run of the smallest preset."""
    return workplace.report_of(ended(workplace.start("rlhf", SMOKE, own_server=True)))
