"""A contender's side of taking turns: one process per contender, and only the one whose turn it is computes.

The driver (turns.py) starts it with its settings as JSON, and says `go` on its standard input; the contender runs one repetition and
answers with a line of JSON. The first repetition is the warm-up. Whatever libraries print goes to standard error.
"""

import json
import os
import sys
import time

import torch


class Worker:
    """Settings in, figures out, one repetition at a time."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)
        self.settings = json.loads(sys.argv[1])
        self._started = 0.0
        torch.set_num_threads(self.settings["threads"])

    def wait_for_turn(self) -> None:
        """Returns when it is this contender's turn, and starts the clock; the process ends here when there are no more."""
        if not sys.stdin.readline():
            raise SystemExit
        self._started = time.perf_counter()

    def report(self, amount: float, **figures: float | list[str]) -> None:
        """Stops the clock. `amount` is the work done since `wait_for_turn`, in the unit of the part."""
        seconds = time.perf_counter() - self._started
        self._answers.write(json.dumps({"seconds": seconds, "amount": amount} | figures) + "\n")
