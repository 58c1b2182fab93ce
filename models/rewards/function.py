"""A plain Python function as reward, which learns nothing.

    def reward(prompts, completions):
        return [-0.5 * len(text.split()) for text in completions]

It is called by keyword, so that one written for TRL (`def reward(completions, **kwargs)`) serves as it is. `prompts`: texts, or of a
conversation its messages {role, content}; `completions`: texts, also empty ones. It gives back a finite number for each. What becomes of
these has mean 0 and standard deviation 1 over the training completions, as scores of every other kind have.

Rein imports and calls what the environment variable REIN_FUNCTIONS names, and nothing else, whatever settings or a reward's files say.
"""

import importlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from models.conversation import turns
from models.distributed.collectives import this_rank
from models.errors import ConfigError, DataError
from models.records import Record, StepMetrics
from models.rewards.scorer import RewardTask, Scorer
from models.settings.compute import Compute
from models.settings.rewards import FunctionReward
from models.settings.scoring.functions import allowed_functions, not_allowed
from models.shapes import Float

FUNCTION_FILE = "function.json"
_LOGGER = logging.getLogger(__name__)


class KeptFunction(Record):
    """What is kept of a function: its name, the text of its module as it was, and the normalisation of what it gives."""

    function: str
    source: str
    mean: float
    std: float


def train(task: RewardTask, config: FunctionReward) -> Iterator[StepMetrics]:
    """Fixes the normalisation on the completions of training prompts and notes the function; there are no steps.

    Raises DataError where there are no such completions, or all have one and the same score.
    """
    function = Function(config.function)
    scores = function(*task.training_texts)
    if len(set(scores.tolist())) < 2:
        raise DataError(
            f"{config.function} gives the {len(scores)} completions of training prompts no two different numbers, so that nothing can be learned from it"
        )
    kept = KeptFunction(
        function=config.function,
        source=function.source,
        mean=scores.mean().item(),
        std=scores.std(unbiased=False).item(),
    )
    if this_rank() == 0:
        (task.folder / FUNCTION_FILE).write_text(kept.model_dump_json(indent=1), encoding="utf-8")
    yield from ()


def load(folder: Path, compute: Compute) -> Scorer:
    """The function as it is now, normalised as `train` wrote; a warning says where its module is no longer what it was."""
    kept = KeptFunction.model_validate_json((folder / FUNCTION_FILE).read_text(encoding="utf-8"))
    function = Function(kept.function)
    if function.source != kept.source:
        _LOGGER.warning(
            "%s has changed since this reward was made, and scores as it is now; as it was, it stands in %s",
            kept.function,
            folder / FUNCTION_FILE,
        )

    def score(prompts: Sequence[str], completions: Sequence[str]) -> Tensor:
        return ((function(prompts, completions) - kept.mean) / kept.std).float()

    return Scorer(score, logit_std=kept.std, logit_mean=kept.mean)


def probe(config: FunctionReward, prompt: str) -> None:
    """Calls the function on a short completion of this prompt and on an empty one. Raises ConfigError, as `Function` does."""
    Function(config.function)([prompt, prompt], ["Yes.", ""])


class Function:
    """Prompts and completions as texts -> what the function says of them, unnormalised.

    Raises ConfigError, naming the function, where REIN_FUNCTIONS does not, where it is not found, and, when it is called, for what is no
    finite number for each completion.
    """

    def __init__(self, named: str) -> None:
        if named not in allowed_functions():
            raise ConfigError(f"reward function {named}: {not_allowed(named)}")
        module_name, _, name = named.partition(":")
        module = _imported(named, module_name)
        self.named = named
        self._call: Callable[..., Any] = getattr(module, name, None)
        if not callable(self._call):
            raise ConfigError(f"reward function {named}: module {module_name} has no function {name}")
        self.source = _source(named, module)

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> Float[Tensor, " N"]:
        asked = [_as_asked(prompt) for prompt in prompts]
        try:
            given = self._call(prompts=asked, completions=list(completions))
        except Exception as error:
            raise ConfigError(f"reward function {self.named} raises {type(error).__name__}: {error}") from error
        numbers = given.tolist() if hasattr(given, "tolist") else given
        if not isinstance(numbers, list | tuple) or len(numbers) != len(completions):
            found = f"{len(numbers)} numbers" if isinstance(numbers, list | tuple) else type(given).__name__
            raise ConfigError(
                f"reward function {self.named} gives back {found} for {len(completions)} completions; expected a list with a number for each"
            )
        for number, text in zip(numbers, completions, strict=True):
            if not isinstance(number, Real) or not math.isfinite(number):
                raise ConfigError(
                    f"reward function {self.named} gives {number!r} to the completion {text[:80]!r}; expected a finite number"
                )
        return torch.tensor(numbers, dtype=torch.float64)


def _as_asked(prompt: str) -> str | list[dict[str, str]]:
    messages = turns(prompt)
    return messages[0]["content"] if len(messages) == 1 else messages


def _imported(named: str, module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise ConfigError(
            f"reward function {named}: module {module} cannot be imported: {type(error).__name__}: {error}"
        ) from error


def _source(named: str, module: ModuleType) -> str:
    file = Path(module.__file__ or "")
    if file.suffix != ".py":
        raise ConfigError(f"reward function {named}: module {module.__name__} has no Python source to keep")
    return file.read_text(encoding="utf-8")
