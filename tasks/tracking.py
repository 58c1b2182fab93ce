"""MLflow, and the only file that knows it. Every call names its run, since MLflow's "active run" is lost between threads."""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from models.config import TrackingConfig
from models.errors import DataError
from models.records import Artifact

FLUSH_SECONDS = 5.0
MAX_METRICS_PER_CALL = 1000
MAX_PARAM_CHARACTERS = 6000


def connect(config: TrackingConfig) -> MlflowClient:
    """A client for the configured tracking server; a local database's folder is made when missing."""
    if config.uri.startswith("sqlite:///"):
        Path(config.uri.removeprefix("sqlite:///")).resolve().parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(config.uri)
    return MlflowClient(tracking_uri=config.uri)


class TrackedRun:
    """One MLflow run: numbers, parameters, files, inputs and models of a flow run or a stage."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client = client
        self.run_id = run_id
        self._waiting: list[Metric] = []
        self._flushed = time.monotonic()

    @classmethod
    def start(
        cls, config: TrackingConfig, name: str, tags: Mapping[str, str], parent_id: str | None = None
    ) -> "TrackedRun":
        """Opens a run, nested below `parent_id` when given."""
        client = connect(config)
        experiment = client.get_experiment_by_name(config.experiment)
        experiment_id = experiment.experiment_id if experiment else _create_experiment(client, config)
        all_tags = dict(tags) | {"mlflow.runName": name}
        if parent_id:
            all_tags["mlflow.parentRunId"] = parent_id
        return cls(client, client.create_run(experiment_id, tags=all_tags).info.run_id)

    @property
    def experiment_id(self) -> str:
        """The experiment that this run belongs to."""
        return self.client.get_run(self.run_id).info.experiment_id

    def log_parameters(self, parameters: Mapping[str, object]) -> None:
        """Parameters, values as text; one too long for MLflow is cut with a visible mark."""
        params = []
        for key, value in parameters.items():
            text = str(value)
            if len(text) > MAX_PARAM_CHARACTERS:
                text = text[: MAX_PARAM_CHARACTERS - 6] + " [cut]"
            params.append(Param(key, text))
        for start in range(0, len(params), 100):
            self.client.log_batch(self.run_id, params=params[start : start + 100])

    def log_metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Numbers at a step; written in batches, at the latest when the run ends. What is not finite is left out."""
        now = int(time.time() * 1000)
        self._waiting += [
            Metric(name, float(value), now, step)
            for name, value in values.items()
            if value is not None and math.isfinite(value)
        ]
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes what waits."""
        while self._waiting:
            part, self._waiting = self._waiting[:MAX_METRICS_PER_CALL], self._waiting[MAX_METRICS_PER_CALL:]
            self.client.log_batch(self.run_id, metrics=part)
        self._flushed = time.monotonic()

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Tags of the run."""
        self.client.log_batch(self.run_id, tags=[RunTag(key, str(value)) for key, value in tags.items()])

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

    def log_model(self, name: str, folder: Path, tags: Mapping[str, str]) -> str:
        """Stores a model folder as a LoggedModel made by this run and returns its id."""
        model = self.client.create_logged_model(self.experiment_id, name, source_run_id=self.run_id, tags=dict(tags))
        self.client.log_model_artifacts(model.model_id, str(folder))
        self.client.finalize_logged_model(model.model_id, "READY")
        self.log_output(model.model_id)
        return model.model_id

    def log_output(self, model_id: str) -> None:
        """Links a LoggedModel as something that this run gave. Doing it again changes nothing."""
        linked = self.client.get_run(self.run_id).outputs.model_outputs
        if model_id not in {one.model_id for one in linked}:
            self.client.log_outputs(self.run_id, [LoggedModelOutput(model_id, step=0)])

    def __enter__(self) -> "TrackedRun":
        return self

    def __exit__(self, error_type: type[BaseException] | None, error: object, traceback: object) -> None:
        """Ends the run in its true state: FAILED by an error, KILLED by a cancel, else FINISHED."""
        self.flush()
        status = "FINISHED" if error_type is None else "FAILED" if issubclass(error_type, Exception) else "KILLED"
        self.client.set_terminated(self.run_id, status)


def register_challenger(run: TrackedRun, name: str, artifact: Artifact) -> int:
    """The version of the registered model `name` that holds this artifact, newly registered unless it is there already.

    The alias `challenger` is moved to it, and `run` is linked to it; versions are told apart by the artifact's digest.
    """
    client = run.client
    versions = client.search_model_versions(f"name = '{name}'")
    same = [version for version in versions if version.tags.get("rein.sha256") == artifact.sha256]
    if same:
        version = max(same, key=lambda version: int(version.version))
    else:
        tags = {"rein.sha256": artifact.sha256, "rein.run_id": artifact.run_id}
        model_id = _maker_of(artifact, run).log_model(name, artifact.folder / "model", tags)
        version = mlflow.register_model(f"models:/{model_id}", name, tags=tags)
    client.set_registered_model_alias(name, "challenger", version.version)
    run.log_output(version.source.removeprefix("models:/"))
    return int(version.version)


def registered_versions(config: TrackingConfig, sha256s: set[str]) -> dict[str, list[str]]:
    """Digest of a model artifact -> its versions in the registry, such as `rein-policy v3 (challenger)`."""
    client = connect(config)
    found: dict[str, list[str]] = {}
    for model in client.search_registered_models():
        for version in client.search_model_versions(f"name = '{model.name}'"):
            if version.tags.get("rein.sha256") in sha256s:
                aliases = [alias for alias, number in model.aliases.items() if number == version.version]
                text = f"{model.name} v{version.version}" + (f" ({', '.join(aliases)})" if aliases else "")
                found.setdefault(version.tags["rein.sha256"], []).append(text)
    return found


def _maker_of(artifact: Artifact, fallback: TrackedRun) -> TrackedRun:
    """The run that made an artifact; `fallback` when this tracking server has never heard of it (a new database, say)."""
    try:
        fallback.client.get_run(artifact.run_id)
    except MlflowException:
        return fallback
    return TrackedRun(fallback.client, artifact.run_id)


def _create_experiment(client: MlflowClient, config: TrackingConfig) -> str:
    """A new experiment; beside a local database its files lie in a folder next to it, not in the working directory."""
    if not config.uri.startswith("sqlite:///"):
        return client.create_experiment(config.experiment)
    folder = Path(config.uri.removeprefix("sqlite:///")).resolve().parent / "mlflow-artifacts"
    return client.create_experiment(config.experiment, artifact_location=folder.as_uri())


def _dataset_input(name: str, artifact: Artifact) -> DatasetInput:
    source = json.dumps({"uri": artifact.uri})
    dataset = Dataset(artifact.kind, artifact.sha256[:16], "local", source, profile=json.dumps({"rows": artifact.rows}))
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", name)])


def digest_of_version(config: TrackingConfig, name: str, version: str) -> str:
    """The digest of the artifact in a registered version, by its number or alias. Raises DataError where there is none."""
    client = connect(config)
    try:
        if version.isdecimal():
            return client.get_model_version(name, version).tags["rein.sha256"]
        return client.get_model_version_by_alias(name, version).tags["rein.sha256"]
    except (MlflowException, KeyError):
        raise DataError(
            f"{name}@{version}: {config.uri} has no model of this name with this version or alias"
        ) from None


def tag_version(run: TrackedRun, name: str, version: int, tags: Mapping[str, str]) -> None:
    """Tags of a registered version, which MLflow's UI shows beside it."""
    for key, value in tags.items():
        run.client.set_model_version_tag(name, str(version), key, value)
