"""Calls to something that may be away for a while: they wait for it, with an end to the waiting."""

import functools
import time
from collections.abc import Callable
from typing import Any

from models.errors import TrackingError
from tasks.tracking.outbox import RETRY_SECONDS, Logger


class Patient:
    """Stands before an object; its methods are tried again while `is_away` says that this can help.

    After `patience_seconds` they raise TrackingError. `impatient` is the object itself.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        is_away: Callable[[Exception], bool],
        name: str,
        patience_seconds: float,
        logger: Logger,
    ) -> None:
        self.name, self.patience_seconds, self.logger, self._is_away = name, patience_seconds, logger, is_away
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
                    if not self._is_away(error):
                        raise
                    about = describe_away(self.name, error)
                    if time.monotonic() > deadline:
                        waited = f"waited {self.patience_seconds:g} s (tracking.patience_seconds)"
                        raise TrackingError(f"{about}; {waited}. Start it, or set tracking.uri") from error
                    if not warned:
                        self.logger.warning("%s; waiting for it up to %g s", about, self.patience_seconds)
                    warned = True
                    time.sleep(RETRY_SECONDS)

        return patient


def describe_away(name: str, error: Exception) -> str:
    """That it is away, and the first line of what is at the bottom of it."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return f"{name} is away ({f'{type(error).__name__}: {error}'.splitlines()[0]})"
