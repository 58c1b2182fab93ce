"""A real MLflow server on a database of its own, that can be killed and started again."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.free_port import free_port
from tests.waiting import answers, until_it_answers


class MlflowServer:
    """Started by `start`, answering after `wait`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database = f"sqlite:///{folder}/mlflow.db"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Starts it, and does not wait."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        slim = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        where = ["--backend-store-uri", self.database, "--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(Path(sys.executable).parent / "mlflow", "server", *where),
                    *("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
                ],
                env=clean | slim,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def answers(self) -> bool:
        """Whether it answers now."""
        return answers(f"{self.url}/health")

    def wait(self) -> None:
        """Until it answers."""
        until_it_answers(self.process, f"{self.url}/health", self.folder / "log")

    def kill(self) -> None:
        """SIGKILL, to all of its processes."""
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None
