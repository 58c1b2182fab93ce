"""The driver's side of taking turns: contenders as processes, repetitions in alternation, medians and ratios."""

import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

PROJECT = Path(__file__).resolve().parent.parent


class Contender:
    """A process that runs one repetition each time it is told to. `module` is run by `python`, another environment's perhaps."""

    def __init__(self, python: Path, module: str, settings: dict) -> None:
        self.name = f"{module} {settings}"
        threads = str(settings["threads"])
        variables = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "false"}
        self._folder = tempfile.TemporaryDirectory()
        self._errors = Path(self._folder.name) / "errors"
        with self._errors.open("w", encoding="utf-8") as errors:
            self._process = subprocess.Popen(
                [python, "-m", module, json.dumps(settings)],
                cwd=PROJECT,
                env=os.environ | variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def __enter__(self) -> "Contender":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self._process.kill()
        self._process.communicate()  # closes its standard input, upon which it ends
        self._folder.cleanup()

    def repeat(self) -> dict[str, float]:
        """Figures of one repetition: `seconds`, `amount` of work, and what else it reports.

        Raises RuntimeError with the end of its error output when it fails.
        """
        try:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended: the missing answer says so
        answer = self._process.stdout.readline()
        if not answer:
            self._process.wait()
            raise RuntimeError(f"{self.name} failed:\n{self._errors.read_text(encoding='utf-8')[-3000:]}")
        return json.loads(answer)


def take_turns(contenders: Sequence[Contender], repetitions: int) -> list[list[dict[str, float]]]:
    """Figures of each contender's repetitions; all run once before the next round, and the first round (the warm-up) is dropped."""
    rounds = [[contender.repeat() for contender in contenders] for _ in range(repetitions + 1)]
    return [list(figures) for figures in zip(*rounds[1:], strict=True)]


def cost(figures: dict[str, float]) -> float:
    """Seconds per unit of work."""
    return figures["seconds"] / figures["amount"]


def medians(repetitions: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of each figure, and of the `cost`."""
    rows = [figures | {"cost": cost(figures)} for figures in repetitions]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def ratios(own: Sequence[dict[str, float]], peer: Sequence[dict[str, float]]) -> list[float]:
    """How many times dearer the peer's unit of work was, turn by turn; the figure of a part is the median of these."""
    return [cost(theirs) / cost(ours) for ours, theirs in zip(own, peer, strict=True)]
