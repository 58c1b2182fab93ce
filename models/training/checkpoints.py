"""Checkpoints: a killed training loop goes on where its last one was taken, and ends in the same weights.

A loop names its parts (networks, optimizer, schedule, data order, ...), everything in it that changes from step to step. The
global random generators are kept as well, and the numbers of all steps so far, so that a resumed run has whole curves.

On disk: `step-00000020/` after 20 steps, with the tensors as safetensors and all else as JSON. It is written to a scratch folder,
flushed to the disk, sealed with a manifest of SHA-256 digests and renamed: a half-written checkpoint does not exist.
"""

import hashlib
import json
import logging
import os
import random
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from models.distributed.collectives import gather, this_rank
from models.distributed.fsdp import load_state
from models.errors import ArtifactError
from models.records import StepMetrics

MANIFEST, TENSORS, REST = "manifest.json", "tensors.safetensors", "rest.json"
_LOGGER = logging.getLogger(__name__)


@runtime_checkable
class Part(Protocol):
    """Something that changes while a loop runs and can be put back."""

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state_dict: dict) -> Any: ...


class Trained:
    """What learns of a network, as a part: frozen weights are those that the run began with, and are not kept."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def weights(self) -> list[nn.Parameter]:
        """The weights that an optimizer is to move."""
        return [weight for weight in self.network.parameters() if weight.requires_grad]

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint keeps: everything but frozen weights."""
        weights = self.network.named_parameters(remove_duplicate=False)
        frozen = {name for name, weight in weights if not weight.requires_grad}
        return {name: tensor for name, tensor in self.network.state_dict().items() if name not in frozen}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Goes on from what a checkpoint kept."""
        load_state(self.network, self.network.state_dict() | state_dict)


class Checkpoints:
    """A folder with the newest two checkpoints of one run, taken after every `every` steps.

    The folder belongs to one run: the same code, settings, data and seed, and one process at a time.
    """

    def __init__(self, folder: Path, every: int, logger: logging.Logger | logging.LoggerAdapter = _LOGGER) -> None:
        self.folder, self.every, self.logger = folder, every, logger
        self._good: list[Path] = []

    def within(self, name: str, every: int | None = None) -> "Checkpoints":
        """Those of a part of the run, in a folder of this name in the run's own; as often as the run's, unless said otherwise."""
        return Checkpoints(self.folder / name, every or self.every, self.logger)

    def discard(self) -> None:
        """Removes all, once what they led to is kept elsewhere."""
        if this_rank() == 0:
            shutil.rmtree(self.folder, ignore_errors=True)

    def save(self, steps: list[StepMetrics], parts: Mapping[str, Part]) -> None:
        """Keeps the state after these steps, and of those before it the newest good one alone: there are never more than two on the disk.

        Of several ranks all take part, to bring sharded tensors together, and the first one writes.
        """
        states = {name: part.state_dict() for name, part in _with_randomness(parts).items()}
        tensors: dict[str, Tensor] = {}
        rest = {"steps": [step.model_dump() for step in steps], "parts": _pack(states, "", tensors, {})}
        if this_rank() > 0:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        lying = sorted(self.folder.glob("step-*"))
        for other in set(lying) - set(self._good[-1:] or lying[-1:]):
            shutil.rmtree(other)
        scratch = Path(tempfile.mkdtemp(prefix=".scratch-", dir=self.folder))
        save_file(tensors, scratch / TENSORS)
        (scratch / REST).write_text(json.dumps(rest), encoding="utf-8")
        digests = {name: _flushed_digest(scratch / name) for name in (TENSORS, REST)}
        (scratch / MANIFEST).write_text(json.dumps(digests), encoding="utf-8")
        _flush(scratch / MANIFEST)
        _flush(scratch)
        destination = self.folder / f"step-{len(steps):08}"
        if destination.exists():  # one that was refused
            shutil.rmtree(destination)
        scratch.rename(destination)
        _flush(self.folder)
        self._good = [*self._good[-1:], destination]

    def restore(self, parts: Mapping[str, Part]) -> list[StepMetrics]:
        """Puts the newest good checkpoint's state into the parts and gives back the steps until then; none: an empty list.

        One that is damaged is named in a warning, and the one before it is used.
        """
        if this_rank() == 0:
            for left_over in self.folder.glob(".scratch-*"):
                shutil.rmtree(left_over)
        steps = self._restore_newest(parts)
        if set(gather(len(steps))) != {len(steps)}:
            raise ArtifactError(f"{self.folder}: not every process can read the newest good checkpoint")
        return steps

    def _restore_newest(self, parts: Mapping[str, Part]) -> list[StepMetrics]:
        for folder in sorted(self.folder.glob("step-*"), reverse=True):
            try:
                steps, states = _read(folder)
            except ArtifactError as error:
                self.logger.warning("checkpoint refused: %s", error)
                continue
            for name, part in _with_randomness(parts).items():
                load_state(part, states[name])
            self._good = [folder]
            self.logger.info("resumed at step %d of %d", len(steps), steps[-1].num_steps)
            return steps
        return []


class Checkpointed:
    """The steps that a loop has taken, those before a kill among them; the loop goes on with number `len(steps)`.

    Made once the parts are ready: with `checkpoints` it puts the newest good one's state into them. None is a part that this
    run goes without.
    """

    def __init__(self, checkpoints: Checkpoints | None, **parts: Part | None) -> None:
        self.checkpoints = checkpoints
        self.logger = checkpoints.logger if checkpoints else _LOGGER
        self.parts = {name: part for name, part in parts.items() if part is not None}
        self.steps: list[StepMetrics] = checkpoints.restore(self.parts) if checkpoints else []

    def add(self, step: StepMetrics) -> StepMetrics:
        """The step again, after keeping the state that it left when a checkpoint is due."""
        self.steps.append(step)
        if self.checkpoints and len(self.steps) % self.checkpoints.every == 0:
            self.checkpoints.save(self.steps, self.parts)
        return step


def random_state() -> dict:
    """The state of the generators that belong to nobody: torch's (CPU and CUDA), numpy's and Python's. Dropout draws from them."""
    kind, keys, *rest = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "numpy": [kind, keys.tolist(), *rest],
        "python": random.getstate(),
    }


def set_random_state(state: dict) -> None:
    """Puts back what `random_state` gave."""
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    np.random.set_state(tuple(state["numpy"]))
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))


class _GlobalRandomness:
    """The random state of each rank."""

    def state_dict(self) -> dict:
        return {"ranks": gather(random_state())}

    def load_state_dict(self, state_dict: dict) -> None:
        ranks = state_dict["ranks"]
        set_random_state(ranks[this_rank() % len(ranks)])


def _with_randomness(parts: Mapping[str, Part]) -> dict[str, Part]:
    return {**parts, "randomness": _GlobalRandomness()}


def _read(folder: Path) -> tuple[list[StepMetrics], dict]:
    """Steps and states of a checkpoint. Raises ArtifactError naming folder and file when it is not what was written."""
    try:
        digests = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ArtifactError(f"{folder}: no readable {MANIFEST}") from None
    for name in (TENSORS, REST):
        if not (folder / name).is_file():
            raise ArtifactError(f"{folder}: {name} is missing")
        if not isinstance(digests, dict) or digests.get(name) != _digest(folder / name):
            raise ArtifactError(f"{folder}: {name} is not what {MANIFEST} says")
    rest = json.loads((folder / REST).read_text(encoding="utf-8"))
    steps = [StepMetrics.model_validate(step) for step in rest["steps"]]
    if folder.name != f"step-{len(steps):08}":
        raise ArtifactError(f"{folder}: holds the state after {len(steps)} steps")
    return steps, _unpack(rest["parts"], load_file(folder / TENSORS))


def _pack(tree: Any, place: str, tensors: dict[str, Tensor], names: dict[tuple, str]) -> Any:
    """The tree as JSON, its tensors moved to `tensors` and named by their place; tied weights are kept once."""
    if isinstance(tree, DTensor):  # every rank must bring its piece, so none may find it tied to another
        tensors[place] = tree.detach().full_tensor().cpu()
        return {"tensor": place}
    if isinstance(tree, Tensor):
        name = names.setdefault((tree.data_ptr(), tree.shape, tree.stride(), tree.dtype), place)
        tensors.setdefault(name, tree.detach().cpu().contiguous())
        return {"tensor": name}
    if isinstance(tree, dict):  # as a list, since an optimizer's keys are numbers
        return {"items": [[key, _pack(value, f"{place}/{key}", tensors, names)] for key, value in tree.items()]}
    if isinstance(tree, list | tuple):
        return [_pack(value, f"{place}/{number}", tensors, names) for number, value in enumerate(tree)]
    return tree


def _unpack(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """What `_pack` was given, tuples as lists."""
    if isinstance(tree, list):
        return [_unpack(value, tensors) for value in tree]
    if isinstance(tree, dict) and "tensor" in tree:
        return tensors[tree["tensor"]]
    if isinstance(tree, dict):
        return {key: _unpack(value, tensors) for key, value in tree["items"]}
    return tree


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flushed_digest(path: Path) -> str:
    _flush(path)
    return _digest(path)


def _flush(path: Path) -> None:
    """Waits until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
