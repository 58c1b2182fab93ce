"""The processes of a training over several ranks: torchrun's agent, which starts them again when one dies, and the ranks.

    task  --(standard input: a pipe that the task holds open as long as it lives)-->  agent and ranks
    task  <--(standard output: a JSON object a line)--------------------------------  ranks

A line is `{"step": ...}` or `{"log": [level, message]}` of rank 0, or of any rank `{"error": [name, message]}`, one of models/errors.py,
or `{"failure": [restarts, message]}`, anything else. tasks/running/torch_ranks.py is at the other end.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict, validate_call
from torch import distributed

from models.distributed.collectives import this_rank
from models.errors import ConfigError, PipelineError
from models.network.precision import pick_device
from models.records import StepMetrics
from models.settings.compute import Compute
from models.training.checkpoints import Checkpoints


def run_agent(num_processes: int, max_restarts: int, module: str, inputs: str) -> None:
    """Runs `python -m module inputs` in so many ranks and, when one of them dies, starts all of them again."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    _end_with_the_task()
    local = ["--standalone", "--local-addr=127.0.0.1"]
    try:
        main([*local, f"--nproc-per-node={num_processes}", f"--max-restarts={max_restarts}", "-m", module, inputs])
    except ChildFailedError:
        sys.exit(1)  # the ranks have said what it was


def run_rank(train: Callable[..., Iterator[StepMetrics]]) -> None:
    """Runs one of models/stages as a rank: its inputs are the JSON object in `sys.argv[1]`, `checkpoints` being a folder."""
    channel = _Channel()
    _end_with_the_task()
    try:
        for step in _training(train, channel):
            if this_rank() == 0:
                channel.send(step=step.model_dump())
        distributed.barrier()
        distributed.destroy_process_group()
    except PipelineError as error:
        channel.send(error=[type(error).__name__, str(error)])
        threading.Event().wait()  # to be ended by the task; ending would be a death, and the agent would start again
    except Exception as error:
        restarts = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
        channel.send(failure=[restarts, f"rank {os.environ['RANK']}: {type(error).__name__}: {error}"[:2000]])
        raise


def _training(train: Callable[..., Iterator[StepMetrics]], channel: "_Channel") -> Iterator[StepMetrics]:
    inputs: dict[str, Any] = json.loads(sys.argv[1])
    _join(Compute.model_validate(inputs["compute"]))
    logger = logging.getLogger("models")
    logger.propagate = False
    if this_rank() == 0:
        logger.setLevel(logging.INFO)
        logger.addHandler(channel)
    inputs["checkpoints"] = Checkpoints(
        Path(inputs["checkpoints"]), inputs["config"].get("checkpoint_every", 1), logger
    )
    return validate_call(train, config=ConfigDict(arbitrary_types_allowed=True))(**inputs)


def _join(compute: Compute) -> None:
    """Meets the other ranks. Raises ConfigError when there is no GPU for each."""
    device, own = pick_device(compute), os.environ
    if device.type == "cuda":
        if compute.num_processes > torch.cuda.device_count():
            raise ConfigError(
                f"compute.num_processes is {compute.num_processes}, but there are {torch.cuda.device_count()} GPUs; "
                "lower it, or set compute.device to cpu"
            )
        torch.cuda.set_device(int(own["LOCAL_RANK"]))
    # the agent's store outlives a restart: without a prefix of its own a rank could find the address of a dead one there
    store = distributed.TCPStore(own["MASTER_ADDR"], int(own["MASTER_PORT"]), is_master=False)
    distributed.init_process_group(
        "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl",
        store=distributed.PrefixStore(own["TORCHELASTIC_RESTART_COUNT"], store),
        rank=int(own["RANK"]),
        world_size=int(own["WORLD_SIZE"]),
    )
    torch.manual_seed(torch.initial_seed() + this_rank())  # else all ranks drop the same units out


def _end_with_the_task() -> None:
    """Lets this process end when the other end of its standard input is closed, were it by a SIGKILL of the task."""

    def wait() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


class _Channel(logging.Handler):
    """Standard output, taken away from everybody else: what other code prints goes to standard error."""

    def __init__(self) -> None:
        super().__init__()
        self.file = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def send(self, **line: Any) -> None:
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def emit(self, record: logging.LogRecord) -> None:
        self.send(log=[record.levelno, record.getMessage()])


if __name__ == "__main__":
    run_agent(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
