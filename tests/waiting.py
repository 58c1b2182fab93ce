"""Waiting for what other processes do."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

Found = TypeVar("Found")


def until(found: Callable[[], Found], seconds: float = 300) -> Found:
    """What `found` gives once that is something. A hang does not become a pass: AssertionError after so many seconds."""
    deadline = monotonic() + seconds
    while not (result := found()):
        assert monotonic() < deadline, f"not within {seconds:g} s"
        threading.Event().wait(0.05)
    return result
