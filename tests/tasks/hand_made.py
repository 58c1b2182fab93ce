"""Artifacts made by hand, as stages leave them."""

from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from models.records import Artifact
from tasks.running.storage import Content, Making, publish, scratch_folder

BEGIN = datetime(2026, 11, 20, 12, tzinfo=UTC)
UNITS = {"tuning": "updates", "reward": "steps"}
REGISTERED = ("policy", "reward-model")
INPUT_NAMES = {"reward-model": "reward", "language-model": "base"}
_hours = count()


def making(stage: str = "made", settings: dict[str, Any] | None = None, **inputs: Artifact) -> Making:
    """A making, an hour after the one before; all its settings are chosen."""
    return Making(
        stage=stage,
        unit=UNITS.get(stage, "rows"),
        registered=False,
        inputs={name: Content(**one.identity) for name, one in inputs.items()},
        settings=settings or {},
        chosen=tuple(settings or {}),
        code_sha256="c" * 64,
        environment={},
        version="0.1.0",
        git_commit=None,
        created_at=BEGIN + timedelta(hours=next(_hours)),
    )


def make(
    root: Path,
    name: str,
    kind: str,
    *inputs: Artifact,
    holds: str = "",
    settings: dict[str, Any] | None = None,
    reads: dict[str, tuple[str, ...]] | None = None,
) -> Artifact:
    """An artifact of a kind, made from others; two that hold the same are one content. Inputs go by the name stages give them; of those in
    `reads` it read these files alone."""
    with scratch_folder(root / "artifacts") as folder:
        (folder / "model").mkdir()
        (folder / "model" / "weights.txt").write_text(holds or name)
        made = making(name.partition("-")[0], settings, **{INPUT_NAMES.get(one.kind, one.kind): one for one in inputs})
        made = made.model_copy(update={"registered": kind in REGISTERED, "reads": reads or {}})
        return publish(folder, root / "artifacts" / name, kind, 1, "0" * 32, {}, made, 1.0)


def copy_as(root: Path, name: str, kind: str, folder: Path) -> Artifact:
    """An artifact with the files of a folder: what stage `feedback` makes of a snapshot, say."""
    with scratch_folder(root / "artifacts") as scratch:
        for file in folder.iterdir():
            (scratch / file.name).write_bytes(file.read_bytes())
        return publish(scratch, root / "artifacts" / name, kind, 1, "0" * 32, {}, making(name.partition("-")[0]), 1.0)
