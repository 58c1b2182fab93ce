"""`rein lineage` and `rein withdraw`: what was made from what, and whose judgements are behind it."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cli.starting.defaults import set_defaults
from cli.starting.typed import typed
from cli.store_option import DEFAULT_STORE, Store
from models.errors import PipelineError
from models.settings.pipeline import StorageConfig, TrackingConfig


def withdraw(
    name: str,
    *,
    reason: str = "",
    store: Store = DEFAULT_STORE,
    root: str = StorageConfig().root,
    tracking_uri: str = TrackingConfig().uri,
) -> None:
    """Takes a labeler's judgements out of all later snapshots, and lists the models that have learned from them.

    Parameters
    ----------
    name
        The labeler.
    reason
        Kept with the withdrawal.
    root
        The folder of the artifacts (`storage.root`).
    tracking_uri
        Where models are registered (`tracking.uri`).
    """
    set_defaults(Path(root).resolve())
    from tasks.lineage.withdrawal import learned_from, withdraw_labeler

    tracking = TrackingConfig(uri=tracking_uri)
    snapshots = withdraw_labeler(store, name, reason)
    print(f"{name} has withdrawn; what they said is kept, and no later snapshot holds it.")
    print(f"snapshots that hold it: {', '.join(one[:16] for one in snapshots) or 'none'}", flush=True)
    try:
        learned = learned_from(store, name, Path(root).resolve(), tracking)
    except PipelineError as error:
        later = typed("lineage", f"labeler:{name}", store=store)
        raise PipelineError(
            f"this is recorded, but what learned from it cannot be listed now: {error}; later: {later}"
        ) from None
    for one in learned:
        print(f"learned from it: {one.artifact.kind} {one.artifact.uri} {', '.join(one.versions) or 'not registered'}")
    if not learned:
        print("No reward model or policy has learned from it.")


def lineage(
    asked: str,
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    store: Store = DEFAULT_STORE,
    root: str = StorageConfig().root,
    tracking_uri: str = TrackingConfig().uri,
) -> None:
    """Where a model or any artifact comes from, whose judgements are behind it, and what was made from it.

    Parameters
    ----------
    asked
        policy@champion, policy@3, reward@champion; labeler:NAME; a digest or its first characters; an artifact's folder.
    as_json
        For programs: everything that is known, as JSON.
    root
        The folder of the artifacts (`storage.root`).
    tracking_uri
        Where models are registered (`tracking.uri`).
    """
    set_defaults(Path(root).resolve())
    from tasks.lineage.provenance import trace
    from tasks.lineage.tree import answer, as_tree, branches_after, branches_behind

    found = trace(asked, Path(root).resolve(), store, TrackingConfig(uri=tracking_uri))
    if as_json:
        print(json.dumps(found.as_json(), indent=1, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console()
    for line in answer(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    trees = ("What it was made from", branches_behind(found)), ("What was made from it", branches_after(found))
    for heading, branches in trees:
        if branches:
            console.print()
            console.print(as_tree(branches, heading))
