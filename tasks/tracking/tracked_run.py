"""MLflow: a run, and models in the registry. Every call names its run, since MLflow's "active run" is lost between threads.

Numbers, tags and the state that a run ends in go out in their own time (tasks/tracking/outbox.py). Calls that need an answer wait for
`tracking.patience_seconds` while MLflow is away.
"""

import functools
import json
import logging
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Param
from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.tracking import MlflowClient
from prefect import get_run_logger
from prefect.exceptions import MissingContextError

from models.errors import TrackingError
from models.records import Artifact
from models.settings.pipeline import TrackingConfig
from tasks.tracking.answers import not_now, send_letter
from tasks.tracking.experiment import experiment_of, local_database
from tasks.tracking.moved_folder import follow_moved_folder
from tasks.tracking.outbox import Logger, Outbox, send_kept
from tasks.tracking.patience import Patient

MAX_PARAM_CHARACTERS = 6000
HURRY_SECONDS = 5.0
SAMPLE_SECONDS, SAMPLE_LATER_SECONDS, LATER_SECONDS = 1.0, 10.0, 600.0


def connect(config: TrackingConfig) -> Patient:
    """A client for the configured tracking server; a local database's folder is made when missing.

    Raises TrackingError when it has not answered for `patience_seconds`, or does not let this process in.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # tried again here, where there is an end to it
    if database := local_database(config):
        database.parent.mkdir(parents=True, exist_ok=True)
        if num_moved := follow_moved_folder(database):
            run_logger().info(
                "%s: its folder was moved; %d addresses of MLflow's files point there now", database, num_moved
            )
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # a traceback each time; it is told once here
    mlflow.set_tracking_uri(config.uri)  # a local model registry looks there for what is registered
    return Patient(
        functools.partial(MlflowClient, tracking_uri=config.uri),
        functools.partial(not_now, config.uri),
        config.patience_seconds,
        run_logger(),
    )


class TrackedRun:
    """One MLflow run: numbers, parameters, files, inputs and models of a flow run or a stage."""

    def __init__(self, client: Patient, uri: str, experiment_id: str, run_id: str, root: Path) -> None:
        self.client, self.experiment_id, self.run_id = client, experiment_id, run_id
        send = functools.partial(send_letter, client.impatient)
        self._outbox = Outbox(root / "unsent", uri, run_id, send, client.logger)

    def __getstate__(self) -> dict[str, str]:
        """What a copy has: Ray's workers are given what the task above theirs was given, but no connection to MLflow."""
        return {"run_id": self.run_id}

    @classmethod
    def start(
        cls, config: TrackingConfig, name: str, tags: Mapping[str, str], root: Path, parent_id: str | None = None
    ) -> "TrackedRun":
        """Opens a run, nested below `parent_id` when given; what could not be sent is kept below `root`.

        Raises TrackingError when MLflow is away for too long, ConfigError when the experiment was deleted.
        """
        client = connect(config)
        experiment_id = experiment_of(client, config)
        all_tags = dict(tags) | {"mlflow.runName": name}
        if parent_id:
            all_tags["mlflow.parentRunId"] = parent_id
        run_id = client.create_run(experiment_id, tags=all_tags).info.run_id
        return cls(client, config.uri, experiment_id, run_id, root)

    def log_parameters(self, parameters: Mapping[str, object]) -> None:
        """Parameters, values as text; one too long for MLflow is cut with a visible mark."""
        params = [Param(key, parameter_text(value)) for key, value in parameters.items()]
        for start in range(0, len(params), 100):
            self.client.log_batch(self.run_id, params=params[start : start + 100])

    def newest_before(self, flow_name: str) -> tuple[str, dict[str, str]] | None:
        """Name and parameters of the newest finished run of this flow in the experiment; None when there is none."""
        runs = self.client.search_runs(
            [self.experiment_id],
            f"tags.`rein.flow` = '{flow_name}' AND attributes.status = 'FINISHED'",
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
        return (runs[0].info.run_name, runs[0].data.params) if runs else None

    def log_metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Numbers at a step, sent within seconds without making anybody wait. What is not finite is left out."""
        now = int(time.time() * 1000)
        self._outbox.add(
            metrics=[
                (name, float(value), now, step)
                for name, value in values.items()
                if value is not None and math.isfinite(value)
            ]
        )

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Tags of the run, sent as numbers are."""
        self._outbox.add(tags={key: str(value) for key, value in tags.items()})

    @contextmanager
    def watch_machine(self) -> Iterator[None]:
        """Meanwhile MLflow's system metrics of CPU, memory and GPU (with nvidia-ml-py): each second, after ten minutes each ten."""
        over = threading.Event()
        watching = threading.Thread(target=self._watch, args=(over,), daemon=True, name=f"machine-{self.run_id}")
        watching.start()
        try:
            yield
        finally:
            over.set()
            watching.join()

    def _watch(self, over: threading.Event) -> None:
        monitors: list[BaseMetricsMonitor] = [CPUMonitor()]
        with suppress(ImportError, RuntimeError):  # no nvidia-ml-py, or no GPU
            monitors.append(GPUMonitor())
        started = time.monotonic()
        for monitor in monitors:  # the first answer about the CPU is always 0
            monitor.collect_metrics()
            monitor.clear_metrics()
        while not over.wait(SAMPLE_SECONDS if time.monotonic() - started < LATER_SECONDS else SAMPLE_LATER_SECONDS):
            for monitor in monitors:
                monitor.collect_metrics()
                values = {f"system/{name}": value for name, value in monitor.aggregate_metrics().items()}
                self.log_metrics(values, step=round(time.monotonic() - started))
                monitor.clear_metrics()

    def log_inputs(self, artifacts: Mapping[str, Artifact]) -> None:
        """Artifacts that the run reads, as dataset inputs under our own digests."""
        inputs = [_dataset_input(name, artifact) for name, artifact in artifacts.items()]
        if inputs:
            self.client.log_inputs(self.run_id, datasets=inputs)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """A file as an artifact of the run."""
        self.client.log_artifact(self.run_id, str(path), artifact_path=folder)

    def log_table(self, rows: Mapping[str, list], name: str) -> None:
        """A table that MLflow's UI shows, columns by name."""
        self.client.log_table(self.run_id, dict(rows), name)

    def log_output(self, model_id: str) -> None:
        """Links a LoggedModel as something that this run gave. Doing it again changes nothing."""
        linked = self.client.get_run(self.run_id).outputs.model_outputs
        if model_id not in {one.model_id for one in linked}:
            self.client.log_outputs(self.run_id, [LoggedModelOutput(model_id, step=0)])

    def __enter__(self) -> "TrackedRun":
        return self

    def __exit__(self, error_type: type[BaseException] | None, error: object, traceback: object) -> None:
        """Ends the run in its true state: FAILED by an error, KILLED by a cancel, else FINISHED."""
        status = "FINISHED" if error_type is None else "FAILED" if issubclass(error_type, Exception) else "KILLED"
        hurry = status == "KILLED" or isinstance(error, TrackingError)  # to be gone soon, or waited already
        self._outbox.close(status, HURRY_SECONDS if hurry else self.client.patience_seconds)


def parameter_text(value: object) -> str:
    """A parameter as MLflow is told it."""
    text = str(value)
    return text if len(text) <= MAX_PARAM_CHARACTERS else text[: MAX_PARAM_CHARACTERS - 6] + " [cut]"


def send_what_was_kept(config: TrackingConfig, root: Path) -> None:
    """Sends what earlier runs could not send to this address and have kept below `root`."""
    if (root / "unsent").is_dir():
        client = connect(config)
        send_kept(root / "unsent", config.uri, functools.partial(send_letter, client.impatient), client.logger)


def run_logger() -> Logger:
    """The run's log in Prefect; outside of runs an ordinary one."""
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger(__name__)


def _dataset_input(name: str, artifact: Artifact) -> DatasetInput:
    source = json.dumps({"uri": artifact.uri})
    dataset = Dataset(artifact.kind, artifact.sha256[:16], "local", source, profile=json.dumps({"rows": artifact.rows}))
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", name)])
