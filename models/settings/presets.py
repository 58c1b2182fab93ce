"""Reads a configuration: a YAML preset, `key.path=value` overrides, `${NAME}` from the environment."""

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from models.errors import ConfigError, DataError
from models.setting_keys import describe_unknown
from models.settings.base import Seed, Settings, kinds_of
from models.settings.labels import LabelKind, LabelSource
from models.settings.pipeline import PipelineConfig, SplitConfig

FILES = ("path", "safety_model", "safety_prompts", "instructions", "gold")
"""Settings that name a file or folder and nothing else."""
_NO_COMMENT = "number-sign"

SettingsType = TypeVar("SettingsType", bound=Settings)


class _Loader(yaml.SafeLoader):
    """YAML in which no key stands twice in a mapping: PyYAML takes the last one and says nothing."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in lines:
                told = f"key {key.value} stands twice, first in line {lines[key.value]}"
                raise yaml.composer.ComposerError(problem=told, problem_mark=key.start_mark)
            lines[key.value] = key.start_mark.line + 1
        return node


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
        tree = _Loader(file.read_text(encoding="utf-8")).get_single_data()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: not YAML: it is no text in UTF-8") from None
    except yaml.YAMLError as error:
        raise ConfigError(_not_yaml(file, error)) from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: expected keys and values, found {type(tree).__name__}")
    for override in overrides:
        apply_override(tree, override)
    return tree


def _not_yaml(file: Path, error: yaml.YAMLError) -> str:
    """`file:line: what is wrong`, and where that began which was not ended."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f"{file}: not YAML: {' '.join(str(error).split())}"
    begun = f" {error.context}, which begins in line {error.context_mark.line + 1}:" if error.context_mark else ""
    return f"{file}:{error.problem_mark.line + 1}: not YAML:{begun} {error.problem}"


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
        wrong = [(_key_of(item["loc"], tree), item) for item in error.errors()]
        left_over = _left_over([key for key, item in wrong if item["type"] == "extra_forbidden"], tree)
        lines = [f"  {line}" for line in left_over.values()]
        for key, item in wrong:
            message = item["msg"].removeprefix("Value error, ")
            if item["type"] == "extra_forbidden":
                message = describe_unknown(model, key)
            elif item["type"] == "union_tag_not_found":
                message = "say which `kind` it is (see `rein fields`)"
            elif item["type"] in ("model_type", "model_attributes_type"):
                message = f"has keys below it, such as {key}.KEY=value (`rein fields {key}` lists them)"
            elif item["type"] == "union_tag_invalid":
                message = f"there is no kind {item['ctx']['tag']!r}; there are {item['ctx']['expected_tags']}"
            if not (item["type"] == "extra_forbidden" and key.rpartition(".")[0] in left_over):
                lines.append(f"  {key or '(whole config)'}: {message}")
        raise ConfigError(f"{source} does not fit:\n" + "\n".join(lines)) from None


def _left_over(unknown: list[str], tree: dict[str, Any]) -> dict[str, str]:
    """Group -> a line for all its keys, where it says its `kind` and several of its keys are of another one: only `kind` was changed."""
    told = {}
    for group, keys in itertools.groupby(unknown, key=lambda key: key.rpartition(".")[0]):
        names = [key.rpartition(".")[2] for key in keys]
        node: Any = tree
        for part in group.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        if len(names) > 1 and isinstance(node, dict) and "kind" in node:
            told[group] = (
                f"{group}: kind {node['kind']} has no {', '.join(names)}; to replace the whole of it: "
                f"{group}='{{kind: {node['kind']}, …}}'"
            )
    return told


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
        value = _Loader(text).get_single_data()
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
    """Raises DataError naming every file or folder of the configuration that is not there, is empty or cannot be read, and its key."""
    wrong = [f"{key}: {path}: {why}" for key, path in _paths(config) if (why := _why_unread(Path(path)))]
    if wrong:
        raise DataError("; ".join(wrong))


def _why_unread(path: Path) -> str:
    try:
        if path.is_dir():
            return "" if any(path.iterdir()) else "the folder is empty"
        if not path.exists():
            return "no such file or folder"
        with path.open("rb") as file:
            return "" if file.read(1) else "the file is empty"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _paths(settings: Settings, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings):
            yield from _paths(value, f"{prefix}{name}.")
        elif isinstance(value, tuple | dict):
            for place, one in value.items() if isinstance(value, dict) else enumerate(value):
                if isinstance(one, Settings):
                    yield from _paths(one, f"{prefix}{name}.{place}.")
        elif name in FILES and name in settings.local_fields and value is not None:
            yield f"{prefix}{name}", value
