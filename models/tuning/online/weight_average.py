"""The moving average of a network's weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from models.distributed.fsdp import piece_of


class WeightAverage:
    """`average <- decay average + (1 - decay) weights` after each optimizer step, from the weights that the network came with.

    Decay 0 is the network's own weights. Averaged is what is trained, each tied weight once; it costs one more copy of that.
    Source: Ouyang et al. 2022, appendix C.4 (decay .992); after each optimizer step as in DeepSpeed-Chat.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self._trained = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
        self._average = {name: weight.detach().clone() for name, weight in self._trained.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the weights that the network has now."""
        for name, weight in self._trained.items():
            self._average[name].lerp_(weight, 1 - self.decay)

    @torch.no_grad()
    def hand_over(self) -> None:
        """Gives the network the average as its weights."""
        for name, weight in self._trained.items():
            weight.copy_(self._average[name])

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Meanwhile the network has the average as its weights."""
        own = {name: weight.detach().clone() for name, weight in self._trained.items()}
        self.hand_over()
        yield
        with torch.no_grad():
            for name, weight in self._trained.items():
                weight.copy_(own[name])

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return self._average

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Goes on from what a checkpoint kept."""
        for name, average in self._average.items():
            average.copy_(piece_of(state_dict[name], average))
