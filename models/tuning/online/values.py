"""What a critic says of the states of the policy's tokens: a value model, or a head on what the policy has read itself."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from models.network.llama_forward import Below
from models.network.logprobs import token_logprobs, token_logprobs_and_entropy, token_states
from models.network.networks import ValueModel
from models.network.packing import PackedBatch
from models.shapes import Float, Int


class ValueHead(nn.Module):
    """One value per token, in units of normalised score, of the policy's own hidden states: a trunk with two heads, as that of Ziegler et al. 2019.

    The value's gradient changes the trunk, too. It starts at zero.
    """

    def __init__(self, policy: PreTrainedModel) -> None:
        super().__init__()
        self.head = nn.Linear(policy.config.hidden_size, 1, bias=False)
        nn.init.zeros_(self.head.weight)

    def forward(self, hidden: Float[Tensor, "M H"]) -> Float[Tensor, " M"]:
        """Value of the state in which each token is chosen, from what the policy makes of those before it."""
        return self.head(hidden).squeeze(-1).float()


CriticNetwork = ValueModel | ValueHead


def logprobs_and_values(
    policy: PreTrainedModel,
    critic: CriticNetwork,
    batch: PackedBatch,
    places: Int[Tensor, " M"],
    temperature: float,
    below: Below | None = None,
) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"]]:
    """Log-probabilities (`token_logprobs`) and values of the tokens at these places, to learn from. `below`: what the policy's frozen layers made of the batch."""
    if isinstance(critic, ValueHead):
        states = token_states(policy, batch, places, below)
        return states.logprobs(temperature), critic(states.hidden[: len(places)])
    return token_logprobs(policy, batch, places, temperature, below), critic(batch, places)


@torch.no_grad()
def evaluate_policy(
    policy: PreTrainedModel,
    critic: CriticNetwork | None,
    batch: PackedBatch,
    places: Int[Tensor, " M"],
    temperature: float,
    below: Below | None = None,
) -> tuple[Float[Tensor, " M"], ...]:
    """Log-probabilities, entropy and, with a critic, values of the tokens at these places, without gradient. `below` as above."""
    if isinstance(critic, ValueHead):
        states = token_states(policy, batch, places, below)
        return *states.logprobs_and_entropy(temperature), critic(states.hidden[: len(places)])
    logprobs, entropy = token_logprobs_and_entropy(policy, batch, places, temperature, below)
    return (logprobs, entropy) if critic is None else (logprobs, entropy, critic(batch, places))
