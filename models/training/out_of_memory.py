"""Out of memory in the middle of training: half of what was tried at once is tried once, and nothing is counted twice."""

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from torch import nn

from models.distributed.collectives import num_ranks
from models.errors import TrainingError
from models.network.memory import free_what_failed, is_out_of_memory, keep_freed_memory
from models.settings.base import Settings
from models.training.checkpoints import random_state, set_random_state

_LOGGER = logging.getLogger(__name__)

Config = TypeVar("Config", bound=Settings)
Result = TypeVar("Result")


class MemoryBudget(Generic[Config]):
    """The settings of a loop, with `microbatch_tokens` that fit into memory as far as has been seen. The loop's process keeps
    freed memory from then on."""

    def __init__(self, config: Config, logger: logging.Logger | logging.LoggerAdapter = _LOGGER) -> None:
        keep_freed_memory()
        self.config, self.logger = config, logger
        self._halved = False

    def fitting(self, num_tokens: int, compute: Callable[[Config], Result], *networks: nn.Module) -> Result:
        """`compute(config)` over `num_tokens` tokens; when memory runs out, once more with half of what was tried at once.

        `microbatch_tokens` stay halved from then on. Before the second try the gradients of `networks` are taken away (a
        broken backward pass leaves some; there must be none to begin with) and the random generators put back. So the result
        is bit for bit that of settings with the half in them.

        Raises TrainingError, saying what to set, when half does not fit either; and at once when several ranks train together,
        since the others do not know, and do not compute again.
        """
        tried = min(self.config.microbatch_tokens, num_tokens)
        before = random_state()
        try:
            return compute(self.config)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            reason = (str(error) or type(error).__name__).splitlines()[0]
            if self._halved or num_ranks() > 1:
                raise TrainingError(
                    f"out of memory with {tried} tokens at once ({reason}); set microbatch_tokens below that, which changes "
                    "no number but rounding, or compute.activation_checkpointing, shorter texts, a smaller model, or `lora`"
                ) from error
        # not inside `except`: there the error still holds on to all that the broken pass had computed
        for network in networks:
            network.zero_grad(set_to_none=True)
        free_what_failed()
        set_random_state(before)
        self._halved = True
        half = max(1, tried // 2)
        self.config = self.config.model_copy(update={"microbatch_tokens": half})
        self.logger.warning(
            "out of memory with %d tokens at once (%s); going on with %d, which changes no number but rounding: "
            "set microbatch_tokens to it",
            *(tried, reason, half),
        )
        return self.fitting(num_tokens, compute, *networks)
