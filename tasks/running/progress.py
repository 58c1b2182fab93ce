"""A stage's progress in Prefect, told from a thread of its own: a server that is away for a while holds no training up."""

import contextvars
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

EVERY_SECONDS = 2.0
LAST_SECONDS = 5.0


class ToldProgress:
    """The progress artifact of a stage."""

    def __init__(self, stage: str) -> None:
        started = create_progress_artifact(progress=0.0, key=f"{stage}-progress", description=stage)
        self._artifact_id = cast(UUID, started)  # a coroutine only where it is called from one
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="progress")
        self._update: Future | None = None
        self._told = time.monotonic()

    def tell(self, percent: float) -> None:
        """Sends the progress, unless the last time was a moment ago or is still under way. Never waits."""
        is_free = self._update is None or self._update.done()
        if is_free and time.monotonic() - self._told > EVERY_SECONDS:
            self._told = time.monotonic()
            self._send(percent)

    def end(self) -> None:
        """It stands at 100 %, if Prefect is there to hear it."""
        wait([self._send(100.0)], timeout=LAST_SECONDS)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _send(self, percent: float) -> Future:
        context = contextvars.copy_context()  # by which the thread knows the run and its server
        update = partial(update_progress_artifact, self._artifact_id, progress=percent)
        self._update = self._thread.submit(context.run, update)
        return self._update
