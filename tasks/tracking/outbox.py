"""What waits to be sent to MLflow about a run: numbers, tags, and the state it ended in. Training never waits for it.

A thread of its own sends, in order, and tries again while MLflow is away. What has not been sent in time at the end is kept as a
file, and a later run sends it. Sending twice does no harm: of a number with the same name, step, time and value MLflow keeps one.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from models.errors import TrackingError
from models.records import Record

SEND_EVERY_SECONDS = 5.0
RETRY_SECONDS = 2.0
MAX_METRICS_PER_CALL = 1000

Logger = logging.Logger | logging.LoggerAdapter
Point = tuple[str, float, int, int]
"""Name, value, time in milliseconds, step."""


class Letter(Record):
    """Something to tell MLflow about a run; `status` and `ended`, a time in milliseconds, when it is over."""

    uri: str
    run_id: str
    metrics: list[Point] = Field(default_factory=list)
    tags: dict[str, str] = Field(default_factory=dict)
    status: str | None = None
    ended: int | None = None


Send = Callable[[Letter], None]
"""Tells MLflow. Raises TrackingError when it is away, anything else when it refuses."""


class Outbox:
    """Takes what is to be told about one run, at any time and at once, and sends it when that can be done."""

    def __init__(self, folder: Path, uri: str, run_id: str, send: Send, logger: Logger) -> None:
        self._folder, self._uri, self._run_id, self._send, self._logger = folder, uri, run_id, send, logger
        self._metrics: list[Point] = []
        self._tags: dict[str, str] = {}
        self._end: tuple[str, int] | None = None
        self._given_up = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._send_all, daemon=True, name=f"outbox-{run_id}")
        self._thread.start()

    def add(self, metrics: Iterable[Point] = (), tags: Mapping[str, str] | None = None) -> None:
        """To be sent within seconds, or when MLflow is there again."""
        with self._changed:
            self._metrics += metrics
            self._tags |= tags or {}

    def close(self, status: str, patience_seconds: float) -> None:
        """Ends the run in this state once everything else is sent; what is not sent in time is kept in the folder."""
        with self._changed:
            self._end = (status, _now())
            self._changed.notify()
        try:
            self._thread.join(patience_seconds)
        finally:
            with self._changed:
                self._given_up = True
                self._changed.notify()
            if self._thread.is_alive():
                self._keep()

    def _send_all(self) -> None:
        away = False
        while letter := self._next(wait=not away):
            try:
                self._send(letter)
            except TrackingError as error:
                if not away:
                    self._logger.warning("%s; the numbers of this run wait until it is back, training does not", error)
                away = True
                with self._changed:
                    self._changed.wait_for(lambda: self._given_up, RETRY_SECONDS)
                continue
            except Exception as error:
                self._logger.error("MLflow refuses %d numbers of run %s: %s", len(letter.metrics), self._run_id, error)
            if away:
                self._logger.info("MLflow is back")
            away = False
            self._forget(letter)
            if letter.status:
                return

    def _next(self, wait: bool) -> Letter | None:
        """What is to be sent next, as soon as there is something; None when nothing will be."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._end, SEND_EVERY_SECONDS)
            while not (self._end or self._metrics or self._tags):
                self._changed.wait_for(lambda: self._end, SEND_EVERY_SECONDS)
            return None if self._given_up else self._letter(MAX_METRICS_PER_CALL)

    def _letter(self, most: int) -> Letter:
        status, ended = self._end if self._end and len(self._metrics) <= most else (None, None)
        about = {"uri": self._uri, "run_id": self._run_id, "tags": dict(self._tags), "status": status, "ended": ended}
        return Letter.model_construct(metrics=self._metrics[:most], **about)

    def _forget(self, sent: Letter) -> None:
        with self._changed:
            del self._metrics[: len(sent.metrics)]
            self._tags = {key: value for key, value in self._tags.items() if sent.tags.get(key) != value}

    def _keep(self) -> None:
        with self._changed:
            letter = self._letter(len(self._metrics))
        try:
            path = keep(self._folder, letter)
        except OSError as error:
            self._logger.error("%d numbers of run %s are lost: %s", len(letter.metrics), self._run_id, error)
        else:
            self._logger.warning(
                "%d numbers of run %s are kept in %s; the next run sends them", len(letter.metrics), self._run_id, path
            )


def keep(folder: Path, letter: Letter) -> Path:
    """The file, named by the run, that a letter now lies in."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{letter.run_id}.json"
    scratch = path.with_suffix(".scratch")
    with scratch.open("w", encoding="utf-8") as file:
        file.write(letter.model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    scratch.rename(path)
    return path


def send_kept(folder: Path, uri: str, send: Send, logger: Logger) -> None:
    """Sends what earlier runs have kept in the folder for this address; what cannot be sent stays there."""
    for path in sorted(folder.glob("*.json")):
        try:
            letter = Letter.model_validate_json(path.read_text(encoding="utf-8"))
            if letter.uri != uri:
                continue
            for start in range(0, len(letter.metrics), MAX_METRICS_PER_CALL):
                part = letter.metrics[start : start + MAX_METRICS_PER_CALL]
                send(Letter(uri=uri, run_id=letter.run_id, metrics=part))
            send(letter.model_copy(update={"metrics": []}))
        except FileNotFoundError:  # another run has just sent it
            continue
        except (TrackingError, ValidationError) as error:
            logger.warning("%s could not be sent: %s", path, error)
        except Exception as error:
            logger.error("MLflow refuses %s, which may be removed: %s", path, error)
        else:
            path.unlink(missing_ok=True)
            logger.info("%d numbers of run %s, kept when MLflow was away, are sent", len(letter.metrics), letter.run_id)


def _now() -> int:
    return int(time.time() * 1000)
