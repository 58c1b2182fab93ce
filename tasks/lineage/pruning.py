"""What is kept below `storage.root`, and how to be rid of it: a stage that is to run again, and what nothing refers to.

A forgotten artifact stays, in a folder that is not named by its cache key any more: a champion that was made from it finds it there
(tasks/running/mirror.py). What `prune` finds is removed for good.
"""

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import DataError
from models.settings.pipeline import TrackingConfig
from tasks.lineage.makings import Lineage, inputs_of, manifests_below
from tasks.running.mirror import forget_in_mirror, put_aside
from tasks.running.storage import SCRATCH, Content, Manifest
from tasks.tracking.registry import registered_versions

DAY_SECONDS = 86_400


def forget_stage(stage: str, root: Path, mirror: str | None) -> list[Path]:
    """Puts aside what a stage has made, so that the next run makes it again; gives back the folders that it had.

    Raises DataError when it has made nothing here, and for an artifact that is being made now.
    """
    made = manifests_below(root)
    folders = [one.artifact.folder for one in made if one.made.stage == stage and "." not in one.artifact.folder.name]
    if not folders:
        known = ", ".join(sorted({one.made.stage for one in made})) or "none"
        raise DataError(f"{stage}: no stage of this name has made anything below {root}; those that have: {known}")
    for folder in folders:
        with _turn(root, folder.name) as is_free:
            if not is_free:
                raise DataError(f"{folder}: it is being made just now; try again when that run has ended")
            (root / "results" / folder.name).unlink(missing_ok=True)
            if mirror:
                forget_in_mirror(folder, mirror)
            put_aside(folder)
    return folders


def unreferenced(root: Path, tracking: TrackingConfig, days: float) -> list[Path]:
    """Folders that nothing refers to: artifacts that no registered model is, was made from or is judged by, and what killed stages
    have left. Those that were written in the last `days` are left out: a run may go on.

    Raises DataError when no registered model was made here: then everything would go.
    """
    everything = manifests_below(root)
    lineage = Lineage(everything)
    versions = registered_versions(tracking, {one.content.sha256 for one in everything})
    registered = {one.content for one in everything if one.made.registered and one.content.sha256 in versions}
    if not registered:
        raise DataError(
            f"{tracking.uri}: none of its registered models was made below {root}, so that nothing here would be kept"
        )
    kept = {content for model in registered for content in lineage.behind(model)}
    found = [one.artifact.folder for one in everything if one.content not in kept and not _judges(one, registered)]
    found += [path for path in (root / "artifacts").glob(f"{SCRATCH}*")]
    found += [path for path in (root / "checkpoints").glob("*") if _is_free(root, path.name)]
    before = time.time() - days * DAY_SECONDS
    return sorted(path for path in found if path.stat().st_mtime < before)


def prune(folders: list[Path], root: Path) -> None:
    """Removes folders of artifacts, of scratch and of checkpoints, and what the cache knows of them."""
    for folder in folders:
        shutil.rmtree(folder)
        (root / "results" / folder.name).unlink(missing_ok=True)


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _judges(manifest: Manifest, registered: set[Content]) -> bool:
    """Whether it says something of a registered model, as an evaluation does, and is none itself."""
    return not manifest.made.registered and bool(registered.intersection(inputs_of(manifest).values()))


def _is_free(root: Path, key: str) -> bool:
    with _turn(root, key) as is_free:
        return is_free


@contextmanager
def _turn(root: Path, key: str) -> Iterator[bool]:
    """Whether no stage makes this artifact meanwhile; then none can begin to."""
    (root / "locks").mkdir(parents=True, exist_ok=True)
    with (root / "locks" / key).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
