"""Best of n: nothing learns; the base writes n completions, and the one with the highest score is the policy's.

Its KL to the base is at most `log n - (n - 1) / n` nats (models/evaluation/metrics.py).
"""

from collections.abc import Iterator

from models.distributed.collectives import this_rank
from models.evaluation.writer import write_best_of_n
from models.records import StepMetrics
from models.settings.tuning import BestOfNConfig
from models.tuning.tuner import TuningTask


def tune(task: TuningTask, config: BestOfNConfig) -> Iterator[StepMetrics]:
    """Writes base, reward and n into `model/`; there are no steps."""
    if this_rank() == 0:
        write_best_of_n(task.folder / "model", task.base, task.reward, config.n)
    yield from ()
