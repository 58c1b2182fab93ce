"""Presets as a build step of prefect.yaml: a deployment's form is filled in with the name of one and with what differs, and no value is written twice."""

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from models.errors import ConfigError
from models.settings.forms.form import SHIPPED, VARIABLE, Form, presets
from models.settings.presets import expand

PLACES = {
    "REIN_ROOT": "storage.root",
    "REIN_MIRROR": "storage.mirror",
    "REIN_TRACKING_URI": "tracking.uri",
    "REIN_STORE": "feedback.url",
}
"""Variables of the environment that name a place, and the setting that it goes to."""


def load(path: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """`{"form": …}`: a form that is filled in with this preset, `key.path=value` overrides (every `${NAME}` replaced) and the places that the
    environment names (`PLACES`); these go before those of the preset.

    Raises ConfigError for a preset that no form offers, and for one that does not fit with these overrides.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"{file}: no such preset")
    offered = presets().get(file.stem)
    if offered is None or not offered.samefile(file):
        raise ConfigError(
            f"{file}: forms offer the presets of {SHIPPED} and of the folder that {VARIABLE} names; set it"
        )
    places = [f"{key}={_as_yaml(os.environ[name])}" for name, key in PLACES.items() if name in os.environ]
    form = {"preset": file.stem}
    if overrides:
        form["overrides"] = shlex.join(expand(overrides))
    if places:
        form["places"] = shlex.join(places)
    Form.model_validate(form).config()
    return {"form": form}


def _as_yaml(text: str) -> str:
    """The text itself, where YAML reads it as such."""
    try:
        return text if yaml.safe_load(text) == text else json.dumps(text)
    except yaml.YAMLError:
        return json.dumps(text)


def load_places() -> dict[str, Any]:
    """`{"settings": …}`: where models are registered and where the feedback store is, as far as the environment names it."""
    settings: dict[str, dict[str, str]] = {}
    for name, key in PLACES.items():
        section, _, setting = key.partition(".")
        if name in os.environ and section != "storage":
            settings[section] = {setting: os.environ[name]}
    return {"settings": settings}
