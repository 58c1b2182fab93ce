"""A real MLflow server on a database of its own, that can be killed and started again."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx

from tests.free_port import free_port


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
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def wait(self) -> None:
        """Until it answers."""
        for _ in range(1200):
            if self.answers():
                return
            threading.Event().wait(0.1)
        raise AssertionError((self.folder / "log").read_text()[-2000:])

    def kill(self) -> None:
        """SIGKILL, to all of its processes."""
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None
