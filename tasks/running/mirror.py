"""A copy of each artifact in storage that several machines share, found by the stage's cache key.

Below the address lies a folder per cache key, its manifest written last. What is fetched counts only when every file is what the
manifest says: an artifact that is half copied, altered or gone is as good as none.
"""

import contextlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import fsspec
from fsspec import AbstractFileSystem

from models.errors import ArtifactError, ConfigError
from models.records import Artifact
from tasks.running.storage import MANIFEST, STEPS, read_manifest_in, scratch_folder, verify


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


def bring_artifact(artifact: Artifact, root: Path, mirror: str | None) -> Artifact:
    """An artifact that was made earlier, perhaps in another folder or on another machine, where it lies now.

    It is sought by its cache key, which names its folder, and among those that were put aside: below `root`, in the mirror, and then
    where it was made. Raises ArtifactError when it is in none of them.
    """
    folder = root / "artifacts" / artifact.folder.name
    names = (folder, _aside(folder, artifact.sha256))
    sought = (*(find_artifact(name, mirror) for name in names), _whole_artifact(artifact.folder))
    found = next((one for one in sought if one is not None and one.identity == artifact.identity), None)
    if found is None:
        places = [f"{root}/artifacts", *([mirror] if mirror else []), str(artifact.folder.parent)]
        raise ArtifactError(
            f"{artifact.kind} {artifact.folder.name} (SHA-256 {artifact.sha256[:16]}) is in none of {', '.join(dict.fromkeys(places))}; "
            "name the storage.mirror or the storage.root that holds it"
        )
    return found


def put_aside(folder: Path) -> None:
    """Gives an artifact's folder another name than its cache key, so that it is not found in the cache."""
    aside = _aside(folder, read_manifest_in(folder).artifact.sha256)
    if aside.exists():  # the same content, put aside before
        shutil.rmtree(folder)
    else:
        folder.rename(aside)


def forget_in_mirror(folder: Path, mirror: str) -> None:
    """Puts the copy in the mirror aside as well. Raises as `find_artifact` does."""
    with _storage_of(mirror) as storage:
        place = f"{mirror}/{folder.name}"
        if not storage.exists(f"{place}/{MANIFEST}"):
            return
        sha256 = json.loads(storage.cat_file(f"{place}/{MANIFEST}"))["artifact"]["sha256"]
        aside = f"{mirror}/{_aside(folder, sha256).name}"
        if storage.exists(aside):
            storage.rm(place, recursive=True)
        else:
            storage.mv(place, aside, recursive=True)


def keep_in_mirror(artifact: Artifact, mirror: str, is_new: bool) -> None:
    """Copies an artifact to the mirror; one that is not new, only when the mirror lacks it. Raises as `find_artifact` does."""
    place = f"{mirror}/{artifact.folder.name}"
    with _storage_of(mirror) as storage:
        if storage.exists(f"{place}/{MANIFEST}"):
            if not is_new:
                return
            storage.rm_file(f"{place}/{MANIFEST}")  # while files are replaced, there is no artifact
        names = json.loads((artifact.folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        steps = (STEPS,) if (artifact.folder / STEPS).is_file() else ()
        for name in (*names, *steps, MANIFEST):
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
        with contextlib.suppress(FileNotFoundError):  # what was not trained has none
            storage.get_file(f"{place}/{STEPS}", str(scratch / STEPS))
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # not there, or no manifest of ours
        return


def _aside(folder: Path, sha256: str) -> Path:
    return folder.with_name(f"{folder.name}.{sha256[:12]}")


def _whole_artifact(folder: Path) -> Artifact | None:
    """The artifact that a folder holds; None when a file is missing, altered or too many."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        artifact = Artifact.model_validate(manifest["artifact"] | {"uri": str(folder)})
        verify(artifact)
    except (OSError, ValueError, KeyError, TypeError, ArtifactError):
        return None
    return artifact
