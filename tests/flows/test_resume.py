"""A run that is killed while it trains, and the same command again."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.flows.conftest import SMOKE, Workplace

COMMAND = ("rlhf", SMOKE, "tuning.num_updates=12")


def kill_after_a_checkpoint(process: subprocess.Popen, checkpoints: Path) -> None:
    """Kills the command, and what it has started (one process group), when PPO has kept a checkpoint."""
    while not list(checkpoints.glob("tuning-*/step-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def sha256_of(report: dict) -> str:
    """The digest of the policy's files."""
    manifest = Path(report["artifacts"]["tuning"], "manifest.json")
    return json.loads(manifest.read_text(encoding="utf-8"))["artifact"]["sha256"]


def test_the_same_command_goes_on_after_a_kill(workplace: Workplace, first_report: dict):
    checkpoints = workplace.root / "checkpoints"
    assert not checkpoints.exists() or not list(checkpoints.iterdir()), "a stage that ended has left checkpoints"
    kill_after_a_checkpoint(workplace.start(*COMMAND, "tuning.checkpoint_every=1"), checkpoints)

    done = workplace.rein(*COMMAND, "tuning.checkpoint_every=1")
    broken = workplace.report_of(done)
    resumed = re.findall(r"resumed at step (\d+) of 12", done.stdout + done.stderr)
    assert len(resumed) == 1 and 0 < int(resumed[0]) < 12
    assert broken["stages_run"] == ["tuning", "matches", "evaluation"] and broken["tuning_updates"] == 12
    assert not list(checkpoints.iterdir())
    sha256 = sha256_of(broken)

    shutil.rmtree(broken["artifacts"]["tuning"])
    done = workplace.rein(*COMMAND, "tuning.checkpoint_every=1000")  # changes no number, and so is the same stage
    unbroken = workplace.report_of(done)
    assert unbroken["stages_run"] == ["tuning"] and "resumed" not in done.stdout + done.stderr
    assert sha256_of(unbroken) == sha256
