"""A public data set, put into a folder in the form that Rein reads, beside a file that says where it comes from."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from labeling.public_data.repositories import Repository, RepositoryFiles, opened
from models.errors import DataError


def json_lines(rows: Iterable[dict[str, Any]]) -> bytes:
    """A file of rows."""
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()


class DataSet(NamedTuple):
    """Which files are made of which repositories."""

    name: str
    repositories: tuple[Repository, ...]
    files: tuple[str, ...]
    changed: str
    """What is made of the published files; kept beside them, since some licences ask for it."""
    convert: Callable[[Sequence[RepositoryFiles]], dict[str, bytes]]
    """From the repositories' files, in their order, to the content of each of `files`."""

    @property
    def sources(self) -> str:
        """The name of the file that says where the others come from."""
        return f"SOURCES.{self.name}.json"


class Filled(NamedTuple):
    """What has been written."""

    num_rows: dict[str, int]
    """Of those files that hold rows."""
    unlike_the_known: list[str]
    """Raw files of a copy that are not the published ones."""
    unlike_the_last: list[str] | None
    """Raw files that have changed since the folder was last filled; None if it was not."""


def fill(data: DataSet, folder: Path, copies: Path | None = None, replace: bool = False) -> Filled:
    """Writes the data set's files below a folder, each of them whole or not at all.

    From where they are published, or from a folder with copies of the repositories. Raises DataError if a file is there already and not to be replaced,
    and for what cannot be fetched or read, where nothing is written, or cannot be written.
    """
    there = [name for name in (*data.files, data.sources) if (folder / name).exists()]
    if there and not replace:
        raise DataError(f"{folder}: {', '.join(there)} already there; --replace writes anew")
    with ExitStack() as stack:
        files = [stack.enter_context(opened(one, copies)) for one in data.repositories]
        contents = data.convert(files)
        last = _read_sources(folder / data.sources)
        try:
            _write(folder, contents | {data.sources: _sources(data, files)})
        except OSError as error:
            raise DataError(f"{error.filename or folder}: cannot be written ({error.strerror})") from None
    read = {f"{one.repository.name}/{path}": digest for one in files for path, digest in one.sha256.items()}
    unlike_the_known = [f"{one.repository.name}/{path}" for one in files for path in one.unlike_the_known]
    unlike_the_last = None if last is None else [path for path, digest in read.items() if last.get(path) != digest]
    num_rows = {name: contents[name].count(b"\n") for name in data.files if name.endswith(".jsonl")}
    return Filled(num_rows, unlike_the_known, unlike_the_last)


def _sources(data: DataSet, files: Sequence[RepositoryFiles]) -> bytes:
    repositories = [
        {
            "repository": one.repository.page,
            "commit": one.commit or "not known: read from a folder",
            "licence": one.repository.licence,
            "sha256": {f"{one.repository.name}/{path}": digest for path, digest in sorted(one.sha256.items())},
        }
        for one in files
    ]
    head = {"made_by": f"rein fetch {data.name}", "changed": data.changed, "files": list(data.files)}
    text = json.dumps(head | {"repositories": repositories}, indent=1, ensure_ascii=False)
    return f"{text}\n".encode()


def _read_sources(file: Path) -> dict[str, str] | None:
    """Path -> digest of what was read when the folder was last filled."""
    if not file.is_file():
        return None
    try:
        repositories = json.loads(file.read_text(encoding="utf-8"))["repositories"]
        return {path: digest for one in repositories for path, digest in one["sha256"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{file}: it is not as `rein fetch` writes it; move it away") from None


def _write(folder: Path, contents: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".scratch-", dir=folder) as scratch:
        for number, content in enumerate(contents.values()):
            Path(scratch, str(number)).write_bytes(content)
        for number, name in enumerate(contents):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(Path(scratch, str(number)), folder / name)
