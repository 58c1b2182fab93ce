"""The turns of benchmarks/own/quality.py by TRL 1.12.0's PPOTrainer: completions of held-out prompts, and an update, which is timed.

The reward is the same number: what the score is less and divided by stands in the head's bias and weight; both take 1.5 from a completion that did not
end, and their value model learns at the policy's learning rate: TRL has one for both.
"""

import copy
import json
import os
import tempfile
from pathlib import Path

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
)

from benchmarks.peers.trl_ppo import build_trainer
from benchmarks.worker import Worker

MAX_NEW_TOKENS = 24


def load_scorer(folder: Path) -> PreTrainedModel:
    """The reward model, whose logit is the normalised score."""
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    mean, std = model.config.score_mean, model.config.score_std
    head = nn.Linear(model.score.in_features, 1)
    with torch.no_grad():
        head.weight.copy_(model.score.weight / std)
        head.bias.fill_(-mean / std)
    model.score = head
    return model.eval()


@torch.no_grad()
def complete(policy: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[list[int]]) -> list[str]:
    """A completion of each prompt, drawn at temperature 1."""
    texts = []
    for start in range(0, len(prompts), 200):
        rows = prompts[start : start + 200]
        padded = tokenizer.pad({"input_ids": rows}, padding_side="left", return_tensors="pt")
        drawn = policy.generate(
            **{"input_ids": padded["input_ids"], "attention_mask": padded["attention_mask"]},
            **{"max_new_tokens": MAX_NEW_TOKENS, "do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0},
            **{"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id},
        )
        written = drawn[:, padded["input_ids"].shape[1] :]
        texts += tokenizer.batch_decode(written, skip_special_tokens=True)
    return texts


class TakeTurns(TrainerCallback):
    """Stops the clock after an update, completes the held-out prompts in a turn of its own, and waits for the next."""

    def __init__(self, worker: Worker, tokenizer: PreTrainedTokenizerBase, held_out: list[list[int]]) -> None:
        self.worker, self.tokenizer, self.held_out = worker, tokenizer, held_out

    def look_at(self, policy: PreTrainedModel) -> None:
        """Waits for a turn, completes, and waits for the next, in which an update is made."""
        self.worker.wait_for_turn()
        state = torch.random.get_rng_state()
        completions = complete(policy, self.tokenizer, self.held_out)
        torch.random.set_rng_state(state)
        self.worker.report(amount=1, completions=completions)
        self.worker.wait_for_turn()

    def on_step_end(self, args, state, control, *, model, **kwargs) -> None:
        """Called once an update."""
        self.worker.report(amount=1)
        self.look_at(model.policy)


def main() -> None:
    """Completes, learns, completes, … until there are no more turns."""
    worker = Worker()
    settings = worker.settings
    given = json.loads(Path(settings["material"]).read_text(encoding="utf-8"))
    if settings["precision"] == "autocast":
        os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"  # PPOTrainer makes its Accelerator without `args.bf16`
    tokenizer = AutoTokenizer.from_pretrained(given["policy"], padding_side="left")
    policy = AutoModelForCausalLM.from_pretrained(given["policy"], dtype=torch.float32).eval()
    scorer = load_scorer(Path(given["reward"]))
    networks = {"policy": policy, "reference": copy.deepcopy(policy), "reward": scorer, "value": copy.deepcopy(scorer)}
    if settings["precision"] == "bfloat16":
        networks = {name: network.bfloat16() for name, network in networks.items()}
    callback = TakeTurns(worker, tokenizer, settings["num_samples"] * given["held_out_tokens"])
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(
            networks,
            tokenizer,
            given["prompt_tokens"],
            folder,
            callback,
            num_updates=settings["num_updates"],
            batch_size=64,
            rows_at_once=64,
            rollout_batch_size=64,
            max_new_tokens=MAX_NEW_TOKENS,
            use_cpu=True,
            bf16=settings["precision"] == "autocast",
            **{"learning_rate": settings["learning_rate"], "num_ppo_epochs": settings["num_epochs"]},
            num_mini_batches=settings["num_minibatches"],
            **{"kl_coef": 0.03, "missing_eos_penalty": 1.5},
            **{"stop_token_id": tokenizer.eos_token_id, "seed": given["seed"]},
        )
        callback.look_at(networks["policy"])
        trainer.train()


if __name__ == "__main__":
    main()
