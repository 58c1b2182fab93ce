"""Real runs of the smallest preset: a real (temporary) Prefect server and a real MLflow database, in a process of their own."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SMOKE = PROJECT / "deployments" / "smoke.yaml"


@dataclass(frozen=True)
class Workplace:
    """A folder that `rein` is called in; `.rein/` grows below it."""

    folder: Path

    def rein(self, *arguments: str | Path, project: Path = PROJECT) -> subprocess.CompletedProcess[str]:
        """Calls the command with the code of `project`."""
        process = self.start(*arguments, project=project)
        try:
            output, errors = process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def start(self, *arguments: str | Path, project: Path = PROJECT) -> subprocess.Popen[str]:
        """Starts the command, in a process group of its own, and does not wait for it."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))
        }
        return subprocess.Popen(
            [sys.executable, "-m", "flows.command", *map(str, arguments), *self.where(arguments)],
            cwd=project,
            env=environment | {"PYTHONPATH": str(project)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def where(self, arguments: tuple[str | Path, ...]) -> list[str]:
        """Everything that a run leaves goes below this folder."""
        if "--check" in arguments:
            return []
        if arguments[0] == "withdraw":
            return ["--root", str(self.root), "--tracking-uri", self.tracking_uri, "--store", self.store_url]
        return [
            f"storage.root={self.root}",
            f"tracking.uri={self.tracking_uri}",
            f"feedback.url={self.store_url}",
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

    def report(self, *arguments: str | Path, project: Path = PROJECT) -> dict:
        """Runs a flow to its end and gives back its report.json, found by the path that the command prints."""
        return self.report_of(self.rein(*arguments, project=project))

    def report_of(self, done: subprocess.CompletedProcess[str]) -> dict:
        """The report.json of a flow that has run to its end."""
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        printed = [line.removeprefix("report: ") for line in done.stdout.splitlines() if line.startswith("report: ")]
        return json.loads(Path(printed[0]).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("workplace"))


@pytest.fixture(scope="session")
def first_report(workplace: Workplace) -> dict:
    """The report of the first run of the smallest preset."""
    return workplace.report("rlhf", SMOKE)
