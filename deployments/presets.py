"""Presets as a build step of prefect.yaml: a deployment's parameters are those of a preset, and no value is written twice."""

import json
import os
from collections.abc import Sequence
from typing import Any

from models.settings.presets import load_config

PLACES = {
    "REIN_ROOT": "storage.root",
    "REIN_MIRROR": "storage.mirror",
    "REIN_TRACKING_URI": "tracking.uri",
    "REIN_STORE": "feedback.url",
}
"""Variables of the environment that name a place, and the setting that it goes to."""


def load(path: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """`{"config": …}`: a validated preset as plain JSON, `key.path=value` overrides applied, every `${NAME}` replaced.

    Raises ConfigError as `load_config` does.

    The places that the environment names (`PLACES`) go before those of the preset. Defaults are left out, so that the form in the
    Prefect UI shows those of the code that runs.
    """
    places = [f"{key}={json.dumps(os.environ[name])}" for name, key in PLACES.items() if name in os.environ]
    return {"config": load_config(path, [*places, *overrides]).model_dump(mode="json", exclude_unset=True)}


def load_places() -> dict[str, Any]:
    """`{"settings": …}`: where models are registered and where the feedback store is, as far as the environment names it."""
    settings: dict[str, dict[str, str]] = {}
    for name, key in PLACES.items():
        section, _, setting = key.partition(".")
        if name in os.environ and section != "storage":
            settings[section] = {setting: os.environ[name]}
    return {"settings": settings}
