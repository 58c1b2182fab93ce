"""One retraining, from the news in the feedback store to how it ended."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from prefect import get_run_logger

from labeling.store.database import FeedbackStore
from labeling.store.retrainings import News, begin_retraining, end_retraining, read_news
from models.settings.labels import FeedbackFolder, StoredFeedback
from models.settings.pipeline import PipelineConfig
from tasks.champion.promotion import Verdict
from tasks.champion.snapshot import freeze_snapshot
from tasks.running.pipeline_run import PipelineRun


@dataclass
class OpenRetraining:
    """A retraining that goes on: where its feedback lies, and, in the end, the verdict."""

    feedback: FeedbackFolder
    verdict: Verdict | None = None


def count_news(config: PipelineConfig, labels: StoredFeedback, last_cancelled: int = 0) -> News:
    """What is in the feedback store that no retraining has seen; for `last_cancelled` see `read_news`."""
    with FeedbackStore(config.feedback.url) as store, store.read() as session:
        return read_news(session, config.tracking.policy_name, labels.criterion, labels.batches, last_cancelled)


@contextmanager
def open_retraining(run: PipelineRun, labels: StoredFeedback, news: News) -> Iterator[OpenRetraining]:
    """The retraining on a snapshot of now; where one was killed, on the snapshot that it had begun with, so that it goes on.

    How it ended is recorded: by its verdict, as failed by an error, as cancelled by a cancel.
    """
    feedback = _begun(run, labels, news) or freeze_snapshot(run, labels)
    retraining = OpenRetraining(feedback)
    with FeedbackStore(run.config.feedback.url) as store:
        with store.write() as session:
            name = run.config.tracking.policy_name
            number = begin_retraining(session, name, run.snapshot, run.flow_run_id, datetime.now(UTC)).id
        try:
            yield retraining
        except BaseException as error:
            outcome = "failed" if isinstance(error, Exception) else "cancelled"
            with store.write() as session:
                end_retraining(session, number, outcome, f"{type(error).__name__}: {error}", datetime.now(UTC))
            raise
        with store.write() as session:
            end_retraining(session, number, retraining.verdict.outcome, retraining.verdict.reason, datetime.now(UTC))


def _begun(run: PipelineRun, labels: StoredFeedback, news: News) -> FeedbackFolder | None:
    if news.unfinished is None:
        return None
    sha256 = news.unfinished.snapshot_sha256
    folder = run.root / "snapshots" / sha256
    if not folder.exists():
        return None
    get_run_logger().info("a retraining on snapshot %s was not finished; it goes on", sha256[:16])
    run.snapshot = sha256
    run.tracked.set_tags({"rein.snapshot": sha256})
    return FeedbackFolder(path=str(folder), criterion=labels.criterion)
