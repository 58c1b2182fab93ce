"""A labeler withdraws: out of all later snapshots, and the list of the models that have learned from them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from labeling.store.accounts import withdraw
from labeling.store.database import FeedbackStore
from labeling.store.snapshots import snapshots_with
from models.records import Artifact
from models.settings.pipeline import TrackingConfig
from tasks.lineage.provenance import trace


@dataclass(frozen=True)
class Learned:
    """A reward model or policy that learned from a labeler, and its versions in the model registry (`name v3`)."""

    artifact: Artifact
    versions: tuple[str, ...]


def withdraw_labeler(store_url: str, name: str, reason: str) -> list[str]:
    """Withdraws a labeler, which needs the store alone; gives back the digests of the snapshots that hold their judgements.

    Raises DataError for a labeler who is not known or has withdrawn already.
    """
    with FeedbackStore(store_url) as store, store.write() as session:
        labeler = withdraw(session, name, reason, datetime.now(UTC))
        return [one.sha256 for one in snapshots_with(session, labeler.id)]


def learned_from(store_url: str, name: str, root: Path, tracking: TrackingConfig) -> list[Learned]:
    """What has learned from a labeler, withdrawn or not. Raises ArtifactError where an artifact is damaged."""
    found = trace(f"labeler:{name}", root, store_url, tracking)
    return [
        Learned(one.artifact, tuple(found.versions.get(content.sha256, ()))) for content, one in found.models.items()
    ]
