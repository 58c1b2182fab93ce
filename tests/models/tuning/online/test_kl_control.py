"""The KL coefficient, fixed and steered towards a target; where an update ends."""

import pytest

from models.settings.scoring.shaping import AdaptiveKL, FixedKL
from models.tuning.online.kl_control import KLControl, moved_too_far
from tests.tolerances import close


@pytest.mark.parametrize("kl_nats", [0.0, 6.0, 1000.0])
def test_a_fixed_coefficient_stays(kl_nats):
    kl_control = KLControl(FixedKL(coef=0.05))
    kl_control.update(kl_nats, num_rollouts=64)
    assert kl_control.coef == 0.05


@pytest.mark.parametrize(
    ("kl_nats", "expected"),
    [
        (6.0, 0.05),  # on target
        (6.6, 0.0505),  # e = 0.1: 0.05 * (1 + 0.1 * 10 / 100)
        (5.4, 0.0495),  # e = -0.1
        (7.2, 0.051),  # e = 0.2
        (600.0, 0.051),  # e clipped to 0.2
        (0.0, 0.049),  # e = -1 clipped to -0.2
        (-3.0, 0.049),  # an estimate may be negative
    ],
)
def test_an_adaptive_coefficient_moves_towards_the_target(kl_nats, expected):
    kl_control = KLControl(AdaptiveKL(coef=0.05, target_nats=6.0, horizon=100.0))
    kl_control.update(kl_nats, num_rollouts=10)
    assert close(kl_control.coef, expected, tolerance=1e-12)


def test_updates_multiply():
    kl_control = KLControl(AdaptiveKL(coef=0.5, target_nats=2.0, horizon=40.0))
    kl_control.update(9.0, num_rollouts=20)  # 0.5 * 1.1
    kl_control.update(9.0, num_rollouts=20)  # * 1.1
    kl_control.update(0.0, num_rollouts=40)  # * 0.8
    assert close(kl_control.coef, 0.484, tolerance=1e-12)


@pytest.mark.parametrize(
    ("approx_kl", "target", "expected"),
    [(0.03, 0.02, False), (0.0301, 0.02, True), (0.0, 0.02, False), (1e9, None, False)],  # 1.5 * 0.02 = 0.03
)
def test_an_update_ends_beyond_one_and_a_half_times_the_target(approx_kl, target, expected):
    assert moved_too_far(approx_kl, target) is expected
