"""The optimizer of policy and, where there is one, critic: each with its own learning rate and its own limit on the gradient."""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from models.distributed.collectives import sum_gradients
from models.distributed.fsdp import load_state
from models.settings.training import LoRA
from models.settings.tuning import PolicyGradient
from models.training.checkpoints import Trained
from models.training.optimizer import clip_gradients, require_finite
from models.tuning.online.values import CriticNetwork


@dataclass(frozen=True)
class Critic:
    """What learns to value states beside the policy."""

    model: CriticNetwork
    learning_rate: float
    warmup_updates: int = 0
    """Updates at the start in which it learns alone."""
    lora: LoRA | None = None
    """The adapter that it learns through, beside its head; None: all its weights learn."""


class OnlineOptimizer:
    """Adam (eps 1e-5) over policy and critic; learning rates fall linearly to a tenth of their peak.

    In the critic's first `warmup_updates` the policy's gradient is dropped: its weights and its moments stay as they are, and its
    learning rate has its peak in the first update after them. Source: value pretraining of Yuan et al. 2025 (VC-PPO), here
    on the policy's own new samples; `trainer.critic_warmup` of verl.
    """

    def __init__(self, policy: PreTrainedModel, config: PolicyGradient, critic: Critic | None = None) -> None:
        self.policy, self.config, self.critic = policy, config, critic
        self._warmup_updates = critic.warmup_updates if critic else 0
        groups = [{"params": Trained(policy).weights(), "lr": config.learning_rate}]
        factors = [lambda update: self._falling(update, self._warmup_updates)]
        if critic:
            groups.append({"params": Trained(critic.model).weights(), "lr": critic.learning_rate})
            factors.append(lambda update: self._falling(update, 0))
        self._adam = torch.optim.AdamW(groups, eps=1e-5, weight_decay=0.0, fused=True)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._adam, factors)

    def _falling(self, update: int, start: int) -> float:
        """Factor on the peak learning rate of a network that learns from update `start` on."""
        return 0.0 if update < start else 1 - 0.9 * (update - start) / (self.config.num_updates - start)

    @property
    def learning_rate(self) -> float:
        """Of the policy, in this update."""
        return self._schedule.get_last_lr()[0]

    def step(self, update: int) -> None:
        """One step on the gradients that have been added, which are gone after it. Raises TrainingError for one not finite."""
        if update < self._warmup_updates:
            self.policy.zero_grad(set_to_none=True)
        networks: dict[str, nn.Module] = {"policy": self.policy}
        if self.critic:
            networks["value"] = self.critic.model
        sum_gradients([weight for network in networks.values() for weight in network.parameters()])
        norms = {
            f"{name}_gradient": clip_gradients(network.parameters(), self.config.max_grad_norm)
            for name, network in networks.items()
        }
        require_finite(update, **norms)
        self._adam.step()
        self.drop_gradients()

    def drop_gradients(self) -> None:
        """Forgets the gradients that have been added."""
        self._adam.zero_grad(set_to_none=True)

    def end_update(self) -> None:
        """Moves the learning rates on."""
        self._schedule.step()

    def state_dict(self) -> dict[str, dict]:
        """What a checkpoint keeps."""
        return {"adam": self._adam.state_dict(), "schedule": self._schedule.state_dict()}

    def load_state_dict(self, state_dict: dict[str, dict]) -> None:
        """Goes on from what a checkpoint kept."""
        load_state(self._adam, state_dict["adam"])
        self._schedule.load_state_dict(state_dict["schedule"])
