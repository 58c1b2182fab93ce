"""One pass of TRL's RewardTrainer over the pairs of a set of rankings, per turn.

A ranking of K completions gives C(K, 2) pairs, each of them two sequences for the network. The clock runs from the beginning of an epoch
to its end: all optimizer steps, and the batches being put together. Checkpoints and reports are off.
"""

import tempfile

import torch
from datasets import Dataset
from transformers import TrainerCallback
from trl import RewardConfig, RewardTrainer

from benchmarks.scenario import build_rankings, build_scorer, build_tokenizer, ranked_pairs
from benchmarks.worker import Worker


class TakeTurns(TrainerCallback):
    """An epoch per turn."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def on_epoch_begin(self, args, state, control, **kwargs) -> None:
        """Waits for the turn."""
        self.worker.wait_for_turn()

    def on_epoch_end(self, args, state, control, **kwargs) -> None:
        """Stops the clock."""
        self.worker.report(amount=self.worker.settings["num_rankings"])


def build_pairs(num_rankings: int, num_completions: int) -> Dataset:
    """All pairs of the rankings as token sequences; `length` is that of the longer one."""
    rows = [
        {"chosen_ids": ranking[better], "rejected_ids": ranking[worse]}
        for ranking in build_rankings(num_rankings, num_completions)
        for better, worse in ranked_pairs(num_completions)
    ]
    return Dataset.from_list([row | {"length": max(len(row["chosen_ids"]), len(row["rejected_ids"]))} for row in rows])


def main() -> None:
    """Epochs, one per turn, until there are no more turns."""
    worker = Worker()
    precision = worker.settings["precision"]
    model = build_scorer(1)
    if precision == "bfloat16":
        model.to(torch.bfloat16)
    with tempfile.TemporaryDirectory() as folder:
        trainer = RewardTrainer(
            model=model,
            args=RewardConfig(
                output_dir=folder,
                use_cpu=True,
                bf16=precision == "autocast",
                gradient_checkpointing=False,
                report_to="none",
                disable_tqdm=True,
                logging_strategy="no",
                save_strategy="no",
                dataloader_num_workers=0,
                seed=0,
                num_train_epochs=1000,
                per_device_train_batch_size=worker.settings["batch_size"],
                learning_rate=1e-7,
                center_rewards_coefficient=0.01,
                train_sampling_strategy=worker.settings["sampling"],
                remove_unused_columns=False,
            ),
            processing_class=build_tokenizer(),
            train_dataset=build_pairs(worker.settings["num_rankings"], worker.settings["num_completions"]),
            callbacks=[TakeTurns(worker)],
        )
        trainer.train()


if __name__ == "__main__":
    main()
