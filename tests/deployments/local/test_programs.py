"""Programs that are kept running, with real processes."""

import os
import signal
import sys
from pathlib import Path

import pytest

from deployments.local import programs as module
from deployments.local.programs import Program, Programs, StartError
from tests.free_port import free_port
from tests.processes import processes_that_name
from tests.waiting import until

PARENT = """
import subprocess, sys, time
wait = "import time; time.sleep(1000)"
middle = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {wait!r}, sys.argv[1]], start_new_session=True); {wait}"
subprocess.Popen([sys.executable, "-c", middle, sys.argv[1]], start_new_session=True)
time.sleep(1000)
"""
DEAF = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(sys.argv[1], flush=True); time.sleep(1000)"

LATE = """
import http.server, os, sys, time
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
"""


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def programs(tmp_path, said):
    running = Programs(tmp_path, os.environ, said.append)
    yield running
    running.stop()


def python(code: str, folder: Path) -> tuple[str, ...]:
    return (sys.executable, "-c", code, str(folder))


def test_what_a_program_started_ends_with_it_wherever_it_is(programs, tmp_path):
    programs.start(Program("parent", python(PARENT, tmp_path)))
    until(lambda: len(processes_that_name(tmp_path)) == 3)  # each in a session of its own
    programs.stop()
    assert processes_that_name(tmp_path) == []


def test_what_a_killed_program_leaves_is_ended_before_it_starts_again(programs, tmp_path, said):
    programs.start(Program("parent", python(PARENT, tmp_path)))
    until(lambda: len(processes_that_name(tmp_path)) == 3)
    first = set(processes_that_name(tmp_path))
    os.kill(min(first), signal.SIGKILL)
    until(lambda: programs.revive() or len(said) == 2)
    assert said[0].startswith("parent has ended (killed by SIGKILL); it starts again in 1 s. See ")
    assert said[1] == "parent has been started again"
    assert not first & set(processes_that_name(tmp_path))


def test_the_pause_grows_while_a_program_keeps_dying(programs, said, monkeypatch):
    # the clock goes on with what happens, not with how often it is looked
    monkeypatch.setattr(module.time, "monotonic", lambda: 20.0 * len(said))
    programs.start(Program("broken", (sys.executable, "-c", "raise SystemExit(3)")))
    until(lambda: programs.revive() or len(said) >= 11)
    pauses = [line.split(" in ")[1].split(" s.")[0] for line in said if "exit status 3" in line]
    assert pauses[:4] == ["1", "2", "4", "8"]


def test_a_program_that_does_not_listen_is_killed(programs, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SECONDS_TO_END", 0.3)
    programs.start(Program("deaf", python(DEAF, tmp_path)))
    until(lambda: str(tmp_path) in programs.log_of("deaf").read_text())
    programs.stop()
    assert processes_that_name(tmp_path) == []


def test_a_program_that_never_gets_ready_is_named_with_its_log(programs, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LONGEST_SECONDS", 0.3)
    programs.start(Program("silent", ("sleep", "1000"), "http://127.0.0.1:9"))
    with pytest.raises(StartError, match=rf"silent is not ready after \d+ s; see {tmp_path}/silent.log"):
        programs.wait_until_ready()


def test_a_late_program_is_waited_for_and_the_user_is_told_so_once(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TOLD_AFTER_SECONDS", 0.3)
    port, said = free_port(), []

    def say(text: str) -> None:
        said.append(text)
        (tmp_path / "told").touch()

    programs = Programs(tmp_path, os.environ, say)
    programs.start(
        Program("late", (sys.executable, "-c", LATE, str(port), f"{tmp_path}/told"), f"http://127.0.0.1:{port}")
    )
    try:
        programs.wait_until_ready()
    finally:
        programs.stop()
    assert said == [f"waiting for late, which takes long on a busy machine; logs lie in {tmp_path}"]


def test_a_program_that_keeps_ending_is_named_with_its_log(programs, said, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 0.0)
    programs.start(Program("broken", (sys.executable, "-c", "raise SystemExit(3)"), "http://127.0.0.1:9"))
    with pytest.raises(StartError, match=f"broken has ended 3 times; see {tmp_path}/broken.log"):
        programs.wait_until_ready()
    assert sum("exit status 3" in line for line in said) == 3


def test_a_command_that_fails_is_shown_with_what_it_said(programs):
    assert programs.run_once("speaker", (sys.executable, "-c", "print('well')")) == "well"
    with pytest.raises(StartError, match=r"speaker failed, see .*speaker\.log:\nalas"):
        programs.run_once("speaker", (sys.executable, "-c", "raise SystemExit('alas')"))
