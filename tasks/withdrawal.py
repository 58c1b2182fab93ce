"""A labeler withdraws: out of all later snapshots, and the list of the models that have learned from them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from labeling.store.accounts import withdraw
from labeling.store.database import FeedbackStore
from labeling.store.snapshots import snapshots_with
from models.config import TrackingConfig
from models.records import Artifact
from tasks.lineage import made_from
from tasks.tracking import registered_versions


@dataclass(frozen=True)
class Learned:
    """A reward model or policy that learned from a labeler, and its versions in the model registry (`name v3`)."""

    artifact: Artifact
    versions: tuple[str, ...]


def withdraw_labeler(
    store_url: str, name: str, reason: str, root: Path, tracking: TrackingConfig
) -> tuple[list[str], list[Learned]]:
    """Withdraws a labeler; gives back the digests of the snapshots that hold their judgements, and what learned from these.

    Raises DataError for a labeler who is not known or has withdrawn already.
    """
    with FeedbackStore(store_url) as store, store.write() as session:
        labeler = withdraw(session, name, reason, datetime.now(UTC))
        snapshots = [one.sha256 for one in snapshots_with(session, labeler.id)]
    models = [one for one in made_from(root, set(snapshots)) if one.kind in ("reward-model", "policy")]
    versions = registered_versions(tracking, {one.sha256 for one in models}) if models else {}
    return snapshots, [Learned(one, tuple(versions.get(one.sha256, ()))) for one in models]
