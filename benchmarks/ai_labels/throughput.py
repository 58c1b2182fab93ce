"""How much of what a server can give a labeler takes: 16 questions at once, each answered after 50 ms, are 320 a second."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.trials import PROJECT
from labeling.labelers.ai import ask_model
from models.judge_model.kept_answers import KeptAnswers
from models.records import Completion, Prompt
from models.settings.asked.labels import AILabeler

CONCURRENCY, LATENCY_SECONDS = 16, 0.05
WANTED_SHARE = 0.9


def measure(num_prompts: int) -> dict[str, Any]:
    """Asks about two completions of each prompt, in both orders, and keeps each answer; the labels are the same tie, which is no matter."""
    prompts = [Prompt.of(f"Question {number}: what helps?", "train") for number in range(num_prompts)]
    shown = [
        (one, [Completion.of(one.id, text) for text in ("Open a window.", "Wait until it is over.")]) for one in prompts
    ]
    with serving() as address, tempfile.TemporaryDirectory() as folder:
        labeler = AILabeler(
            name="judge", model={"kind": "endpoint", "address": address, "model": "m", "concurrency": CONCURRENCY}
        )
        started = time.monotonic()
        said = ask_model(labeler, "helpfulness", shown, KeptAnswers(Path(folder) / "answers.jsonl"))
        seconds = time.monotonic() - started
    per_second, possible = said.told["answers"] / seconds, CONCURRENCY / LATENCY_SECONDS
    return {
        "case": f"{CONCURRENCY} at once, {LATENCY_SECONDS:g} s each",
        "answers": said.told["answers"],
        "seconds": round(seconds, 2),
        "answers_per_second": round(per_second, 1),
        "share": round(per_second / possible, 3),
        "load_average": round(
            os.getloadavg()[0], 1
        ),  # of the machine: what waits for a processor, too, waits longer for answers
        "as_wanted": per_second / possible >= WANTED_SHARE,
    }


@contextmanager
def serving() -> Iterator[str]:
    """The address of a server in a process of its own."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.ai_labels.server", str(port), str(LATENCY_SECONDS)]
    process = subprocess.Popen(command, cwd=PROJECT)
    try:
        while process.poll() is None and not _listens(port):
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
