"""Waiting for what other processes do: by signs of life. The ceilings are for hangs, which must not become a pass."""

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TypeVar

import httpx

Found = TypeVar("Found")

CEILING_SECONDS = 900.0
"""No expectation: a machine with other work on it takes several times as long as one without."""

PAGE_SECONDS = 120.0
"""The same for a page of ours, behind which nothing is computed."""


def until(found: Callable[[], Found], seconds: float = CEILING_SECONDS) -> Found:
    """What `found` gives once that is something; AssertionError after so many seconds."""
    deadline, pause = monotonic() + seconds, 0.05
    while not (result := found()):
        assert monotonic() < deadline, f"not within {seconds:g} s"
        threading.Event().wait(pause)
        pause = min(1.2 * pause, 0.5)  # to look often takes the processor from what is waited for
    return result


def answers(url: str) -> bool:
    """Whether a server gives this page now."""
    try:
        return (
            httpx.get(url, timeout=30, verify=False).status_code == 200
        )  # to load certificates takes longer than to ask
    except httpx.TransportError:
        return False


def until_it_answers(process: subprocess.Popen, url: str, log: Path) -> None:
    """Returns once the process gives this page; AssertionError with the end of its log when it has ended before."""

    def is_over() -> bool:
        return answers(url) or process.poll() is not None

    until(is_over)
    assert process.poll() is None, f"{url}: exit status {process.returncode}\n{log.read_text()[-2000:]}"
