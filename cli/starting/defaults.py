"""What the environment must say before Prefect, MLflow and torch are imported."""

import os
from pathlib import Path

from models.errors import ConfigError


def make_folder(key: str, folder: Path) -> None:
    """Makes a folder that is not there. Raises ConfigError that names the setting it comes from, and what stands in the way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        files = [one for one in (folder, *folder.parents) if one.is_file()]
        why = f"{files[0]} is a file" if files else error.strerror
        raise ConfigError(f"{key}: {folder}: no folder can be made there: {why}; name another place") from None


def set_defaults(root: Path) -> None:
    """Sets what is not set yet: what the environment says goes first."""
    os.environ.setdefault("PREFECT_HOME", str(root / "prefect"))
    make_folder("storage.root", Path(os.environ["PREFECT_HOME"]))  # Prefect's database is not made without it
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "7")  # a server that is away for four minutes ends no run
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "900")  # of one that `watch` may start
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "1")  # Prefect's and others' notices of what they would tell their makers
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
