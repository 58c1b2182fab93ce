"""A copy of each artifact in storage that several machines share, found by the stage's cache key.

Below the address lies a folder per cache key, its manifest written last. What is fetched counts only when every file is what the
manifest says: an artifact that is half copied, altered or gone is as good as none.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import fsspec
from fsspec import AbstractFileSystem

from models.errors import ArtifactError, ConfigError
from models.records import Artifact
from tasks.running.storage import MANIFEST, scratch_folder, verify


def find_artifact(folder: Path, mirror: str | None) -> Artifact | None:
    """The whole artifact of this folder, taken from the mirror when it is missing or damaged here; None: it is to be made.

    Raises ConfigError for a mirror of a kind that is not installed, ArtifactError for one that cannot be read.
    """
    artifact = _whole_artifact(folder)
    if artifact is not None or mirror is None:
        return artifact
    with _storage_of(mirror) as storage, scratch_folder(folder.parent) as scratch:
        _fetch(storage, f"{mirror}/{folder.name}", scratch)
        if (fetched := _whole_artifact(scratch)) is None:
            return None
        artifact = fetched.model_copy(update={"uri": str(folder)})
        manifest = json.loads((scratch / MANIFEST).read_text(encoding="utf-8"))
        manifest["artifact"] = artifact.model_dump()
        (scratch / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        scratch.rename(folder)
    return artifact


def keep_in_mirror(artifact: Artifact, mirror: str, is_new: bool) -> None:
    """Copies an artifact to the mirror; one that is not new, only when the mirror lacks it. Raises as `find_artifact` does."""
    place = f"{mirror}/{artifact.folder.name}"
    with _storage_of(mirror) as storage:
        if storage.exists(f"{place}/{MANIFEST}"):
            if not is_new:
                return
            storage.rm_file(f"{place}/{MANIFEST}")  # while files are replaced, there is no artifact
        names = json.loads((artifact.folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        for name in (*names, MANIFEST):
            storage.makedirs(f"{place}/{name}".rpartition("/")[0], exist_ok=True)
            storage.put_file(str(artifact.folder / name), f"{place}/{name}")


@contextmanager
def _storage_of(mirror: str) -> Iterator[AbstractFileSystem]:
    """The storage that an address names. Each kind has errors of its own: here all of them become ours."""
    try:
        storage, _ = fsspec.url_to_fs(mirror)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"storage.mirror {mirror}: {error} (s3:// needs the extra `s3`)") from None
    try:
        storage.invalidate_cache()
        yield storage
    except Exception as error:
        raise ArtifactError(f"storage.mirror {mirror}: {type(error).__name__}: {error}") from error


def _fetch(storage: AbstractFileSystem, place: str, scratch: Path) -> None:
    """Copies what there is of an artifact: the files that its manifest names, as far as they lie below it."""
    try:
        storage.get_file(f"{place}/{MANIFEST}", str(scratch / MANIFEST))
        for name in json.loads((scratch / MANIFEST).read_text(encoding="utf-8"))["files"]:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                return
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            storage.get_file(f"{place}/{name}", str(scratch / name))
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # not there, or no manifest of ours
        return


def _whole_artifact(folder: Path) -> Artifact | None:
    """The artifact that a folder holds; None when a file is missing, altered or too many."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        artifact = Artifact.model_validate(manifest["artifact"] | {"uri": str(folder)})
        verify(artifact)
    except (OSError, ValueError, KeyError, TypeError, ArtifactError):
        return None
    return artifact
