"""What the first minibatch of a tuning must show, in 32 bits and in 16."""

import pytest

from models.errors import TrainingError
from models.settings.compute import Compute
from models.tuning.online.start import require_ratio_one

WIDE = Compute(device="cpu", precision="float32")
NARROW = Compute(device="cpu", precision="bfloat16")


@pytest.mark.parametrize(
    ("compute", "ratio_error", "root_mean_square"),
    [
        (WIDE, 5e-4, 1e-4),
        (NARROW, 0.112, 0.006),  # measured with SmolLM2-135M: of 823 tokens three are off by .1, most by nothing
    ],
)
def test_rounding_is_let_through(compute, ratio_error, root_mean_square):
    require_ratio_one(ratio_error, root_mean_square**2 / 2, compute)


@pytest.mark.parametrize(
    ("compute", "ratio_error", "root_mean_square"),
    [
        (WIDE, 2e-3, 1e-4),
        (WIDE, float("nan"), float("nan")),
        (NARROW, 0.3, 0.1),  # many tokens, as with dropout
        (NARROW, 0.8, 0.02),  # one token, as at a wrong place
    ],
)
def test_what_reads_otherwise_is_refused(compute, ratio_error, root_mean_square):
    with pytest.raises(TrainingError, match=r"off 1 by .*root mean square"):
        require_ratio_one(ratio_error, root_mean_square**2 / 2, compute)
