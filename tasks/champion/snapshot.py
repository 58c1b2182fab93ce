"""From the feedback store to a run: a snapshot, frozen as a folder of records that is named by its digest."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from labeling.exporters.tables import export_raw
from labeling.feedback import Feedback
from labeling.store.database import FeedbackStore
from labeling.store.snapshots import last_judgement, note_snapshot, take_snapshot
from models.settings.labels import FeedbackFolder, StoredFeedback
from tasks.running.pipeline_run import PipelineRun
from tasks.running.storage import content_digest, folder_digests, scratch_folder


@task(name="snapshot", cache_policy=NO_CACHE)
def freeze_snapshot(run: PipelineRun, config: StoredFeedback) -> FeedbackFolder:
    """The folder of what the feedback store holds now, as a source of feedback. What comes later changes nothing in it.

    Its name is the SHA-256 of its files: the same feedback gives the same folder, on SQLite and on PostgreSQL. The store
    remembers the digest and who is in it. Raises DataError where the store holds nothing by the criterion.
    """
    with FeedbackStore(run.config.feedback.url) as store:
        with store.read() as session:
            last_seen = last_judgement(session)
            feedback = take_snapshot(session, config.criterion, config.batches)
        folder, sha256 = write_snapshot(run.root / "snapshots", feedback)
        with store.write() as session:
            note_snapshot(session, feedback, sha256, config.criterion, last_seen, datetime.now(UTC))
    run.snapshot = sha256
    run.tracked.set_tags({f"rein.{run.prefix}snapshot": sha256})
    return FeedbackFolder(path=str(folder), criterion=config.criterion)


def snapshot_of_batch(run: PipelineRun, criterion: str, batch: str) -> FeedbackFolder:
    """As above, of one batch, to compare with: no note says that anything learns from it."""
    with FeedbackStore(run.config.feedback.url) as store, store.read() as session:
        folder, _ = write_snapshot(run.root / "snapshots", take_snapshot(session, criterion, (batch,)))
    return FeedbackFolder(path=str(folder), criterion=criterion)


def write_snapshot(root: Path, feedback: Feedback) -> tuple[Path, str]:
    """Writes feedback to `root/<digest>`, all at once, and gives back folder and digest. One that is there is left alone."""
    with scratch_folder(root) as scratch:
        export_raw(feedback, scratch)
        sha256 = content_digest(folder_digests(scratch))
        folder = root / sha256
        if folder.exists() and content_digest(folder_digests(folder)) != sha256:
            shutil.rmtree(folder)  # somebody has changed it
        if not folder.exists():
            scratch.rename(folder)
    return folder, sha256
