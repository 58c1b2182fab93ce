"""`rein forget` and `rein prune`: what is kept below `storage.root`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cli.starting.defaults import set_defaults
from models.settings.pipeline import StorageConfig, TrackingConfig


def forget(stage: str, *, root: str = StorageConfig().root, mirror: str | None = None) -> None:
    """The next run makes anew what a stage has made. The files stay for models that were made from them.

    Parameters
    ----------
    stage
        Such as `reward` or `tuning`; `rein lineage` names the stage of each artifact.
    root
        The folder of the artifacts (`storage.root`).
    mirror
        Forget it there too (`storage.mirror`), for every machine.
    """
    set_defaults(Path(root).resolve())
    from tasks.lineage.pruning import forget_stage

    folders = forget_stage(stage, Path(root).resolve(), StorageConfig(mirror=mirror).mirror)
    for folder in folders:
        print(f"forgotten: {folder}")


def prune(
    *,
    days: float = 1.0,
    yes: Annotated[bool, Parameter(negative="")] = False,
    root: str = StorageConfig().root,
    tracking_uri: str = TrackingConfig().uri,
) -> None:
    """Lists, and with --yes removes, what no registered model was made from or is judged by, and what killed stages have left.

    Parameters
    ----------
    days
        What was written in so many days is left alone: a run may go on.
    yes
        Remove it.
    root
        The folder of the artifacts (`storage.root`). A mirror is left alone, since others may use it.
    tracking_uri
        Where models are registered (`tracking.uri`).
    """
    place = Path(root).resolve()
    set_defaults(place)
    from tasks.lineage import pruning

    folders = pruning.unreferenced(place, TrackingConfig(uri=tracking_uri), days)
    total = 0
    for folder in folders:
        size = pruning.size_of(folder)
        total += size
        print(f"{size / 1e6:10.1f} MB  {folder}")
    if yes:
        pruning.prune(folders, place)
    said = "removed" if yes else "unreferenced; --yes removes them" if folders else "unreferenced"
    print(f"{len(folders)} folders, {total / 1e6:.1f} MB {said}")
