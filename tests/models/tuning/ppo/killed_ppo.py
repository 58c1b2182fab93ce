"""A small PPO run in processes of its own, which are killed (SIGKILL) and started again."""

import json
import logging
import multiprocessing
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.network.networks import ValueModel, build_policy, train_tokenizer
from models.settings.compute import Compute
from models.settings.scoring.shaping import AdaptiveKL
from models.settings.training import ScratchBase
from models.training.checkpoints import Checkpoints
from models.tuning.ppo.loop import train_ppo
from tests.models.ppo_examples import OF_THE_CLOCK, PROMPTS, SAMPLING, SCORER, config_of

NUM_UPDATES = 40


@dataclass(frozen=True)
class Outcome:
    """What a finished run left behind: final weights, the numbers of all steps, and where it was taken up again."""

    weights: dict[str, Tensor]
    numbers: list[dict[str, float]]
    resumed_at: list[int]


def train(folder: Path) -> None:
    """The same command each time: sets up, trains (or goes on), and leaves weights and numbers."""
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    logging.basicConfig(filename=folder / "log.txt", format="%(message)s", level=logging.INFO)
    tokenizer = train_tokenizer(PROMPTS, vocab_size=300)
    shape = ScratchBase(vocab_size=300, hidden_size=32, num_layers=2, num_heads=4, context_length=96)
    policy = build_policy(shape, tokenizer, seed=0).eval()
    value_model = ValueModel.from_policy(policy)
    config = config_of(num_updates=NUM_UPDATES, kl=AdaptiveKL(coef=0.1, target_nats=1e-3, horizon=80.0))
    compute = Compute(device="cpu", precision="float32")
    checkpoints = Checkpoints(folder / "checkpoints", every=1)
    steps = list(train_ppo(policy, value_model, tokenizer, SCORER, PROMPTS, config, SAMPLING, compute, 0, checkpoints))
    named = {"policy": policy, "value": value_model}
    weights = {f"{of}/{name}": t.clone() for of, net in named.items() for name, t in net.state_dict().items()}
    save_file(weights, folder / "weights.safetensors")
    (folder / "numbers.json").write_text(json.dumps([step.values for step in steps]))


def run_unbroken(folder: Path) -> Outcome:
    """The run in one go."""
    process = _start(folder)
    process.join()
    assert process.exitcode == 0
    return _outcome(folder)


def run_killed(folder: Path, num_kills: int) -> Outcome:
    """The run, killed so many times and started again each time. Every other kill waits for one more checkpoint first, so
    that the run gets on on a slow machine too; the moments are random, so that any line of the loop may be the last."""
    moments = random.Random(0)
    for number in range(num_kills):
        process = _start(folder)
        before = _newest(folder)
        while number % 2 and _newest(folder) == before and process.is_alive():
            time.sleep(0.001)
        process.join(timeout=moments.uniform(0.0, 0.15))
        process.kill()
        process.join()
        assert process.exitcode == -9, "finished before all kills: give it more updates"
    return run_unbroken(folder)


def _start(folder: Path) -> multiprocessing.Process:
    """A new process with the libraries loaded and nothing else: forked from a server that has never trained."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=train, args=(folder,))
    process.start()
    return process


def _newest(folder: Path) -> str:
    return max((path.name for path in (folder / "checkpoints").glob("step-*")), default="")


def _outcome(folder: Path) -> Outcome:
    steps = json.loads((folder / "numbers.json").read_text())
    numbers = [{name: value for name, value in step.items() if name not in OF_THE_CLOCK} for step in steps]
    log = (folder / "log.txt").read_text().splitlines()
    resumed_at = [int(line.split()[3]) for line in log if line.startswith("resumed at step")]
    return Outcome(load_file(folder / "weights.safetensors"), numbers, resumed_at)
