"""Databases with their tables and nothing in them, made once for all processes of a test run: to copy one takes no time."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from mlflow.tracking import MlflowClient

from labeling.store.database import FeedbackStore


def empty_store(factory: pytest.TempPathFactory) -> Path:
    """The SQLite file of a feedback store."""
    return _made_once(factory, "feedback.db", lambda file: FeedbackStore(f"sqlite:///{file}").close())


def empty_mlflow(factory: pytest.TempPathFactory) -> Path:
    """The SQLite file of an MLflow database; to make its tables takes seconds."""
    return _made_once(factory, "mlflow.db", lambda file: MlflowClient(f"sqlite:///{file}").search_experiments())


def empty_prefect(factory: pytest.TempPathFactory) -> Path:
    """The SQLite file of a Prefect server, which else takes eight seconds of a processor to make its tables."""
    return _made_once(factory, "prefect.db", _migrate_prefect)


def _migrate_prefect(file: Path) -> None:
    command = [Path(sys.executable).parent / "prefect", "server", "database", "upgrade", "--yes"]
    where = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{file}", "PREFECT_HOME": str(file.parent)}
    subprocess.run(command, env=os.environ | where, check=True, capture_output=True)


def _made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    base = factory.getbasetemp()
    shared = (
        base.parent if base.name.startswith("popen-") else base
    )  # each process of xdist has a folder in a common one
    folder = shared / "templates"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / f"{name}.lock"):
        if not (folder / name).exists():
            scratch = folder / f"scratch-{name}"
            make(scratch)
            scratch.rename(folder / name)
    return folder / name
