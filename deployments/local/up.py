"""Everything that people look at, with one command: Prefect's server, a worker, MLflow's server and the labelers' page.

    python -m deployments.local.up [--prefect-port 4200] [--mlflow-port 5000] [--label-port 8300]

All of it listens on 127.0.0.1 and keeps its state below one folder. Ctrl-C ends it, and whatever it has started.
"""

import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators

from deployments.local.programs import Program, Programs, StartError
from deployments.run_command import run_command

HOST = "127.0.0.1"
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HEARTBEAT_SECONDS = 30  # the shortest that Prefect allows

Port = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=65535))]
CrashedAfter = Annotated[int, Parameter(validator=validators.Number(gt=HEARTBEAT_SECONDS))]

app = App(name="up", help="Starts Prefect, a worker, MLflow and the labelers' page.", version_flags=[])


@dataclass(frozen=True)
class Places:
    """Where things listen, and where they keep what they know."""

    root: Path
    prefect_port: int
    mlflow_port: int
    label_port: int

    @property
    def prefect(self) -> str:
        return f"http://{HOST}:{self.prefect_port}"

    @property
    def mlflow(self) -> str:
        return f"http://{HOST}:{self.mlflow_port}"

    @property
    def label(self) -> str:
        return f"http://{HOST}:{self.label_port}"


@app.default
def up(
    *,
    prefect_port: Port = 4200,
    mlflow_port: Port = 5000,
    label_port: Port = 8300,
    root: Path = Path(".rein"),
    prefect_file: Path = Path("prefect.yaml"),
    crashed_after: CrashedAfter = 90,
) -> None:
    """Runs everything until Ctrl-C. Raises StartError when a port is taken or a program does not come up.

    Parameters
    ----------
    prefect_port
        The port of Prefect.
    mlflow_port
        The port of MLflow.
    label_port
        The port of the labelers' page.
    root
        The folder that everything is kept in.
    prefect_file
        The file of the deployments that are registered.
    crashed_after
        Seconds without a heartbeat after which a run counts as crashed; runs send one every 30 seconds.
    """
    started = time.monotonic()
    places = Places(root.resolve(), prefect_port, mlflow_port, label_port)
    _require_free({"--prefect-port": prefect_port, "--mlflow-port": mlflow_port, "--label-port": label_port})
    for folder in ("logs", "prefect"):  # Prefect makes no database without its folder
        (places.root / folder).mkdir(parents=True, exist_ok=True)
    programs = Programs(places.root / "logs", environment(places), _say)
    for (
        number
    ) in ENDING:  # SIGINT too: a shell hands it to a background job as ignored, and programs would inherit that
        signal.signal(number, signal.default_int_handler)
    try:
        programs.run_once(
            "moved", (sys.executable, "-m", "tasks.tracking.moved_folder", str(places.root / "mlflow.db"))
        )
        _say("starting Prefect, MLflow and the labelers' page")
        for program in servers(places):
            programs.start(program)
        programs.wait_until_ready({"prefect"})
        _say(programs.run_once("register", register(prefect_file, crashed_after)))
        for program in workers(places):
            programs.start(program)
        programs.wait_until_ready()
        said = programs.run_once("experiment", (sys.executable, "-m", "tasks.tracking.experiment", places.mlflow))
        _say(_welcome(places, said.splitlines()[-1], time.monotonic() - started))
        programs.keep_running()
    except KeyboardInterrupt:
        _say("ending everything")
    finally:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)  # it ends in bounded time
        programs.stop()


def servers(places: Places) -> list[Program]:
    """What is started first."""
    python = sys.executable
    kept = f"sqlite:///{places.root}/mlflow.db"
    files = (places.root / "mlflow-artifacts").as_uri()
    served = ("--factory", "deployments.local.prefect_server:create_app", "--log-level", "warning")
    prefect = (python, "-m", "uvicorn", *served, "--host", HOST, "--port", f"{places.prefect_port}")
    mlflow = (
        *(python, "-m", "mlflow", "server", "--host", HOST, "--port", f"{places.mlflow_port}", "--workers", "1"),
        *("--backend-store-uri", kept, "--default-artifact-root", files, "--no-serve-artifacts"),
    )
    label = (python, "-m", "cli.command", "label", "--host", HOST, "--port", f"{places.label_port}")
    return [
        Program("prefect", prefect, f"{places.prefect}/api/health"),
        Program("mlflow", mlflow, f"{places.mlflow}/health"),
        Program("label", label, places.label),
    ]


def workers(places: Places) -> list[Program]:
    """What is started once the work pool and the deployments are registered."""
    worker = (sys.executable, "-m", "prefect", "worker", "start", "--pool", "rein", "--name", "rein")
    watcher = (sys.executable, "-m", "cli.command", "watch")
    return [
        Program("worker", worker, f"{places.prefect}/api/work_pools/rein", '"status":"READY"'),
        Program("watcher", watcher),
    ]


def register(prefect_file: Path, crashed_after: int) -> tuple[str, ...]:
    """The command that registers work pool, automation and deployments."""
    options = ("--prefect-file", str(prefect_file), "--crashed-after", str(crashed_after))
    return (sys.executable, "-m", "deployments.register", *options)


def environment(places: Places) -> dict[str, str]:
    """What all programs and the runs below them see. Whoever opens a page of another site cannot make it start runs here."""
    store = os.environ.get("REIN_STORE", f"sqlite:///{places.root}/feedback.db")
    return {name: value for name, value in os.environ.items() if name not in {"PREFECT_PROFILE", "PREFECT_API_KEY"}} | {
        "PREFECT_HOME": str(places.root / "prefect"),
        "PREFECT_API_URL": f"{places.prefect}/api",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLIENT_MAX_RETRIES": "7",  # a server that is away for four minutes ends no run
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"{places.prefect},http://localhost:{places.prefect_port}",
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "MLFLOW_TRACKING_URI": places.mlflow,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        "REIN_ROOT": str(places.root),
        "REIN_TRACKING_URI": places.mlflow,
        "REIN_STORE": store,
    }


def _require_free(ports: dict[str, int]) -> None:
    if len(set(ports.values())) < len(ports):
        raise StartError(f"{', '.join(ports)}: each needs a port of its own")
    for option, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise StartError(f"port {port}: {error.strerror}; choose another with {option}") from None


def _welcome(places: Places, runs: str, seconds: float) -> str:
    return (
        f"ready after {seconds:.0f} s; Ctrl-C ends everything, logs lie in {os.path.relpath(places.root / 'logs')}\n"
        f"  press Run       {places.prefect}/deployments\n"
        f"  the queue       {places.prefect}/work-pools/work-pool/rein\n"
        f"  compare runs    {runs}\n"
        f"  label           {places.label}"
    )


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    run_command(app)
