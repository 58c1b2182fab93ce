"""Programs that run side by side: started, waited for, started again when they die, and ended with all that they started."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from models.errors import PipelineError

SECONDS_TO_END = 20.0
STEADY_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 60.0
TOLD_AFTER_SECONDS = 20.0
LONGEST_SECONDS = 900.0
MOST_DEATHS = 3
MARK = "REIN_STARTED_AS"
"""The variable that a program hands down to all that it starts: a run is in a session of its own, and outlives a killed worker."""


class StartError(PipelineError):
    """A program does not come up, or a port is taken. The message says what to do."""


@dataclass(frozen=True)
class Program:
    """What to run, and how to see that it is ready."""

    name: str
    command: tuple[str, ...]
    health_url: str = ""
    """Gives a page when the program is ready; without one it counts as ready when it has been started."""
    health_text: str = ""
    """What must stand on that page."""


@dataclass
class _Running:
    program: Program
    started: float
    process: subprocess.Popen | None
    num_deaths: int = 0
    starts_at: float = 0.0


@dataclass
class Programs:
    """Programs that are kept running until `stop`. Each writes to `<logs>/<name>.log`."""

    logs: Path
    environment: Mapping[str, str]
    say: Callable[[str], None]
    _running: list[_Running] = field(default_factory=list)

    def start(self, program: Program) -> None:
        """Starts a program and does not wait for it."""
        self._running.append(_Running(program, time.monotonic(), self._open(program.name, program.command)))

    def log_of(self, name: str) -> Path:
        """The file that a program writes to."""
        return self.logs / f"{name}.log"

    def wait_until_ready(self, names: set[str] | None = None) -> None:
        """Returns when these programs (by default all) are ready, however long they take while they live.

        Raises StartError that names the log of one that keeps ending, or is not ready after 15 minutes.
        """
        started, told = time.monotonic(), False
        waiting = [one for one in self._running if names is None or one.program.name in names]
        while waiting := [one for one in waiting if not _is_ready(one.program)]:
            waited = time.monotonic() - started
            for one in waiting:
                log = self.log_of(one.program.name)
                if one.num_deaths >= MOST_DEATHS:
                    raise StartError(f"{one.program.name} has ended {one.num_deaths} times; see {log}")
                if waited > LONGEST_SECONDS:
                    raise StartError(f"{one.program.name} is not ready after {waited:.0f} s; see {log}")
            if waited > TOLD_AFTER_SECONDS and not told:
                late = ", ".join(one.program.name for one in waiting)
                self.say(f"waiting for {late}, which takes long on a busy machine; logs lie in {self.logs}")
                told = True
            self.revive()
            time.sleep(0.2)

    def run_once(self, name: str, command: tuple[str, ...]) -> str:
        """What a command has printed, when it has ended. Raises StartError that names its log when it fails."""
        log = self.log_of(name)
        log.unlink(missing_ok=True)
        process = self._open(name, command)
        try:
            code = process.wait()
        finally:
            self._end(name, process)
        printed = log.read_text(encoding="utf-8", errors="replace")
        if code:
            raise StartError(f"{name} failed, see {log}:\n" + "\n".join(printed.splitlines()[-5:]))
        return printed.strip()

    def keep_running(self) -> None:
        """Never returns."""
        while True:
            self.revive()
            time.sleep(0.5)

    def revive(self) -> None:
        """Starts again what has died: at first after a second, then after twice as long each time, up to a minute."""
        for one in self._running:
            now = time.monotonic()
            if one.process is None and now >= one.starts_at:
                one.process, one.started = self._open(one.program.name, one.program.command), now
                self.say(f"{one.program.name} has been started again")
            elif one.process is not None and (code := one.process.poll()) is not None:
                self._end(one.program.name, one.process)  # what it leaves would hold its port, or train on unseen
                one.num_deaths = 1 if now - one.started > STEADY_SECONDS else one.num_deaths + 1
                pause = min(2.0 ** (one.num_deaths - 1), LONGEST_PAUSE_SECONDS)
                one.process, one.starts_at = None, now + pause
                self.say(
                    f"{one.program.name} has ended ({_reason(code)}); it starts again in {pause:.0f} s. "
                    f"See {self.log_of(one.program.name)}"
                )

    def stop(self) -> None:
        """Ends all programs, the newest first, each with all that it has started, before the one that was started before it."""
        for one in reversed(self._running):
            if one.process is not None:
                self._end(one.program.name, one.process)
        self._running.clear()

    def _open(self, name: str, command: tuple[str, ...]) -> subprocess.Popen:
        with self.log_of(name).open("ab") as log:
            return subprocess.Popen(
                command,
                env={**self.environment, MARK: self._mark(name)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for whoever keeps the programs, who then ends them in order
            )

    def _end(self, name: str, process: subprocess.Popen) -> None:
        _end(process, self._mark(name))

    def _mark(self, name: str) -> str:
        return f"{name} of {os.getpid()}"


def _is_ready(program: Program) -> bool:
    if not program.health_url:
        return True
    try:
        page = httpx.get(program.health_url, timeout=5)
    except httpx.TransportError:
        return False
    return page.status_code < 400 and program.health_text in page.text


def _end(process: subprocess.Popen, mark: str) -> None:
    """Ends a program and all that it has started: asked first, then killed.

    What it has started goes first and can still tell a server how it ended. Meanwhile the program itself is halted: a worker would
    fetch the next run of the queue.
    """
    family = _marked(mark)
    leading = [one for one in family if one.pid == process.pid]
    started = [one for one in family if one.pid != process.pid]
    _signal(leading, signal.SIGSTOP)
    _ask_then_kill(started)
    _signal(leading, signal.SIGCONT)
    _ask_then_kill(leading)
    process.wait()


def _ask_then_kill(processes: list[psutil.Process]) -> None:
    """Asks each whose parent is not among them, who may want to end its own children itself, and those that it then leaves."""
    deadline = time.monotonic() + SECONDS_TO_END
    asked: set[psutil.Process] = set()
    while (alive := [one for one in processes if _is_alive(one)]) and time.monotonic() < deadline:
        ids = {one.pid for one in alive}
        leaders = {one for one in alive if _parent_id(one) not in ids} - asked
        _signal(leaders, signal.SIGTERM)
        asked |= leaders
        time.sleep(0.05)
    _signal(alive, signal.SIGKILL)


def _marked(mark: str) -> list[psutil.Process]:
    """All processes that carry this mark, whatever session they are in and whoever their parent is by now."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found


def _parent_id(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):
        return process.ppid()
    return 0


def _is_alive(process: psutil.Process) -> bool:
    """Whether it runs; one that only its halted parent could bury has ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _reason(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
