"""Artifacts on disk: written to a scratch folder, renamed when complete, verified when read.

A half-written artifact does not exist: the manifest is written last, and the rename makes the whole folder appear at once.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from models.errors import ArtifactError, describe_validation
from models.records import Artifact, Record, StepMetrics, read_records

MANIFEST = "manifest.json"
SCRATCH = ".scratch-"
"""What the names of folders begin with that are being written; a stage that was killed leaves one."""
STEPS = "steps.jsonl"
"""The numbers of each training step, beside what was trained. Times stand in them, so that they are no part of its content."""


class Content(Record):
    """What an artifact holds, wherever it lies and whoever made it."""

    kind: str
    sha256: str


@dataclass(frozen=True)
class StageTraits:
    """What a stage says of itself (tasks/running/stage.py)."""

    name: str
    kind: str
    unit: str
    curves: str
    reads: Mapping[str, tuple[str, ...]]
    reads_data: bool
    registered: bool


class Making(Record):
    """How an artifact came to be: by which stage, from which artifacts, with which settings and code, and when.

    `unit`: what its rows are; `registered`: whether it is registered as a model.
    `inputs`: name of the stage's input -> what it was; `reads`: of those of which it read a few files alone, which. `settings`: its other inputs, as JSON. `chosen`: the dotted names of
    those settings that differ from their defaults. `environment`: versions of the packages that computed it, device and precision
    (tasks/running/environment.py). `git_commit` ends in `-dirty` where files had been edited.
    """

    stage: str
    unit: str
    registered: bool
    inputs: dict[str, Content]
    reads: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    settings: dict[str, Any]
    chosen: tuple[str, ...]
    code_sha256: str
    environment: dict[str, str] = Field(default_factory=dict)
    version: str
    git_commit: str | None
    created_at: datetime


class Manifest(Record):
    """What lies beside an artifact's files: its handle, its final numbers, the digest of each file, how it was made, and how long
    that took (of a training that was killed, since it went on)."""

    artifact: Artifact
    metrics: dict[str, Any]
    files: dict[str, str]
    made: Making
    seconds: float

    @property
    def content(self) -> Content:
        """What the artifact holds."""
        return Content(**self.artifact.identity)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digests(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of every file below a folder, the manifest and the steps left out."""
    about = (folder / MANIFEST, folder / STEPS)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path not in about)
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


def content_digest(digests: dict[str, str]) -> str:
    """One SHA-256 over names and digests of files."""
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """A folder on the same disk as `root` to write into; it is gone afterwards unless it was published."""
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(
    scratch: Path,
    destination: Path,
    kind: str,
    rows: int,
    run_id: str,
    metrics: dict[str, Any],
    made: Making,
    seconds: float,
) -> Artifact:
    """Seals a scratch folder with a manifest and moves it to its destination, replacing what lay there."""
    digests = folder_digests(scratch)
    sha256 = content_digest(digests)
    artifact = Artifact(kind=kind, uri=str(destination.resolve()), sha256=sha256, rows=rows, run_id=run_id)
    manifest = Manifest(artifact=artifact, metrics=metrics, files=digests, made=made, seconds=seconds)
    with (scratch / MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(manifest.model_dump(mode="json"), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    destination.parent.mkdir(parents=True, exist_ok=True)
    if destination.exists():
        shutil.rmtree(destination)
    scratch.rename(destination)
    return artifact


def read_manifest(artifact: Artifact) -> Manifest:
    """The manifest beside an artifact's files. Raises ArtifactError naming the folder when it is missing or damaged."""
    return read_manifest_in(artifact.folder)


def read_manifest_in(folder: Path) -> Manifest:
    """The manifest of the artifact in a folder; its handle leads to this folder, wherever it was made.

    Raises ArtifactError naming the folder when it is missing or damaged.
    """
    try:
        manifest = Manifest.model_validate(json.loads((folder / MANIFEST).read_bytes()))
        return manifest.model_copy(update={"artifact": manifest.artifact.model_copy(update={"uri": str(folder)})})
    except OSError:
        reason = "it cannot be read"
    except ValidationError as error:
        reason = describe_validation(error)
    except ValueError as error:
        reason = f"not JSON ({error})"
    raise ArtifactError(
        f"{folder}: no readable {MANIFEST}: {reason}; the artifact is missing or damaged: remove the folder, and its stage "
        "makes it again"
    )


def read_steps(artifact: Artifact) -> list[StepMetrics]:
    """The steps in which an artifact was trained; none, when it was not."""
    path = artifact.folder / STEPS
    return read_records(path, StepMetrics) if path.is_file() else []


def verify(artifact: Artifact) -> None:
    """Raises ArtifactError, naming folder and file, unless every file is there and is what the handle says."""
    expected = read_manifest(artifact).files
    found = folder_digests(artifact.folder)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            state = "missing" if name not in found else "not part of it" if name not in expected else "altered"
            raise ArtifactError(f"{artifact.folder}: {name} is {state}")
    if content_digest(found) != artifact.sha256:
        raise ArtifactError(f"{artifact.folder}: holds another artifact than the one asked for")
