"""The losses of a pairwise reward model: pure functions of tensors, one value per pair. Callers weigh and average."""

from torch import Tensor
from torch.nn import functional as F

from models.shapes import Float


def pairwise_loss(
    chosen: Float[Tensor, " N"],
    rejected: Float[Tensor, " N"],
    label: Float[Tensor, " N"],
    margin: Float[Tensor, " N"],
) -> Float[Tensor, " N"]:
    """Logistic loss of each preference pair, in nats.

    With `d = chosen - rejected - margin` and label p (1 = strict, 1/2 = tie): `-p log sigmoid(d) - (1-p) log sigmoid(-d)`.
    Source: Ouyang et al. 2022, equation 1 (p = 1, margin 0); Touvron et al. 2023, "Llama 2", equation 2 (the margin).
    """
    difference = chosen - rejected - margin
    return -label * F.logsigmoid(difference) - (1 - label) * F.logsigmoid(-difference)


def centering_penalty(chosen: Float[Tensor, " N"], rejected: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """`(s_chosen + s_rejected)^2`: the pairwise loss leaves the mean score free, this ties it to zero.

    Source: Eisenstein et al. 2023, "Helping or Herding?", section 2.
    """
    return (chosen + rejected) ** 2
