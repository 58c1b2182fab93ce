"""The optimizer of PPO: policy and value model, each with its own learning rate and its own limit on the gradient."""

import torch
from transformers import PreTrainedModel

from models.distributed.collectives import sum_gradients
from models.distributed.fsdp import load_state
from models.network.networks import ValueModel
from models.settings.tuning import PPOConfig
from models.training.checkpoints import Trained
from models.training.optimizer import clip_gradients, require_finite


class PPOOptimizer:
    """Adam (eps 1e-5) over policy and value model; learning rates fall linearly to a tenth of their peak.

    In the first `value_warmup_updates` the policy's gradient is dropped: its weights and its moments stay as they are, and its
    learning rate has its peak in the first update after them. Source: value pretraining of Yuan et al. 2025 (VC-PPO), here
    on the policy's own new samples; `trainer.critic_warmup` of verl.
    """

    def __init__(self, policy: PreTrainedModel, value_model: ValueModel, config: PPOConfig) -> None:
        self.policy, self.value_model, self.config = policy, value_model, config
        self._adam = torch.optim.AdamW(
            [
                {"params": Trained(policy).weights(), "lr": config.learning_rate},
                {"params": Trained(value_model).weights(), "lr": config.value_learning_rate},
            ],
            eps=1e-5,
            weight_decay=0.0,
            fused=True,
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._adam,
            [
                lambda update: self._falling(update, config.value_warmup_updates),
                lambda update: self._falling(update, 0),
            ],
        )

    def _falling(self, update: int, start: int) -> float:
        """Factor on the peak learning rate of a network that learns from update `start` on."""
        return 0.0 if update < start else 1 - 0.9 * (update - start) / (self.config.num_updates - start)

    @property
    def learning_rate(self) -> float:
        """Of the policy, in this update."""
        return self._schedule.get_last_lr()[0]

    def step(self, update: int) -> None:
        """One step on the gradients that have been added, which are gone after it. Raises TrainingError for one not finite."""
        if update < self.config.value_warmup_updates:
            self.policy.zero_grad(set_to_none=True)
        sum_gradients([*self.policy.parameters(), *self.value_model.parameters()])
        norms = [
            clip_gradients(model.parameters(), self.config.max_grad_norm) for model in (self.policy, self.value_model)
        ]
        require_finite(update, policy_gradient=norms[0], value_gradient=norms[1])
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
