"""Presets as a build step of prefect.yaml: a deployment's parameters are those of a preset, and no value is written twice."""

from typing import Any

from models.presets import load_config


def load(path: str) -> dict[str, Any]:
    """`{"config": …}`: a validated preset as plain JSON, every `${NAME}` replaced. Raises ConfigError as `load_config` does.

    Defaults are left out, so that the form in the Prefect UI shows those of the code that runs.
    """
    return {"config": load_config(path).model_dump(mode="json", exclude_unset=True)}
