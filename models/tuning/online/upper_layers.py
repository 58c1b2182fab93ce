"""Learning in the policy's upper layers alone (`trainable_layers`): what is below them stays, and what it makes of a token is computed once a batch."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from transformers import PreTrainedModel

from models.distributed.collectives import num_ranks
from models.errors import ConfigError
from models.network.llama_forward import Below, has_own_pass
from models.network.networks import layers_of
from models.network.packing import PackedBatch
from models.shapes import Float


@dataclass(frozen=True)
class StatesBelow:
    """What the lowest `num_layers` layers, which are frozen, made of each token of a rollout's sequences."""

    num_layers: int
    of_sequences: Sequence[Float[Tensor, "_ H"]]

    def of(self, batch: PackedBatch, rows: Sequence[int]) -> Below:
        """Those of a batch that is made of these rows."""
        return Below(self.num_layers, batch.laid_out([self.of_sequences[row] for row in rows]))


def learn_in_upper_layers(policy: PreTrainedModel, num_layers: int) -> None:
    """Leaves so many of the upper layers to learn, and nothing else. Raises ConfigError where there are not as many."""
    layers = layers_of(policy)
    if num_layers > len(layers):
        raise ConfigError(
            f"tuning.trainable_layers is {num_layers}, and the policy ({type(policy).__name__}) has {len(layers)} layers"
        )
    policy.requires_grad_(False)
    for layer in layers[len(layers) - num_layers :]:
        layer.requires_grad_(True)


def num_layers_below(policy: PreTrainedModel, trainable_layers: int | None) -> int:
    """Of how many layers it is kept what they make of a rollout's tokens: of those that are frozen, or, where a network has no pass of its own
    that could begin above them or other processes read the same rows, of none."""
    if trainable_layers is None or num_ranks() > 1 or not has_own_pass(policy.base_model):
        return 0
    return len(layers_of(policy)) - trainable_layers
