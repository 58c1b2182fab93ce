"""One update of `models.tuning.ppo.loop.train_ppo` per turn: from the start of its rollout to its last optimizer step, statistics included.

What the generator does between two yields is one whole update; nothing of it falls outside the clock. `matrix_seconds`: what the matrix products of
the first update would take at the rate of large ones.
"""

from collections.abc import Iterator

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.own.matrix_rate import counted, matrix_rate
from benchmarks.scenario import (
    END_PROBABILITY,
    MAX_NEW_TOKENS,
    build_networks,
    build_prompts,
    build_tokenizer,
    text_of,
)
from benchmarks.worker import Worker
from models.network.networks import RewardModel, ValueModel, freeze
from models.network.precision import autocast, pick_device
from models.records import StepMetrics
from models.rewards.pairwise import score_texts
from models.rewards.scorer import Scorer
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.tuning import PPOConfig
from models.tuning.online.values import ValueHead
from models.tuning.ppo.loop import train_ppo


def start_training(
    policy: PreTrainedModel,
    reward_model: RewardModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[str],
    config: PPOConfig,
    sampling: SamplingConfig,
    compute: Compute,
    seed: int = 0,
) -> Iterator[StepMetrics]:
    """The updates of a policy whose completions a frozen reward model scores; a value model of its own starts from that."""
    shared = config.value_model == "shared"
    value_model = ValueHead(policy) if shared else ValueModel.from_reward(reward_model)
    freeze(reward_model).to(pick_device(compute))

    def score(prompts: list[str], completions: list[str]) -> torch.Tensor:
        with autocast(compute):
            return score_texts(reward_model, tokenizer, prompts, completions)

    return train_ppo(policy, value_model, tokenizer, Scorer(score), prompts, config, sampling, compute, seed)


def main() -> None:
    """Updates, one per turn, for ever."""
    worker = Worker()
    networks = build_networks(END_PROBABILITY if worker.settings["ends"] else 0.0)
    reward_model = RewardModel(networks["reward"])
    reward_model.set_normalisation(mean=0.0, std=1.0)
    steps = start_training(
        networks["policy"],
        reward_model,
        build_tokenizer(),
        [text_of(prompt) for prompt in build_prompts(4 * worker.settings["batch_size"])],
        PPOConfig(
            num_updates=1000,
            batch_size=worker.settings["batch_size"],
            num_epochs=4,
            num_minibatches=4,
            learning_rate=1e-7,
            value_learning_rate=1e-7,
            value_model=worker.settings.get("value_model", "own"),
        ),
        SamplingConfig(max_new_tokens=MAX_NEW_TOKENS),
        Compute(device="cpu", precision=worker.settings["precision"]),
    )
    dtype = torch.bfloat16 if worker.settings["precision"] == "bfloat16" else torch.float32
    worker.wait_for_turn()
    step, num_operations = counted(lambda: next(steps))  # the warm-up: counting takes time
    matrix_seconds = num_operations / matrix_rate(dtype)
    while True:
        worker.report(amount=1, mean_length=step.values["val/completion_length"], matrix_seconds=matrix_seconds)
        worker.wait_for_turn()
        step = next(steps)


if __name__ == "__main__":
    main()
