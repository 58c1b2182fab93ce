"""The coefficient of the KL penalty: fixed, or steered towards a target."""

from models.config import AdaptiveKL, FixedKL


class Leash:
    """Holds beta, the weight of the KL penalty in score units per nat, and adapts it after each batch."""

    def __init__(self, config: FixedKL | AdaptiveKL) -> None:
        self.config = config
        self.coef = config.coef

    def update(self, kl_nats: float, num_rollouts: int) -> None:
        """Moves beta after a batch of `num_rollouts` completions with a mean KL of `kl_nats`; a fixed one stays.

        `e = clip(KL / target - 1, -0.2, 0.2)`, `beta <- beta (1 + e n / horizon)`. Source: Ziegler et al. 2019, section 2.2.
        """
        if isinstance(self.config, AdaptiveKL):
            error = min(max(kl_nats / self.config.target_nats - 1, -0.2), 0.2)
            self.coef *= 1 + error * num_rollouts / self.config.horizon
