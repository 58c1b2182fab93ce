"""The files of a registered model in MLflow's store: beside a local database, the weights lie on the disk once."""

import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlflow.entities import LoggedModel

from models.hard_links import link_or_copy
from tasks.tracking.patience import Patient


def keep_model(client: Patient, model: LoggedModel, folder: Path) -> None:
    """Gives MLflow the files of a model's folder: hard links to them where its store is a folder on the same disk, else copies."""
    place = urlsplit(model.artifact_location)
    if place.scheme not in ("", "file"):
        client.log_model_artifacts(model.model_id, str(folder))
        return
    shutil.copytree(folder, unquote(place.path), copy_function=link_or_copy, dirs_exist_ok=True)
