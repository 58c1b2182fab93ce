"""The pairwise losses against values worked out by hand."""

import math

import pytest
import torch

from models.rewards.pairwise_losses import centering_penalty, pairwise_loss
from tests.tolerances import close

LN2, LN3 = math.log(2), math.log(3)


def row(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


@pytest.mark.parametrize(
    ("difference", "label", "margin", "expected"),
    [
        (LN3, 1.0, 0.0, math.log(4 / 3)),  # sigmoid(ln 3) = 3/4
        (-LN3, 1.0, 0.0, math.log(4)),  # sigmoid(-ln 3) = 1/4
        (0.0, 1.0, 0.0, LN2),
        (LN3, 0.5, 0.0, (math.log(4 / 3) + math.log(4)) / 2),  # a tie pays for a difference …
        (-LN3, 0.5, 0.0, (math.log(4 / 3) + math.log(4)) / 2),  # … in either direction alike
        (0.0, 0.5, 0.0, LN2),
        (LN3, 0.75, 0.0, 0.75 * math.log(4 / 3) + 0.25 * math.log(4)),
        (1000.0, 1.0, 0.0, 0.0),  # no overflow
        (-1000.0, 1.0, 0.0, 1000.0),
        (LN3, 1.0, LN3, LN2),  # a lead of no more than the margin is no lead
        (0.0, 1.0, LN3, math.log(4)),
        (2 * LN3, 1.0, LN3, math.log(4 / 3)),
    ],
)
def test_pairwise_loss(difference, label, margin, expected):
    loss = pairwise_loss(row(5 + difference), row(5), row(label), row(margin))
    assert close(loss, [expected])


def test_a_tie_is_learned_by_equal_scores():
    scores = torch.tensor([1.0], requires_grad=True)
    pairwise_loss(scores, row(1), row(0.5), row(0)).sum().backward()
    assert close(scores.grad, [0.0])
    strict = torch.tensor([1.0], requires_grad=True)
    pairwise_loss(strict, row(1), row(1), row(0)).sum().backward()
    assert close(strict.grad, [-0.5])  # -(1 - sigmoid(0))


def test_centering_penalty():
    # (2 - 0.5)^2 and (-1 + 1)^2: shifting both scores by c costs (2c)^2, a difference alone nothing
    assert close(centering_penalty(row(2, -1), row(-0.5, 1)), [2.25, 0.0])
