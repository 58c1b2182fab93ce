"""A registered model's weights lie on the disk once, and either name of them can go."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from mlflow.artifacts import download_artifacts
from mlflow.tracking import MlflowClient

from models.settings.pipeline import TrackingConfig
from tasks.running.storage import verify
from tasks.tracking.registry import register_challenger
from tasks.tracking.tracked_run import TrackedRun
from tests.tasks.hand_made import make
from tests.templates import empty_mlflow


@pytest.fixture
def registered(tmp_path, tmp_path_factory):
    """Registers a hand-made policy in a local database; gives back the artifact, and the folder of the model in MLflow's store."""

    def register(name: str = "made"):
        place = tmp_path / "a folder"
        place.mkdir()
        shutil.copy(empty_mlflow(tmp_path_factory), place / "mlflow.db")
        uri = f"sqlite:///{place}/mlflow.db"
        artifact = make(tmp_path, name, "policy")
        with TrackedRun.start(TrackingConfig(uri=uri), "first", {}, place) as run:
            register_challenger(run, "policy", artifact)
        (version,) = MlflowClient(uri).search_model_versions()
        return artifact, Path(download_artifacts(artifact_uri=version.source, tracking_uri=uri))

    return register


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_its_files_are_links(registered):
    artifact, stored = registered()
    own = artifact.folder / "model"
    assert names(stored) == names(own) != set()
    assert all(os.path.samefile(stored / name, own / name) for name in names(own))


def test_what_mlflow_removes_stays_and_the_other_way_round(registered):
    artifact, stored = registered()
    (name, *_) = names(stored)
    content = (stored / name).read_bytes()
    shutil.rmtree(artifact.folder)
    assert (stored / name).read_bytes() == content
    shutil.rmtree(stored)


def test_without_links_they_are_copies(registered, monkeypatch):
    def refuse(source, destination):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    artifact, stored = registered()
    (name, *_) = names(stored)
    assert (stored / name).read_bytes() == (artifact.folder / "model" / name).read_bytes()
    (stored / name).write_text("another")
    verify(artifact)
