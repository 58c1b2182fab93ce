"""What keeps the policy near: to the reference the KL penalty and the KL budget, within an update a stop by KL."""

from torch import Tensor

from models.distributed.fsdp import load_state
from models.settings.scoring.shaping import AdaptiveKL, FixedKL
from models.training.checkpoints import Part


class KLControl:
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

    def state_dict(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"coef": self.coef}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Goes on from what a checkpoint kept."""
        self.coef = state_dict["coef"]


class KLBudget:
    """The KL (nats per completion) at which PPO ends, and the last weights whose completions were within it; None: no end.

    What it keeps is what PPO will give: the policy's weights, or their average as it was when these completions were sampled.
    """

    def __init__(self, limit_nats: float | None) -> None:
        self.limit_nats = limit_nats
        self._within: dict[str, Tensor] = {}

    def keep_within(self, policy: Part, kl_nats: float) -> bool:
        """Whether the policy's batch was within; its weights are then remembered, and else replaced by those remembered."""
        if self.limit_nats is not None and kl_nats > self.limit_nats:
            load_state(policy, self._within)
            return False
        if self.limit_nats is not None:
            self._within = {name: tensor.detach().clone() for name, tensor in policy.state_dict().items()}
        return True

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return self._within

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Goes on from what a checkpoint kept."""
        self._within = state_dict


def moved_too_far(approx_kl_nats: float, target_kl_nats: float | None) -> bool:
    """Whether an update is to end here: its policy is more than 1.5 times the target (nats per token) from the sampling policy.

    Sources: `target_kl` of Spinning Up and Stable-Baselines3 (PPO), which end the update before the step that this would be;
    TRL 0.11. The estimate is `1/2 (log pi - log pi_old)^2`, as in OpenAI baselines and TRL. None: never.
    """
    return target_kl_nats is not None and approx_kl_nats > 1.5 * target_kl_nats
