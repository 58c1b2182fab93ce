"""What the tests of PPO share: prompts, a scorer with something to learn, a small config, and a rollout."""

import torch
from torch import nn

from models.generation.sampling import Sample, sample_completions
from models.network.dialogue import encode_prompt
from models.rewards.scorer import Scorer
from models.settings.generation import SamplingConfig
from models.settings.scoring.shaping import MissingEnd
from models.settings.tuning import PPOConfig
from models.tuning.online.rollout import Rollout, evaluate_samples

SAMPLING = SamplingConfig(max_new_tokens=6, temperature=0.8)
PROMPTS = ["my sink is leaking, what can I do?", "the lamp", "what is wrong with the fuse?", "the nut"] * 2
END = 2
OF_THE_CLOCK = {"update_seconds", "tokens_per_second"}
"""Numbers of an update that no two runs share."""


def share_of_letters(prompts, completions) -> torch.Tensor:
    """A scorer with something to learn: the share of characters that are small letters, from -1 to 1."""
    return torch.tensor([2 * sum("a" <= c <= "z" for c in text) / max(1, len(text)) - 1 for text in completions])


SCORER = Scorer(share_of_letters)


def config_of(**changes) -> PPOConfig:
    settings = {
        "num_updates": 2,
        "batch_size": 8,
        "microbatch_tokens": 8192,
        "num_epochs": 2,
        "num_minibatches": 2,
        "learning_rate": 1e-3,
        "value_learning_rate": 1e-3,
        "missing_end": MissingEnd(kind="penalty", score=0.0),
    }
    return PPOConfig(**settings | changes)


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def rollout_of(policy, reference, value_model, tokenizer, compute, **changes) -> Rollout:
    config = config_of(**changes)
    samples = sample_completions(
        policy, tokenizer, PROMPTS, max_new_tokens=6, temperature=SAMPLING.temperature, batch_size=8, seed=1
    )
    samples[0] = Sample([40, END], [-1.0] * 2, "x", ended=True)  # completions of unequal length
    samples[5] = Sample([50, 60, 70, END], [-1.0] * 4, "y", ended=True)
    sequences = [
        encode_prompt(tokenizer, prompt) + sample.tokens for prompt, sample in zip(PROMPTS, samples, strict=True)
    ]
    return evaluate_samples(
        policy,
        reference,
        value_model,
        SCORER,
        PROMPTS,
        samples,
        sequences,
        config,
        SAMPLING.temperature,
        compute,
    )
