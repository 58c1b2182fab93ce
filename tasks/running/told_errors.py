"""Errors that Rein raises on purpose stand in Prefect's log as one line each: their message says what to do, and where in the code it
was noticed is nobody's question."""

import logging

from models.errors import PipelineError

LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
"""Those that Prefect's engine tells of runs with."""


class InOneLine(logging.Filter):
    """Takes the traceback from a record of a PipelineError, and notes that it was one (`is_told`)."""

    def filter(self, record: logging.LogRecord) -> bool:
        """True: every record is kept."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, PipelineError):
            record.msg, record.args, record.exc_info, record.exc_text = (
                f"{type(error).__name__}: {error}",
                (),
                None,
                None,
            )
            record.is_told = True
        return True


def tell_errors_in_one_line() -> None:
    """Lets the logs of all flow and task runs of this process do so."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, InOneLine) for one in logger.filters):
            logger.addFilter(InOneLine())
