"""Keeps the paths of a configuration below folders that the operator allows.

A configuration may come from a web form. When the environment of a worker sets REIN_ALLOWED_ROOTS (folders, separated by
colons), nothing outside of them is read or written because a setting says so.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from models.errors import ConfigError
from models.settings.base import Settings

VARIABLE = "REIN_ALLOWED_ROOTS"
REMOTE = {"http", "https", "postgresql", "s3", "gs", "gcs", "az", "abfs"}
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def require_allowed(config: Settings) -> None:
    """Checks every path of a configuration, symbolic links and `..` resolved, when REIN_ALLOWED_ROOTS is set.

    Raises ConfigError naming each key and path outside, and for a variable that names no folders.
    """
    if VARIABLE not in os.environ:
        return
    roots = _roots(os.environ[VARIABLE])
    outside = [f"{key}: {path}" for key, path in local_places(config) if not _is_below(path, roots)]
    if outside:
        allowed = ", ".join(map(str, roots))
        raise ConfigError(f"{VARIABLE} allows only what lies below {allowed}; outside: {'; '.join(outside)}")


def local_places(settings: Settings, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(key, path) of every setting that names a file or folder on this machine."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings):
            yield from local_places(value, f"{prefix}{name}.")
        elif isinstance(value, tuple | dict):
            for place, one in value.items() if isinstance(value, dict) else enumerate(value):
                if isinstance(one, Settings):
                    yield from local_places(one, f"{prefix}{name}.{place}.")
        elif isinstance(value, str) and name in settings.place_fields:
            yield from ((f"{prefix}{name}", path) for path in _paths_of_address(value))
        elif isinstance(value, str) and name in settings.local_fields and not is_hub_name(value):
            yield f"{prefix}{name}", value


def _roots(text: str) -> list[str]:
    folders = [folder for folder in text.split(os.pathsep) if folder]
    if not folders or not all(map(os.path.isabs, folders)):
        raise ConfigError(f"{VARIABLE} is {text!r}: expected absolute paths of folders, separated by {os.pathsep!r}")
    return [os.path.realpath(folder) for folder in folders]


def _is_below(path: str, roots: list[str]) -> bool:
    """Whether a path leads below one of the roots, also when a reader takes `%2e` for a dot."""
    readings = [Path(os.path.realpath(reading)) for reading in {path, unquote(path)}]
    return all(any(reading.is_relative_to(root) for root in roots) for reading in readings)


def is_hub_name(value: str) -> bool:
    """Whether a name is one of the hub: it looks like one, and there is no such file or folder here."""
    return _HUB_NAME.fullmatch(value) is not None and not os.path.lexists(value)


def _paths_of_address(address: str) -> list[str]:
    """The path that an address leads to; none when it is on another machine. What is not understood counts as a path."""
    scheme, colon, rest = address.partition(":")
    kind = scheme.lower().partition("+")[0]
    if colon and kind in REMOTE and rest.startswith("//"):
        return []
    if kind == "sqlite":
        return [rest.removeprefix("///").partition("?")[0].removeprefix("file:")]
    if kind in ("file", "local"):
        return [rest.removeprefix("//")]
    return [address]
