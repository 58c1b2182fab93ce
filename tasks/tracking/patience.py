"""Calls to something that may be away for a while: they wait for it, with an end to the waiting."""

import functools
import time
from collections.abc import Callable
from typing import Any

from models.errors import TrackingError
from tasks.tracking.answers import LockedOut
from tasks.tracking.outbox import RETRY_SECONDS, Logger


class Patient:
    """Stands before an object; its methods are tried again while `not_now` gives what an error of theirs is to be taken for.

    After `patience_seconds` they raise TrackingError; at once where nobody but a person can help. `impatient` is the object itself.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        not_now: Callable[[Exception], TrackingError | None],
        patience_seconds: float,
        logger: Logger,
    ) -> None:
        self.patience_seconds, self.logger, self._not_now = patience_seconds, logger, not_now
        self.impatient = self._patiently(make)()

    def __getattr__(self, method: str) -> Callable:
        return self._patiently(getattr(self.impatient, method))

    def _patiently(self, call: Callable) -> Callable:
        @functools.wraps(call)
        def patient(*arguments: Any, **named: Any) -> Any:
            deadline = time.monotonic() + self.patience_seconds
            warned = False
            while True:
                try:
                    return call(*arguments, **named)
                except Exception as error:
                    later = self._not_now(error)
                    if later is None:
                        raise
                    if isinstance(later, LockedOut):
                        raise later from error
                    if time.monotonic() > deadline:
                        waited = f"waited {self.patience_seconds:g} s (tracking.patience_seconds)"
                        raise TrackingError(f"{later}; {waited}. Start it, or set tracking.uri") from error
                    if not warned:
                        self.logger.warning("%s; waiting for it up to %g s", later, self.patience_seconds)
                    warned = True
                    time.sleep(RETRY_SECONDS)

        return patient
