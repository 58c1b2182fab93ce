"""A local MLflow database and its files, moved, copied, or kept apart on purpose, with the real MLflow."""

import shutil

import pytest
from mlflow.tracking import MlflowClient

from models.errors import ConfigError
from models.settings.pipeline import TrackingConfig
from tasks.tracking.moved_folder import FILES, follow_moved_folder
from tasks.tracking.registry import register_challenger
from tasks.tracking.tracked_run import TrackedRun, connect
from tests.tasks.hand_made import make
from tests.templates import empty_mlflow

REPORT = "report.txt"


@pytest.fixture
def home(tmp_path, tmp_path_factory):
    """A folder whose database knows a run with a file and a registered model."""
    home = tmp_path / "a folder"
    home.mkdir()
    shutil.copy(empty_mlflow(tmp_path_factory), home / "mlflow.db")
    (tmp_path / REPORT).write_text("said")
    with TrackedRun.start(tracking(home), "first", {}, home) as run:
        run.log_file(tmp_path / REPORT)
        register_challenger(run, "policy", make(tmp_path, "made", "policy"))
    return home


def tracking(home) -> TrackingConfig:
    return TrackingConfig(uri=f"sqlite:///{home}/mlflow.db")


def places(home) -> set[str]:
    """Where MLflow says that its files lie."""
    client = MlflowClient(tracking_uri=tracking(home).uri)
    experiment = client.get_experiment_by_name("rein")
    runs = [run.info.artifact_uri for run in client.search_runs([experiment.experiment_id])]
    models = [one.artifact_location for one in client.search_logged_models([experiment.experiment_id])]
    versions = [client.get_model_version_download_uri(one.name, one.version) for one in client.search_model_versions()]
    addresses = [experiment.artifact_location, *runs, *models, *versions]
    assert len(addresses) == 3 + len(runs)
    return {address.partition(f"/{FILES}")[0] for address in addresses}


@pytest.mark.parametrize("copied", [False, True])
def test_mlflow_goes_on_in_the_new_place(home, tmp_path, copied):
    there = tmp_path / "elsewhere, in 100% of it"
    before = {path.name for path in (home / FILES).iterdir()}
    (shutil.copytree if copied else shutil.move)(home, there)
    with TrackedRun.start(tracking(there), "second", {}, there) as run:
        run.log_file(tmp_path / REPORT)
    assert places(there) == {there.as_uri()}
    assert len({path.name for path in (there / FILES).iterdir()} - before) == 1
    first = connect(tracking(there)).search_model_versions("name = 'policy'")[0].run_id
    assert MlflowClient(tracking(there).uri).list_artifacts(first)
    assert home.exists() == copied and (not copied or {path.name for path in (home / FILES).iterdir()} == before)
    assert follow_moved_folder(there / "mlflow.db") == 0


def test_files_that_lie_elsewhere_on_purpose_stay_there(home, tmp_path):
    shutil.move(home / FILES, tmp_path / FILES)
    client, apart = MlflowClient(tracking(home).uri), (tmp_path / FILES).as_uri()
    client.create_experiment("apart", artifact_location=apart)
    (home / FILES).mkdir()
    assert follow_moved_folder(home / "mlflow.db") == 0
    assert client.get_experiment_by_name("apart").artifact_location == apart
    assert follow_moved_folder(tmp_path / "mlflow.db") == 0, "there is no database"


def test_a_deleted_experiment_is_named(home):
    client = MlflowClient(tracking(home).uri)
    client.delete_experiment(client.get_experiment_by_name("rein").experiment_id)
    with pytest.raises(
        ConfigError, match=r"tracking.experiment rein: it was deleted in MLflow; .* --experiment-id \d+\)"
    ):
        TrackedRun.start(tracking(home), "second", {}, home)
