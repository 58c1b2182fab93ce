"""What goes into an artifact's manifest about how it came to be, so that people can walk back to what it was made from."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from models.errors import ArtifactError
from models.settings.base import Settings
from tasks.running.cache_key import artifacts_of, modules_of
from tasks.running.code_digest import code_digest, git_commit, package_version
from tasks.running.environment import environment_of
from tasks.running.storage import Content, Making, StageTraits, read_manifest_in

_JSON = TypeAdapter(Any)
_LOGIN_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")


def making_of(traits: StageTraits, module: str, inputs: dict[str, Any]) -> Making:
    """The record of a stage that is about to run on these inputs, its code in `module`.

    Settings hold no secrets; should an address in one hold a login, or a field be secret, that part is left out.
    """
    read = {name: Content(**one.identity) for name, one in artifacts_of(inputs).items()}
    given = {name: value for name, value in inputs.items() if not artifacts_of({name: value})}
    for name, value in given.items():
        read |= dict(_artifacts_named(name, value))
    modules = modules_of(module, inputs)
    return Making(
        stage=traits.name,
        unit=traits.unit,
        registered=traits.registered,
        inputs=read,
        reads={name: traits.reads[name] for name in read if name in traits.reads},
        settings=_without_logins(_JSON.dump_python(given, mode="json")),
        chosen=tuple(chosen for name, value in given.items() for chosen in _chosen(name, value)),
        code_sha256=code_digest(*modules),
        environment=environment_of(modules, inputs),
        version=package_version(),
        git_commit=git_commit(),
        created_at=datetime.now(UTC),
    )


def _chosen(name: str, value: Any) -> Iterator[str]:
    """The dotted names of the settings in `value` that are not as they are by default; a `kind` is always told."""
    if not isinstance(value, Settings):
        if value is not None:
            yield name
        return
    for field, info in type(value).model_fields.items():
        own = getattr(value, field)
        if field == "kind" or isinstance(own, Settings) or own != info.get_default(call_default_factory=True):
            yield from _chosen(f"{name}.{field}", own)


def _artifacts_named(name: str, value: Any) -> Iterator[tuple[str, Content]]:
    """The artifacts in which the files and folders lie that settings name: a policy that another one starts from, say."""
    if not isinstance(value, Settings):
        return
    for field in type(value).model_fields:
        own = getattr(value, field)
        if field in value.local_fields and own is not None and Path(own).exists():
            yield from ((f"{name}.{field}", content) for content in _content_around(Path(own).resolve()))
        yield from _artifacts_named(f"{name}.{field}", own)


def _content_around(place: Path) -> Iterator[Content]:
    """The artifact that a file or folder is, or lies in; none where it lies elsewhere."""
    for folder in (place, *place.parents):
        try:
            yield Content(**read_manifest_in(folder).artifact.identity)
            return
        except ArtifactError:
            continue


def _without_logins(value: Any) -> Any:
    if isinstance(value, str):
        return _LOGIN_IN_URL.sub("…@", value)
    if isinstance(value, dict):
        return {key: _without_logins(item) for key, item in value.items()}
    return [_without_logins(item) for item in value] if isinstance(value, list) else value
