"""How often an address may try to sign in."""

import math
import threading
from collections import OrderedDict, deque

MAX_FAILURES = 10
WINDOW_SECONDS = 300
MAX_ADDRESSES = 10_000


class FailureLimit:
    """Counts failures per address. Memory is bounded: the address that failed longest ago is forgotten first."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def seconds_to_wait(self, address: str, now: float) -> int:
        """0 when the address may try now, else whole seconds until it may."""
        with self._lock:
            failures = self._failures.get(address, deque())
            if len(failures) < MAX_FAILURES:
                return 0
            return max(0, math.ceil(failures[0] + WINDOW_SECONDS - now))

    def note_failure(self, address: str, now: float) -> None:
        """Counts one failure; of an address only the last MAX_FAILURES matter."""
        with self._lock:
            self._failures.setdefault(address, deque(maxlen=MAX_FAILURES)).append(now)
            self._failures.move_to_end(address)
            if len(self._failures) > MAX_ADDRESSES:
                self._failures.popitem(last=False)
