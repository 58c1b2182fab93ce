"""The experiment that runs are recorded in, and where MLflow's page lists them.

    python -m tasks.tracking.experiment URI

prints that address. By itself the page opens an experiment as one about a chat application, without a run in sight.
"""

import sys
from pathlib import Path

from models.errors import ConfigError
from models.settings.pipeline import TrackingConfig
from tasks.tracking.moved_folder import files_beside
from tasks.tracking.patience import Patient


def experiment_of(client: Patient, config: TrackingConfig) -> str:
    """The id of the experiment, which is made where there is none. Raises ConfigError when it was deleted."""
    experiment = client.get_experiment_by_name(config.experiment)
    if experiment and experiment.lifecycle_stage == "deleted":
        raise ConfigError(
            f"tracking.experiment {config.experiment}: it was deleted in MLflow; bring it back (mlflow experiments restore "
            f"--experiment-id {experiment.experiment_id}) or name another"
        )
    return experiment.experiment_id if experiment else _create(client, config)


def _create(client: Patient, config: TrackingConfig) -> str:
    """A new experiment, shown by MLflow as one about training; beside a local database its files lie in a folder next to it, not
    in the working directory."""
    tags = {"mlflow.experimentKind": "custom_model_development"}
    if (database := local_database(config)) is None:
        return client.create_experiment(config.experiment, tags=tags)
    return client.create_experiment(config.experiment, artifact_location=files_beside(database).as_uri(), tags=tags)


def local_database(config: TrackingConfig) -> Path | None:
    """The file of the database that runs are recorded in; None where a server keeps them."""
    return Path(config.uri.removeprefix("sqlite:///")).resolve() if config.uri.startswith("sqlite:///") else None


def runs_address(uri: str, experiment_id: str) -> str:
    """Where the page of MLflow's server lists training runs."""
    return f"{uri}/#/experiments/{experiment_id}?workflowType=machine_learning"


if __name__ == "__main__":
    from tasks.tracking.tracked_run import connect

    served = TrackingConfig(uri=sys.argv[1])
    print(runs_address(served.uri, experiment_of(connect(served), served)))
