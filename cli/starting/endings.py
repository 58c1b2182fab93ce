"""How a run ends in the terminal, where it does not end well: in one line, by whoever started it."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from cli.starting.typed import typed_again
from tasks.running.told_errors import LOGGERS

STOPPED = 128 + 2  # as a shell gives it back of what ended by SIGINT


@contextmanager
def stoppable() -> Iterator[None]:
    """Meanwhile Ctrl-C ends the command with a line that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\nstopped; the same command goes on from what is done so far: {typed_again()}", file=sys.stderr)
        sys.exit(STOPPED)


def leave_the_end_to_the_command() -> None:
    """Keeps out of the terminal in which state Prefect sees a run or a stage end: stages tell what they gave, and the command how it all ended. Prefect's
    server is told all the same.

    To be called once Prefect is imported, which sets up its handlers then.
    """
    for handler in logging.getLogger().handlers:
        if type(handler).__name__ == "PrefectConsoleHandler":
            handler.addFilter(_is_no_end)


def _is_no_end(record: logging.LogRecord) -> bool:
    if record.name not in LOGGERS:
        return True
    said = record.getMessage()
    is_stop = "aborted by an interrupt signal" in said
    return not (getattr(record, "is_told", False) or is_stop or said.startswith("Finished in state "))
