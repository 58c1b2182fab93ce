"""How a training stage runs: in its own process, or as ranks under torchrun, whose steps and errors arrive here."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from prefect import get_run_logger
from pydantic_core import to_json

from models import errors
from models.records import Artifact, StepMetrics
from models.settings.compute import Compute

if TYPE_CHECKING:
    from tasks.running.stage import Work

Training = Callable[..., Iterator[StepMetrics]]
"""`train(folder, config, compute, checkpoints, **inputs)` of a module in models/stages: writes into the folder, yields steps."""


def run_training(work: "Work", train: Training, config: Any, compute: Compute, **inputs: Any) -> list[StepMetrics]:
    """Trains into `work.folder`, in `compute.num_processes` processes; its steps, which have been followed as they came.

    Of an artifact the training gets the folder. Raises what the training raises, also out of a rank, and TrainingError when ranks
    have died more often than `compute.max_restarts` allows. All ranks have ended when this ends, however it does.
    """
    inputs = {name: _places(value) for name, value in inputs.items()}
    inputs |= {"folder": work.folder, "config": config, "compute": compute}
    if compute.num_processes == 1:
        every = getattr(config, "checkpoint_every", 1)  # a kind that keeps none has no such setting
        return work.follow(train(**inputs, checkpoints=work.checkpoints(every)))
    inputs["checkpoints"] = work.checkpoint_folder
    with closing(steps_of_ranks(train, inputs, get_run_logger())) as steps:
        return work.follow(steps)


def _places(value: Any) -> Any:
    """The folder of an artifact, and of each of several by name."""
    if isinstance(value, dict):
        return {name: _places(one) for name, one in value.items()}
    return value.folder if isinstance(value, Artifact) else value


def steps_of_ranks(
    train: Training, inputs: dict[str, Any], logger: logging.Logger | logging.LoggerAdapter
) -> Generator[StepMetrics]:
    """Starts the ranks and yields each step once, also when it was taken again after a restart. Ends the ranks when closed."""
    compute = inputs["compute"]
    agent = subprocess.Popen(
        [
            *(
                sys.executable,
                "-m",
                "models.stages.rank_process",
                str(compute.num_processes),
                str(compute.max_restarts),
            ),
            *(train.__module__, to_json(inputs).decode()),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C is for the task alone, which then ends them
        env={"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // compute.num_processes)), **os.environ},
    )
    assert agent.stdin and agent.stdout
    try:
        yield from _steps(agent, agent.stdout, compute.max_restarts, logger)
    finally:
        agent.kill()
        agent.stdin.close()  # the ranks see that, and end
        agent.stdout.read()  # until no rank is left that could write
        agent.stdout.close()
        agent.wait()


def _steps(
    agent: subprocess.Popen, lines: Iterable[str], max_restarts: int, logger: logging.Logger | logging.LoggerAdapter
) -> Iterator[StepMetrics]:
    num_steps = 0
    failures: dict[int, str] = {}
    for line in lines:
        if not line.startswith("{"):  # what a library prints while it is loaded
            logger.info(line.rstrip())
            continue
        ((kind, content),) = json.loads(line).items()
        match kind, content:
            case "step", _:
                step = StepMetrics.model_validate(content)
                if step.step == num_steps:
                    num_steps += 1
                    yield step
            case "log", (level, message):
                logger.log(level, message)
            case "error", (name, message):
                raise getattr(errors, name)(message)
            case "failure", (restarts, message):
                failures.setdefault(restarts, message)
                logger.warning("after %d of %d restarts, %s", restarts, max_restarts, message)
    if agent.wait() != 0:
        reason = failures[max(failures)] if failures else "killed, by lack of memory perhaps"
        raise errors.TrainingError(f"training over several processes failed after {max_restarts} restarts: {reason}")
