"""What waits to be sent to MLflow about a run: numbers, tags, and the state it ended in. Training never waits for it.

A thread of its own sends, in order, and tries again while MLflow is away. What has not been sent in time at the end is kept as a
file, and a later run sends it. Sending twice does no harm: of a number with the same name, step, time and value MLflow keeps one.
What MLflow refuses is told by its name, and holds nothing else up.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pydantic import Field, ValidationError

from models.errors import TrackingError
from models.records import Record

SEND_EVERY_SECONDS = 5.0
RETRY_SECONDS = 2.0
MAX_METRICS_PER_CALL = 1000
GONE = "run %s is not in MLflow any more, somebody has deleted it; what there is to tell about it is dropped"

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

    @property
    def parts(self) -> list["Letter"]:
        """Two letters that say the same one after the other, the state last; none where it says a single thing."""
        if self.status and (self.metrics or self.tags):
            return [self._only(self.metrics, self.tags), self._only(status=self.status, ended=self.ended)]
        if self.metrics and self.tags:
            return [self._only(tags=self.tags), self._only(self.metrics)]
        # by name: what is refused for its name stands together, and is found with fewer calls
        metrics, tags = sorted(self.metrics, key=lambda point: point[0]), list(self.tags.items())
        half = (len(metrics) + len(tags)) // 2
        if not half:
            return []
        return [self._only(metrics[:half], dict(tags[:half])), self._only(metrics[half:], dict(tags[half:]))]

    def _only(
        self, metrics: Sequence[Point] = (), tags: Mapping[str, str] = MappingProxyType({}), **end: str | int | None
    ) -> "Letter":
        return Letter.model_construct(uri=self.uri, run_id=self.run_id, metrics=list(metrics), tags=dict(tags), **end)

    @property
    def subject(self) -> str:
        """What a letter without parts is about: kind and name."""
        if self.metrics:
            return f"number {self.metrics[0][0]}"
        return f"tag {next(iter(self.tags))}" if self.tags else f"state {self.status}"


class RunGone(Exception):
    """MLflow does not know the run any more, or somebody has deleted it."""


Send = Callable[[Letter], None]
"""Tells MLflow. Raises TrackingError for "not now", RunGone where there is nobody to tell it about, anything else when it refuses."""


class Delivery:
    """Sends letters, and where one is refused its parts: MLflow refuses all of a letter for one thing in it."""

    def __init__(self, send: Send, logger: Logger) -> None:
        self._send, self._logger = send, logger
        self._told: set[tuple[str, str]] = set()

    def deliver(self, letter: Letter) -> None:
        """Raises TrackingError for "not now"; what is sent by then may be sent again. RunGone is for whoever keeps letters."""
        try:
            self._send(letter)
            return
        except (TrackingError, RunGone):
            raise
        except Exception as error:
            refusal = error
        parts = letter.parts
        for part in parts:
            self.deliver(part)
        if not parts:
            self._tell(letter, refusal)

    def _tell(self, letter: Letter, refusal: Exception) -> None:
        if (about := (letter.run_id, letter.subject)) in self._told:
            return
        self._told.add(about)
        point = "".join(f" ({value} at step {step})" for _, value, _, step in letter.metrics)
        self._logger.error("MLflow refuses the %s%s of run %s: %s", letter.subject, point, letter.run_id, refusal)


class Outbox:
    """Takes what is to be told about one run, at any time and at once, and sends it when that can be done."""

    def __init__(self, folder: Path, uri: str, run_id: str, send: Send, logger: Logger) -> None:
        self._folder, self._uri, self._run_id, self._logger = folder, uri, run_id, logger
        self._delivery = Delivery(send, logger)
        self._metrics: list[Point] = []
        self._tags: dict[str, str] = {}
        self._end: tuple[str, int] | None = None
        self._given_up = self._is_gone = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._send_all, daemon=True, name=f"outbox-{run_id}")
        self._thread.start()

    def add(self, metrics: Iterable[Point] = (), tags: Mapping[str, str] | None = None) -> None:
        """To be sent within seconds, or when MLflow is there again."""
        with self._changed:
            if self._is_gone:
                return
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
        trouble: type[TrackingError] | None = None
        while letter := self._next(wait=trouble is None):
            try:
                self._delivery.deliver(letter)
            except TrackingError as error:
                if type(error) is not trouble:
                    self._logger.warning("%s; the numbers of this run wait, training does not", error)
                trouble = type(error)
                with self._changed:
                    self._changed.wait_for(lambda: self._given_up, RETRY_SECONDS)
                continue
            except RunGone:
                self._logger.error(GONE, self._run_id)
                with self._changed:
                    self._is_gone = True
                return
            if trouble:
                self._logger.info("MLflow is back")
            trouble = None
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
    """Sends what earlier runs have kept in the folder for this address; what cannot be sent now stays there."""
    delivery = Delivery(send, logger)
    for path in sorted(folder.glob("*.json")):
        try:
            letter = Letter.model_validate_json(path.read_text(encoding="utf-8"))
            if letter.uri != uri:
                continue
            for start in range(0, len(letter.metrics), MAX_METRICS_PER_CALL):
                part = letter.metrics[start : start + MAX_METRICS_PER_CALL]
                delivery.deliver(Letter(uri=uri, run_id=letter.run_id, metrics=part))
            delivery.deliver(letter.model_copy(update={"metrics": []}))
        except FileNotFoundError:  # another run has just sent it
            continue
        except (TrackingError, ValidationError) as error:
            logger.warning("%s could not be sent: %s", path, error)
            continue
        except RunGone:
            logger.error(GONE, letter.run_id)
        else:
            logger.info("%d numbers of run %s, kept when MLflow was away, are sent", len(letter.metrics), letter.run_id)
        path.unlink(missing_ok=True)


def _now() -> int:
    return int(time.time() * 1000)
