"""What counts of a stage: its name, the values and contents of its inputs, the code that it runs, and what computes it.

docs/decisions/0031 has the rule.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from models.records import Artifact
from models.rewards.kind_file import KIND_FILE, read_kind
from models.settings.base import Kind, Settings
from tasks.running.code_digest import code_digest
from tasks.running.environment import environment_of
from tasks.running.storage import content_digest, file_digest, folder_digests, read_manifest


def cache_key(name: str, module: str, inputs: dict[str, Any], reads: Mapping[str, tuple[str, ...]]) -> str:
    """`name-<hex>`: equal exactly when stage, input values, input contents, code and environment are equal.

    `reads`: input name -> the files of that artifact which the stage reads; of an artifact that is not named all count.
    """
    modules = modules_of(module, inputs)
    counted = {
        field: _files_identity(value, reads[field]) if field in reads and value is not None else input_identity(value)
        for field, value in inputs.items()
    }
    identity = json.dumps([name, code_digest(*modules), environment_of(modules, inputs), counted], sort_keys=True)
    return f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"


def modules_of(module: str, inputs: Any) -> tuple[str, ...]:
    """The module of a stage, and those that carry out the kinds which its inputs name: of settings, and of rewards in artifacts."""
    return (module, *sorted(set(_kind_modules(inputs)) - {module}))


def artifacts_of(inputs: dict[str, Any]) -> dict[str, Artifact]:
    """The artifacts among the inputs of a stage, those that are given by name in a mapping too, as `parts.brief`."""
    found: dict[str, Artifact] = {}
    for name, value in inputs.items():
        several = {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
        found |= {key: one for key, one in several.items() if isinstance(one, Artifact)}
    return found


def input_identity(value: Any, whole: bool = False) -> Any:
    """What counts of an input: an artifact's content; of a setting that names a file or folder on this machine, what that
    holds; of everything else the value. `whole`: fields count as well that do not by themselves."""
    if isinstance(value, Artifact):
        return value.identity
    if isinstance(value, Settings):
        whole = whole or value.counts_whole
        return {
            field: _local_identity(getattr(value, field))
            if field in value.local_fields
            else input_identity(getattr(value, field), whole)
            for field in type(value).model_fields
            if whole or field not in value.uncounted_fields
        }
    if isinstance(value, dict):
        return {str(key): input_identity(item, whole) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [input_identity(item, whole) for item in value]
    return value


def _files_identity(artifact: Artifact, names: tuple[str, ...]) -> dict[str, Any]:
    files = read_manifest(artifact).files
    return {"kind": artifact.kind, "files": {name: files.get(name) for name in names}}


def _local_identity(name: str | None) -> str | dict[str, str] | None:
    """The content of the file or folder of this name; the name itself when there is none (a hub name, say)."""
    if name is None:
        return None
    path = Path(name)
    if path.is_dir():
        return {"folder": content_digest(folder_digests(path))}
    return {"file": file_digest(path)} if path.is_file() else name


def _kind_modules(value: Any) -> Iterator[str]:
    if isinstance(value, Kind):
        yield from value.modules
    if isinstance(value, Artifact):
        yield from _reward_modules(value.folder / "model")
    elif isinstance(value, Settings):
        for field in set(type(value).model_fields) - set(value.uncounted_fields):
            own = getattr(value, field)
            if field in value.local_fields and own is not None:
                yield from _reward_modules(Path(own))
            yield from _kind_modules(own)
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _kind_modules(item)


def _reward_modules(folder: Path) -> Iterator[str]:
    for file in folder.rglob(KIND_FILE):  # a mixture holds its parts
        if kind := read_kind(file.parent):
            yield kind.code
