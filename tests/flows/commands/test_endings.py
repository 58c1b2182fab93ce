"""How a run ends that does not end well: stopped by Ctrl-C and called again, and by an error in the middle of a stage."""

import json
import os
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.conftest import SMOKE, Workplace, ended
from tests.waiting import until

COMMAND = ("rlhf", SMOKE, "seed=1711", "tuning.num_updates=80", "tuning.checkpoint_every=1")


@pytest.fixture
def heeding_ctrl_c() -> Iterator[None]:
    """What is started meanwhile hears SIGINT, also where these tests run in the background of a shell, which has it ignored there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding_ctrl_c")
def test_ctrl_c_ends_in_a_line_and_the_same_command_goes_on(workplace: Workplace, first_report: dict):
    process = workplace.start(*COMMAND)
    until(lambda: list((workplace.root / "checkpoints").glob("tuning-*/step-*")) or process.poll() is not None)
    os.killpg(process.pid, signal.SIGINT)
    done = ended(process)
    words = shlex.join(["rein", *process.args[3:]])
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == f"stopped; the same command goes on from what is done so far: {words}"
    assert "Traceback" not in done.stderr and not re.search("Crash|Crashed", done.stderr)

    again = workplace.rein(*COMMAND)
    report = workplace.report_of(again)
    assert "pretraining" in report["stages_cached"] and "tuning" in report["stages_run"]
    assert re.search(r"resumed at step \d+ of 80", again.stdout + again.stderr)
    assert re.search(r"pretraining: [\d,]+ steps, from the cache\n", again.stderr), "a line a stage: what it gave"
    assert re.search(r"tuning: 80 updates, [\d min]+ s\n", again.stderr), "and how long that took"


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """Pairs that can be read, all of one prompt: it stands on one side, and nothing is left for another."""
    rows = [{"prompt": "what?", "chosen": f"b{number}", "rejected": f"c{number}"} for number in range(3)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "pairs.jsonl"


def test_an_error_in_a_stage_is_one_line_in_prefects_log_and_one_in_the_terminal(workplace: Workplace, uneven: Path):
    command = ("learn", SMOKE, f"labels={{kind: pairs, path: {uneven}}}", "evaluation.judges=[{kind: own_reward}]")
    done = ended(workplace.start(*command))
    *log, blank, told = done.stderr.splitlines()
    assert done.returncode == 1 and blank == "" and re.match(r"[A-Z]\w+Error: ", told), done.stderr
    assert "Traceback" not in done.stderr and not [line for line in log if " ERROR " in line or "Failed" in line], log

    inside = workplace.rein(*command)
    assert "Traceback" not in inside.stderr
    of_runs = [line for line in inside.stderr.splitlines() if told == line]
    assert len(of_runs) == 3, inside.stderr  # of the task, of the flow, and the command's own
