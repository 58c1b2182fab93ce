"""Reads a configuration: a YAML preset, `key.path=value` overrides, `${NAME}` from the environment."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from models.errors import ConfigError, DataError
from models.settings.base import Seed, Settings, kinds_of
from models.settings.labels import LabelKind, LabelSource
from models.settings.pipeline import PipelineConfig, SplitConfig

_NO_COMMENT = "number-sign"

SettingsType = TypeVar("SettingsType", bound=Settings)


def load_config(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> PipelineConfig:
    """The configuration of a YAML preset with `key.path=value` overrides applied (values are YAML).

    Raises ConfigError that names the file and every wrong key.
    """
    return parse_config(read_preset(path, overrides), source=str(path))


def read_preset(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> dict[str, Any]:
    """The preset as a plain mapping, overrides applied, environment variables still in place, nothing validated."""
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"{file}: no such preset")
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: expected keys and values, found {type(tree).__name__}")
    for override in overrides:
        apply_override(tree, override)
    return tree


def parse_config(tree: dict[str, Any], source: str = "config") -> PipelineConfig:
    """Validates a mapping; `${NAME}` in any text is replaced from the environment. Raises ConfigError."""
    return validate(PipelineConfig, expand(tree), source)


class ImportSettings(Settings):
    """What it takes to read feedback from a file."""

    labels: LabelSource
    split: SplitConfig = SplitConfig()
    seed: Seed = 0


def parse_import(kind: str, path: str, settings: tuple[str, ...]) -> ImportSettings:
    """The settings of one source of feedback, a folder of rows being a dataset; each is key=value of it, or of `split` and `seed`. Raises ConfigError."""
    source = kinds_of(LabelKind).get(kind)
    is_dataset = source is not None and "dataset" in source.model_fields and Path(path).is_dir()
    place = {"dataset": {"name": path}} if is_dataset else {"path": path}
    tree: dict[str, Any] = {"labels": {"kind": kind, **place}}
    for setting in settings:
        is_outside = setting.startswith(("split.", "seed="))
        apply_override(tree, setting if is_outside else f"labels.{setting}")
    return validate(ImportSettings, expand(tree), "the import")


def validate(model: type[SettingsType], tree: dict[str, Any], source: str) -> SettingsType:
    """The settings of a mapping as it stands: nothing in it is replaced. Raises ConfigError with a line for every wrong key."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            key = _key_of(item["loc"], tree) or "(whole config)"
            message = item["msg"].removeprefix("Value error, ")
            if item["type"] == "extra_forbidden":
                message = "no such key (see `rein fields` for all of them)"
            elif item["type"] == "union_tag_not_found":
                message = "say which `kind` it is (see `rein fields`)"
            lines.append(f"  {key}: {message}")
        raise ConfigError(f"{source} does not fit:\n" + "\n".join(lines)) from None


def _key_of(location: tuple[str | int, ...], tree: Any) -> str:
    """The dotted key of a complaint. pydantic puts the `kind` of a variant between the keys; it is no key, and is left out."""
    parts = []
    for place, part in enumerate(location):
        is_inside = part in tree if isinstance(tree, dict) else isinstance(tree, list) and isinstance(part, int)
        if is_inside or place == len(location) - 1:
            parts.append(str(part))
            tree = tree[part] if is_inside else None
    return ".".join(parts)


def apply_override(tree: dict[str, Any], override: str) -> None:
    """Puts the value of `key.path=value` into the mapping. Raises ConfigError that repeats what cannot be read."""
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"override {override!r}: expected key.path=value, such as tuning.kl.coef=0.1")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"override {override!r}: the value is not YAML") from None
    if _is_cut_by_a_comment(text, value):
        raise ConfigError(
            f"override {override!r}: # begins a comment in YAML; put the value into quotes: {key}='\"…\"'"
        )
    put(tree, key, value)


def put(tree: dict[str, Any], key: str, value: Any) -> None:
    """Puts a value into the mapping at its dotted key. Raises ConfigError where something on the way has no keys."""
    *parents, last = key.split(".")
    node: Any = tree
    for parent in parents:
        if node.get(parent) is None:
            node[parent] = {}
        elif isinstance(node[parent], dict):
            node[parent] = dict(node[parent])  # what YAML has by the same anchor elsewhere stays as it is
        node = node[parent]
        if not isinstance(node, dict):
            raise ConfigError(f"{key}: {parent} has no keys below it")
    node[last] = value


def _is_cut_by_a_comment(text: str, value: Any) -> bool:
    """Whether YAML took a # for the beginning of a comment: with another sign in its place there would be more in the value."""
    try:
        uncut = yaml.safe_load(re.sub(r"(^|\s)#", rf"\1{_NO_COMMENT}", text))
    except yaml.YAMLError:
        return True
    return repr(uncut).replace(_NO_COMMENT, "#") != repr(value)


def expand(value: Any) -> Any:
    """Replaces `${NAME}` in every text of the tree. Raises ConfigError for a variable that is not set."""
    if isinstance(value, dict):
        return {key: expand(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [expand(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", _environment, value)
    return value


def _environment(match: re.Match[str]) -> str:
    name = match.group(1)
    if name not in os.environ:
        raise ConfigError(f"environment variable {name} is not set, but a setting uses ${{{name}}}")
    return os.environ[name]


def require_files(config: PipelineConfig) -> None:
    """Raises DataError naming every file or folder of the configuration that is not there, and its key."""
    missing = [f"{key}: {path}: no such file or folder" for key, path in _paths(config) if not Path(path).exists()]
    if missing:
        raise DataError("; ".join(missing))


def _paths(settings: Settings, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings):
            yield from _paths(value, f"{prefix}{name}.")
        elif isinstance(value, dict):
            for key, one in value.items():
                if isinstance(one, Settings):
                    yield from _paths(one, f"{prefix}{name}.{key}.")
        elif name in ("path", "safety_model", "safety_prompts") and name in settings.local_fields and value is not None:
            yield f"{prefix}{name}", value
