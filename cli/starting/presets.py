"""Presets by name: those that are shipped are known in any folder, wherever Rein is installed."""

import difflib
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from models.errors import ConfigError
from models.settings.pipeline import PipelineConfig
from models.settings.presets import load_config

SHIPPED = Path(__file__).resolve().parents[2] / "deployments"

Preset = Annotated[str, Parameter(help="A YAML file with settings, or the name of a shipped one, such as tiny.")]
Overrides = Annotated[str, Parameter(help="key.path=value, such as tuning.kl.coef=0.1 (see `rein fields`).")]


def read_config(preset: str, overrides: tuple[str, ...]) -> PipelineConfig:
    """The configuration of a preset with overrides applied. Raises ConfigError as `find_preset` and `load_config` do."""
    return load_config(find_preset(preset), overrides)


def find_preset(preset: str) -> Path:
    """The file of this path, or else the shipped preset of this name. Raises ConfigError that names the nearest one where there is neither."""
    file = Path(preset)
    if file.is_file():
        return file
    shipped = {one.stem: one for one in sorted(SHIPPED.glob("*.yaml"))}
    if preset in shipped:
        return shipped[preset]
    near = difflib.get_close_matches(file.stem, shipped, n=1, cutoff=0.5)
    meant = f"; did you mean {near[0]}?" if near else ";"
    raise ConfigError(f"{preset}: no such file, and no preset of that name{meant} Shipped are {', '.join(shipped)}")
