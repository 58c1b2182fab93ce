"""One update of TRL 1.12.0's PPOTrainer per turn: from the start of its rollout to its last optimizer step, statistics included.

TRL calls `on_step_end` once an update; there the trainer waits for its next turn. The time from one turn's start to the next
`on_step_end` is one whole update (the freeing of the last one's tensors included). Checkpoints, reports and sample generations are off.

`per_device_train_batch_size` is the whole batch: TRL then splits it into minibatches and makes an optimizer step of each, 16 in all.
"""

import os
import tempfile
import time
from collections.abc import Callable

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, TrainerCallback
from trl.experimental.ppo import PPOConfig, PPOTrainer

from benchmarks.scenario import (
    END,
    END_PROBABILITY,
    MAX_NEW_TOKENS,
    PAD,
    PROMPT_TOKENS,
    build_networks,
    build_prompts,
    build_tokenizer,
)
from benchmarks.worker import Worker

NUM_UPDATES = 1000


class TakeTurns(TrainerCallback):
    """Stops the clock after an update and waits for the next turn."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.num_scored = self.num_tokens = 0

    def watch(self, reward_model: torch.nn.Module) -> None:
        """Counts the tokens of the completions that the reward model is shown."""

        def count(module: torch.nn.Module, inputs: tuple, keywords: dict) -> None:
            self.num_scored += len(keywords["attention_mask"])
            self.num_tokens += int(keywords["attention_mask"].sum())

        reward_model.model.register_forward_pre_hook(count, with_kwargs=True)

    def on_step_end(self, args, state, control, **kwargs) -> None:
        """Called once an update."""
        self.worker.report(amount=1, mean_length=self.num_tokens / self.num_scored - PROMPT_TOKENS)
        self.num_scored = self.num_tokens = 0
        self.worker.wait_for_turn()


class StopWatch(TrainerCallback):
    """The seconds of each update. `wait` returns when the device has nothing left to do."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self.wait = wait
        self.seconds: list[float] = []
        self._started = 0.0

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        """Starts the clock."""
        self.wait()
        self._started = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs) -> None:
        """Called once an update."""
        self.wait()
        now = time.perf_counter()
        self.seconds.append(now - self._started)
        self._started = now


def build_trainer(
    networks: dict[str, torch.nn.Module],
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[list[int]],
    folder: str,
    callback: TrainerCallback,
    *,
    num_updates: int,
    batch_size: int,
    rows_at_once: int,
    rollout_batch_size: int,
    max_new_tokens: int,
    use_cpu: bool,
    bf16: bool = False,
    gradient_checkpointing: bool = False,
    **changes: object,
) -> PPOTrainer:
    """A trainer of 4 epochs of 4 minibatches an update that writes and reports nothing; `changes` are arguments of PPOConfig.

    When `rows_at_once` are fewer than a minibatch has, TRL adds up gradients over the whole batch: an optimizer step an epoch.
    """
    fits = rows_at_once >= batch_size // 4
    settings = {
        "output_dir": folder,
        "use_cpu": use_cpu,
        "bf16": bf16,
        "gradient_checkpointing": gradient_checkpointing,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_strategy": "no",
        "save_strategy": "no",
        "num_sample_generations": 0,
        "dataloader_num_workers": 0,
        "seed": 0,
        "total_episodes": num_updates * batch_size,
        "per_device_train_batch_size": batch_size if fits else rows_at_once,
        "gradient_accumulation_steps": 1 if fits else batch_size // rows_at_once,
        "local_rollout_forward_batch_size": rollout_batch_size,
        "num_ppo_epochs": 4,
        "num_mini_batches": 4,
        "learning_rate": 1e-7,
        "temperature": 1.0,
        "response_length": max_new_tokens,
        "stop_token_id": END,
    }
    return PPOTrainer(
        args=PPOConfig(**(settings | changes)),
        processing_class=tokenizer,
        model=networks["policy"],
        ref_model=networks["reference"],
        reward_model=networks["reward"],
        value_model=networks["value"],
        train_dataset=Dataset.from_dict({"input_ids": prompts}),
        callbacks=[callback],
    )


def main() -> None:
    """Updates, one per turn, until there are no more turns."""
    worker = Worker()
    precision, batch_size = worker.settings["precision"], worker.settings["batch_size"]
    if precision == "autocast":
        os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"  # PPOTrainer makes its Accelerator without `args.bf16`
    networks = build_networks(END_PROBABILITY if worker.settings["ends"] else 0.0)
    if precision == "bfloat16":
        networks = {name: network.bfloat16() for name, network in networks.items()}
    callback = TakeTurns(worker)
    callback.watch(networks["reward"])
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(
            networks,
            build_tokenizer(),
            build_prompts(4 * batch_size),
            folder,
            callback,
            num_updates=NUM_UPDATES,
            batch_size=batch_size,
            rows_at_once=batch_size,
            rollout_batch_size=worker.settings["rollout_batch_size"],
            max_new_tokens=MAX_NEW_TOKENS,
            use_cpu=True,
            bf16=precision == "autocast",
        )
        expected = "bf16" if precision == "autocast" else "no"
        assert trainer.accelerator.mixed_precision == expected, trainer.accelerator.mixed_precision
        assert networks["policy"].generation_config.pad_token_id == PAD
        worker.wait_for_turn()
        trainer.train()


if __name__ == "__main__":
    main()
