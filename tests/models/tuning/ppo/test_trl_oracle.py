"""One PPO update, number by number, against TRL 1.12.0: its networks' weights and tokens go in, its tensors come out to 1e-5.

`trl_oracle.safetensors` holds what TRL computed, `trl_oracle_script.py` made it: 8 completions of 2 to 7 tokens (49 in all, in a
rectangle of 56), prompts padded on the left, a reference that is not the policy, 2 passes of 2 minibatches.

Equal as they stand: log-probabilities, values, scores with the penalty for a missing end, and, where a completion fills the
rectangle, rewards, advantages and returns; both losses and their gradients, clipped or not. Where TRL does something else:

- **The score comes one token late.** In a completion shorter than the rectangle TRL pays the score on the first padding token, as
  if one more action were taken after the end. Told to count that token as real, our functions give TRL's numbers. As they
  are (score at the end token, no state after it: Ziegler et al. 2019), the last advantage is greater by
  `(1 - gamma lambda) score - gamma (1 - lambda) V_after`. TRL's value loss averages over these states too: 52 instead of 49.
- **Whitening** divides by n - 1 in TRL, by n here: advantages differ by the factor sqrt(48 / 49).
- **Logged statistics are averaged over padding**: `policy/approxkl_avg` over 56 places instead of 49 tokens (0.343, not 0.385),
  and `val/ratio` counts every padding place as a ratio of 1. With gradient accumulation they are also averaged over places
  in TRL's table that nothing was written to: 4 minibatches of an update in which nothing is learned log a ratio of 0.25, not 1.
- **A padding token that is sampled** ends the completion in TRL; here it is a token like any other. The script's seed draws none.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from models.network.logprobs import token_logprobs
from models.network.networks import RewardModel, ValueModel
from models.network.packing import PackedBatch
from models.settings.compute import Compute
from models.settings.scoring.shaping import MissingEnd
from models.settings.tuning import PPOConfig
from models.tuning.online.rollout import Rollout, apply_missing_end, describe_rollout
from models.tuning.ppo.advantages import whiten
from models.tuning.ppo.losses import masked_mean, policy_loss, value_loss
from models.tuning.ppo.minibatch import Targets, learn_minibatch, learning_targets
from tests.tolerances import close

TOLERANCE = 1e-5
MINIBATCHES = range(4)


class Recording:
    """TRL's tensors by name, and the settings that it ran with."""

    def __init__(self) -> None:
        with safe_open(Path(__file__).with_name("trl_oracle.safetensors"), framework="pt") as file:
            self.tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            metadata = file.metadata()
        assert metadata["trl"] == "1.12.0"
        self.settings = json.loads(metadata["settings"])
        self.shape = json.loads(metadata["shape"])

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def load(self, owner: str, model: torch.nn.Module) -> torch.nn.Module:
        """The network with the weights recorded under `owner`."""
        model.load_state_dict({name: self[f"{owner}.{name}"] for name in model.state_dict()})
        return model.eval()

    @property
    def policy(self) -> LlamaForCausalLM:
        return self.load("model.policy", LlamaForCausalLM(LlamaConfig(**self.shape)))

    @property
    def reference(self) -> LlamaForCausalLM:
        return self.load("reference", LlamaForCausalLM(LlamaConfig(**self.shape)))

    def reward_model(self, owner: str) -> RewardModel:
        model = self.load(owner, LlamaForSequenceClassification(LlamaConfig(**self.shape, num_labels=1)))
        reward_model = RewardModel(model)
        reward_model.set_normalisation(mean=0.0, std=1.0)
        return reward_model

    @property
    def value_model(self) -> ValueModel:
        return ValueModel.from_reward(self.reward_model("model.value_model")).eval()

    @property
    def is_completion(self) -> Tensor:
        return ~self["update.padding_mask"]

    @property
    def is_completion_or_after(self) -> Tensor:
        """TRL's second mask: real tokens, and the first padding token where there is one."""
        return ~self["update.padding_mask_p1"]

    @property
    def fills(self) -> Tensor:
        """True at completions as long as the rectangle: these have no place for TRL's late score."""
        return self.is_completion.all(dim=1)

    def sequences(self, is_completion: Tensor) -> list[list[int]]:
        """Prompt and completion of each row; where the mask counts a padding token, with that."""
        pad_id, num_columns = self.shape["pad_token_id"], is_completion.shape[1]
        return [
            [token for token in row[:-num_columns].tolist() if token != pad_id] + row[-num_columns:][mask].tolist()
            for row, mask in zip(self["update.query_responses"], is_completion, strict=True)
        ]

    @property
    def config(self) -> PPOConfig:
        names = {"gamma": "gamma", "lam": "lam", "clip": "cliprange", "value_clip": "cliprange_value"}
        names |= {"value_coef": "vf_coef"}
        settings = {ours: self.settings[theirs] for ours, theirs in names.items()}
        return PPOConfig(**settings, batch_size=8, num_minibatches=2, microbatch_tokens=30, whiten_advantages=False)

    def rollout(self, is_completion: Tensor) -> Rollout:
        """The recorded batch as ours, with this notion of which tokens are real."""
        return Rollout(
            sequences=self.sequences(is_completion),
            is_completion=is_completion,
            sampler_logprobs=self["update.logprobs"],
            logprobs=self["update.logprobs"],
            reference_logprobs=self["update.ref_logprobs"],
            values=self["update.values"],
            entropy=torch.zeros_like(self["update.logprobs"]),
            scores=self["update.scores"],
            ended=self["update.contain_eos_token"],
        )

    def targets(self, is_completion: Tensor) -> Targets:
        return learning_targets(self.rollout(is_completion), self.settings["kl_coef"], self.config)


@pytest.fixture(scope="module")
def trl() -> Recording:
    return Recording()


def test_the_recording_is_worth_comparing_with(trl):
    """Lengths, ends and masks as the docstring says; no padding token was sampled; the KL is far from 0."""
    assert trl.is_completion.sum(dim=1).tolist() == [7, 6, 6, 7, 7, 2, 7, 7]
    assert trl.is_completion_or_after.sum() == 52
    assert trl["update.contain_eos_token"].tolist() == [False, True, True, True, False, True, False, False]
    is_token = trl["update.query_responses"] != trl.shape["pad_token_id"]
    assert torch.equal(is_token[:, -7:], trl.is_completion)
    assert not is_token[:, 0].all(), "prompts of unequal length"
    assert trl["logged.objective/kl"] > 1


@torch.no_grad()
def test_log_probabilities_values_and_scores(trl):
    mask, temperature = trl.is_completion, trl.settings["temperature"]
    batch = PackedBatch.of(trl.sequences(mask))
    places = batch.last(mask.sum(dim=1).tolist())
    logprobs = token_logprobs(trl.policy, batch, places, temperature)
    assert close(logprobs, trl["update.logprobs"][mask], TOLERANCE)
    logprobs = token_logprobs(trl.reference, batch, places, temperature)
    assert close(logprobs, trl["update.ref_logprobs"][mask], TOLERANCE)
    values = trl.value_model(batch, places)
    assert close(values, trl["update.values"][mask], TOLERANCE)
    penalty = MissingEnd(kind="penalty", score=-trl.settings["missing_eos_penalty"])
    scores = trl.reward_model("reward").scores(batch)
    assert close(apply_missing_end(scores, trl["update.contain_eos_token"], penalty), trl["update.scores"], TOLERANCE)


def test_rewards_advantages_and_returns_of_completions_that_fill_the_rectangle(trl):
    own = trl.targets(trl.is_completion)
    assert trl.fills.sum() == 5
    assert close(own.rewards[trl.fills], trl["update.rewards"][trl.fills], TOLERANCE)
    assert close(own.returns[trl.fills], trl["update.returns"][trl.fills], TOLERANCE)
    advantages = (trl["update.returns"] - trl["update.values"])[trl.fills]
    assert close(own.advantages[trl.fills], advantages, TOLERANCE)


def test_rewards_advantages_and_returns_of_all_once_the_late_score_is_allowed(trl):
    late = trl.targets(trl.is_completion_or_after)
    assert close(late.rewards, trl["update.rewards"], TOLERANCE)
    assert close(late.returns, trl["update.returns"], TOLERANCE)
    assert close(late.advantages, trl["update.returns"] - trl["update.values"], TOLERANCE)


def test_the_late_score_changes_the_last_advantage_by_the_formula(trl):
    gamma, lam = trl.settings["gamma"], trl.settings["lam"]
    advantages = trl.targets(trl.is_completion).advantages
    theirs = trl["update.returns"] - trl["update.values"]
    for row in range(8):
        last = trl.is_completion[row].sum() - 1
        expected = 0.0
        if not trl.fills[row]:
            value_after, score = trl["update.values"][row, last + 1], trl["update.scores"][row]
            expected = (1 - gamma * lam) * score - gamma * (1 - lam) * value_after
            assert abs(expected) > 1e-3
        assert close(advantages[row, last] - theirs[row, last], expected, TOLERANCE)


def test_whitened_advantages_differ_by_the_divisor_of_the_variance(trl):
    advantages = trl["update.returns"] - trl["update.values"]
    white = whiten(advantages, trl.is_completion)
    assert close(white * (48 / 49) ** 0.5, trl["update.advantages"], TOLERANCE)


@pytest.mark.parametrize("number", MINIBATCHES)
def test_losses_and_their_gradients_at_every_minibatch(trl, number):
    """The first has ratio 1; then the policy has moved, and some ratios and values are clipped."""
    name, config = f"minibatch{number}", trl.config
    rows = trl[f"{name}.rows"]
    logprobs = trl[f"{name}.new_logprobs"].clone().requires_grad_()
    values = trl[f"{name}.vpred"].clone().requires_grad_()
    of_tokens = policy_loss(logprobs, trl["update.logprobs"][rows], trl["update.advantages"][rows], config.clip)
    policy = masked_mean(of_tokens, trl.is_completion[rows])
    of_tokens = value_loss(values, trl["update.values"][rows], trl["update.returns"][rows], config.value_clip)
    value = masked_mean(of_tokens, trl.is_completion_or_after[rows])
    (policy + config.value_coef * value).backward()
    assert close(policy, trl[f"{name}.pg_loss"], TOLERANCE)
    assert close(value, trl[f"{name}.vf_loss"], TOLERANCE)
    assert close(policy + config.value_coef * value, trl[f"{name}.loss"], TOLERANCE)
    assert close(logprobs.grad, trl[f"{name}.new_logprobs.gradient"], TOLERANCE)
    assert close(values.grad, trl[f"{name}.vpred.gradient"], TOLERANCE)
    mask = trl.is_completion[rows]
    assert logprobs.grad[mask].abs().max() > 1e-3 and values.grad[mask].abs().max() > 1e-4
    if number:
        assert (logprobs.grad[mask] == 0).any() and (values.grad[mask] == 0).any(), "something is clipped"


def gradients(trl: Recording, is_completion: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What `learn_minibatch` adds to policy and value model at TRL's first minibatch, from TRL's advantages and returns."""
    policy, value_model = trl.policy, trl.value_model
    targets = Targets(trl["update.rewards"], trl["update.advantages"], trl["update.returns"])
    rows = trl["minibatch0.rows"].tolist()
    compute = Compute(device="cpu", precision="float32")
    learn_minibatch(
        policy, value_model, trl.rollout(is_completion), targets, rows, trl.config, trl.settings["temperature"], compute
    )
    return tuple({name: p.grad for name, p in model.named_parameters()} for model in (policy, value_model))


def test_gradients_of_the_policy_at_the_first_minibatch(trl):
    computed, _ = gradients(trl, trl.is_completion)
    for name, gradient in computed.items():
        assert close(gradient, trl[f"gradient.policy.{name}"], TOLERANCE), name
    assert max(gradient.abs().max() for gradient in computed.values()) > 0.01


def test_gradients_of_the_value_model_at_the_first_minibatch(trl):
    """Over TRL's mask, which counts the state after the end."""
    _, computed = gradients(trl, trl.is_completion_or_after)
    for name, gradient in computed.items():
        theirs = name.replace("body.", "model.", 1).replace("head.", "score.", 1)
        assert close(gradient, trl[f"gradient.value_model.{theirs}"], TOLERANCE), name
    assert max(gradient.abs().max() for gradient in computed.values()) > 0.01


def test_the_numbers_of_the_batch_are_those_that_trl_logs(trl):
    numbers = describe_rollout(trl.rollout(trl.is_completion), trl.settings["kl_coef"])
    for name in ("objective/kl", "objective/non_score_reward", "objective/rlhf_reward", "objective/scores"):
        assert close(numbers[name], trl[f"logged.{name}"], TOLERANCE), name
    for name, theirs in (("loss/policy_avg", "pg_loss"), ("loss/value_avg", "vf_loss")):
        mean = torch.stack([trl[f"minibatch{number}.{theirs}"] for number in MINIBATCHES]).mean()
        assert close(mean, trl[f"logged.{name}"], TOLERANCE)


def test_trl_averages_ratio_and_approximate_kl_over_padding(trl):
    ratios, kls, diluted_ratios, diluted_kls = [], [], [], []
    for number in MINIBATCHES:
        rows = trl[f"minibatch{number}.rows"]
        mask = trl.is_completion[rows]
        log_ratio = (trl[f"minibatch{number}.new_logprobs"] - trl["update.logprobs"][rows])[mask]
        ratios.append(log_ratio.exp().mean())
        kls.append((log_ratio**2).mean() / 2)
        share = mask.float().mean()
        diluted_ratios.append(share * ratios[-1] + (1 - share))
        diluted_kls.append(share * kls[-1])
    assert close(sum(diluted_ratios) / 4, trl["logged.val/ratio"], TOLERANCE)
    assert close(sum(diluted_kls) / 4, trl["logged.policy/approxkl_avg"], TOLERANCE)
    assert sum(kls) / 4 > 1.1 * trl["logged.policy/approxkl_avg"]
    assert trl["logged_without_learning.val/ratio"] == pytest.approx(0.25, abs=TOLERANCE)
