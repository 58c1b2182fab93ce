"""Two steps of RLOO and of GRPO, number by number, against TRL 1.12.0: its networks' weights and tokens go in, its tensors come out to 1e-5.

`trl_oracle.safetensors` holds what TRL computed, `trl_oracle_script.py` made it: 2 prompts with 4 completions each, a reference that is
not the policy, two steps on the one batch. At the first every ratio is 1; at the second the policy has moved, and some are clipped.

`dr_grpo` is TRL's `loss_type` of that name without scaled rewards: here `length_norm` and `scale_by_std` false. Nothing differs, but that TRL
multiplies a token's k3 by its ratio unless told otherwise (`use_bias_correction_kl`); Shao et al. 2024 do not, and here it was told so.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from models.network.logprobs import token_logprobs
from models.network.packing import PackedBatch
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.tuning import CriticFree, GRPOConfig, RLOOConfig
from models.tuning.critic_free import grpo, rloo
from models.tuning.critic_free.minibatch import Losses, learn_minibatch
from models.tuning.online.microbatches import microbatches
from models.tuning.online.rollout import Rollout
from tests.tolerances import close

TOLERANCE = 1e-5
OWN = {"rloo": {}, "grpo": {}, "dr_grpo": {"length_norm": False, "scale_by_std": False}}
STEPS = ("step0", "step1")


class Recording:
    """TRL's tensors of one kind by name, and the settings that it ran with."""

    def __init__(self, kind: str) -> None:
        with safe_open(Path(__file__).with_name("trl_oracle.safetensors"), framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(f"{kind}.")]  # noqa: SIM118 (not a dict)
            self.tensors = {name.removeprefix(f"{kind}."): file.get_tensor(name) for name in names}
            metadata = file.metadata()
        assert metadata["trl"] == "1.12.0"
        self.kind, self.settings = kind, json.loads(metadata["settings"])
        self.shape = json.loads(metadata["shape"])

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def network(self, owner: str) -> LlamaForCausalLM:
        model = LlamaForCausalLM(LlamaConfig(**self.shape))
        model.load_state_dict({name: self[f"{owner}.{name}"] for name in model.state_dict()})
        return model.eval()

    @property
    def is_completion(self) -> Tensor:
        return self["completion_mask"].bool()

    @property
    def config(self) -> CriticFree:
        settings = {"clip": self.settings["epsilon"], "num_samples": self.settings["num_generations"], "batch_size": 8}
        kind = RLOOConfig if self.kind == "rloo" else GRPOConfig
        return kind(**settings, **OWN[self.kind], microbatch_tokens=30)

    @property
    def sampling(self) -> SamplingConfig:
        limit = self.settings["max_completion_length"]
        return SamplingConfig(max_new_tokens=limit, temperature=self.settings["temperature"])

    @property
    def rollout(self) -> Rollout:
        """The recorded batch as ours, before TRL shuffles it."""
        sequences = [
            prompt[asked.bool()].tolist() + completion[mask].tolist()
            for prompt, asked, completion, mask in zip(
                self["prompt_ids"], self["prompt_mask"], self["completion_ids"], self.is_completion, strict=True
            )
        ]
        return Rollout(
            sequences=sequences,
            is_completion=self.is_completion,
            sampler_logprobs=self["old_logprobs"],
            logprobs=self["old_logprobs"],
            reference_logprobs=self["reference_logprobs"],
            entropy=torch.zeros_like(self["old_logprobs"]),
            scores=self["scores"],
            ended=(self["completion_ids"] == self.shape["eos_token_id"]).any(dim=1),
        )

    @property
    def losses(self) -> Losses:
        module = rloo if self.kind == "rloo" else grpo
        return module.losses_of(self.rollout, self.settings["beta"], self.config, self.sampling)


@pytest.fixture(params=OWN)
def trl(request) -> Recording:
    return Recording(request.param)


def test_the_recording_is_worth_comparing_with(trl):
    """Prompts and completions of several lengths, ended and not; scores that differ within a prompt; a KL far from 0."""
    assert set(trl["prompt_mask"].sum(dim=1).tolist()) == {1, 4}
    assert len(set(trl.is_completion.sum(dim=1).tolist())) > 2 and not trl.rollout.ended.all()
    assert all(group.std() > 0.1 for group in trl["scores"].view(2, 4))
    kl = (trl["old_logprobs"] - trl["reference_logprobs"])[trl.is_completion]
    assert kl.abs().mean() > 0.5


@torch.no_grad()
@pytest.mark.parametrize("owner", ["policy", "reference"])
def test_log_probabilities(trl, owner):
    batch = PackedBatch.of(trl.rollout.sequences)
    places = batch.last(trl.is_completion.sum(dim=1).tolist())
    logprobs = token_logprobs(trl.network(owner), batch, places, trl.settings["temperature"])
    recorded = trl["old_logprobs" if owner == "policy" else "reference_logprobs"]
    assert close(logprobs, recorded[trl.is_completion], TOLERANCE)


def test_advantages(trl):
    rollout, config = trl.rollout, trl.config
    if trl.kind == "rloo":
        kl = (rollout.logprobs - rollout.reference_logprobs).masked_fill(~rollout.is_completion, 0.0).sum(dim=1)
        advantages = rloo.leave_one_out(rollout.scores - trl.settings["beta"] * kl, 4)
    else:
        advantages = grpo.group_advantages(rollout.scores, 4, config.scale_by_std)
    assert close(advantages, trl["advantages"], TOLERANCE)
    assert advantages.abs().max() > 0.5


@pytest.mark.parametrize("step", STEPS)
def test_the_loss_and_its_gradient(trl, step):
    """TRL shuffles the batch before each step."""
    rows = trl[f"{step}.rows"].tolist()
    (part,) = microbatches(trl.network("policy"), trl.rollout, rows, 10_000)
    logprobs = trl[f"{step}.logprobs"].masked_fill(~part.is_completion, 0.0).requires_grad_()
    losses, numbers = trl.losses(logprobs, part)
    losses.mean().backward()
    assert close(losses.mean(), trl[f"{step}.loss"], TOLERANCE)
    mask = part.is_completion
    assert close(logprobs.grad[mask], trl[f"{step}.logprobs.gradient"][mask], TOLERANCE)
    assert logprobs.grad[mask].abs().max() > 1e-3
    assert bool(numbers["policy/clipfrac_avg"].any()) is (step == "step1")


def test_gradients_of_the_policy_at_the_first_step(trl):
    policy, compute = trl.network("policy"), Compute(device="cpu", precision="float32")
    rows, temperature = trl["step0.rows"].tolist(), trl.settings["temperature"]
    numbers, error = learn_minibatch(policy, trl.rollout, rows, trl.losses, trl.config, temperature, compute)
    for name, parameter in policy.named_parameters():
        assert close(parameter.grad, trl[f"step0.gradient.{name}"], TOLERANCE), name
    assert max(parameter.grad.abs().max() for parameter in policy.parameters()) > 0.01
    assert error < TOLERANCE and close(numbers["val/ratio"], 1.0, TOLERANCE)
