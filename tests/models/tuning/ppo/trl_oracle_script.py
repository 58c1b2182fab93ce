"""Records one PPO update of TRL 1.12.0, for test_trl_oracle.py to compare with: writes trl_oracle.safetensors beside this file.

Nothing here imports Rein, and TRL is no dependency of it. In an environment of its own:

    pip install torch==2.13.0 transformers==5.23.0 trl==1.12.0
    python tests/models/tuning/ppo/trl_oracle_script.py

TRL's trainer runs as it is, on four networks of random weights (policy, reference, value model, reward model). Its arithmetic
stands inside one method, so each call of `accelerator.backward` copies that method's variables, and the gradients after it.
"""

import json
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import numpy as np
import torch
from datasets import Dataset
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
    TrainerCallback,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer

PAD, END = 0, 1
SHAPE = {
    "vocab_size": 16,
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
    "pad_token_id": PAD,
    "eos_token_id": END,
    "bos_token_id": None,
}
SETTINGS = {
    "kl_coef": 0.3,
    "gamma": 0.97,
    "lam": 0.9,
    "cliprange": 0.2,
    "cliprange_value": 0.2,
    "vf_coef": 0.1,
    "temperature": 0.8,
    "missing_eos_penalty": 0.75,
}
LOGGED = (
    "objective/kl",
    "objective/non_score_reward",
    "objective/rlhf_reward",
    "objective/scores",
    "policy/approxkl_avg",
    "loss/policy_avg",
    "loss/value_avg",
    "val/ratio",
)


def tiny(model_class: type, seed: int, **changes) -> torch.nn.Module:
    """A Llama of one layer, its matrices scaled up so that probabilities are far from uniform."""
    torch.manual_seed(seed)
    model = model_class(LlamaConfig(**SHAPE, **changes))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(15.0)
    return model


def words() -> PreTrainedTokenizerFast:
    vocabulary = {"<pad>": PAD, "</s>": END} | {f"w{number}": number for number in range(2, SHAPE["vocab_size"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w2"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", padding_side="left")


def prompts() -> Dataset:
    generator = torch.Generator().manual_seed(0)
    lengths = [1, 4, 2, 5, 3, 3, 5, 2]
    return Dataset.from_dict(
        {"input_ids": [torch.randint(2, SHAPE["vocab_size"], (n,), generator=generator).tolist() for n in lengths]}
    )


class Recorder(TrainerCallback):
    """Copies of TRL's variables at every backward pass, and of what it logs."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self.num_backward = 0

    def keep(self, name: str, value) -> None:
        self.tensors[name] = torch.as_tensor(value).detach().clone().contiguous()

    def watch(self, trainer: PPOTrainer) -> None:
        original = trainer.accelerator.backward

        def backward(loss: torch.Tensor) -> None:
            at = sys._getframe(1).f_locals
            if self.num_backward == 0:
                self.keep_update(at)
                self.keep_networks(trainer)
            at["new_logprobs"].retain_grad()
            at["vpred"].retain_grad()
            original(loss)
            self.keep_minibatch(f"minibatch{self.num_backward}", at)
            if self.num_backward == 0:
                for name, parameter in trainer.model.named_parameters():
                    self.keep(f"gradient.{name}", parameter.grad)
            self.num_backward += 1

        trainer.accelerator.backward = backward

    def keep_update(self, at: dict) -> None:
        self.keep("update.context_length", at["context_length"])
        for name in ("query_responses", "logprobs", "ref_logprobs", "values", "scores", "contain_eos_token"):
            self.keep(f"update.{name}", at[name])
        for name in ("padding_mask", "padding_mask_p1", "rewards", "returns", "advantages"):
            self.keep(f"update.{name}", at[name])

    def keep_networks(self, trainer: PPOTrainer) -> None:
        networks = {"model": trainer.model, "reference": trainer.ref_model, "reward": trainer.reward_model}
        for owner, network in networks.items():
            for name, tensor in network.state_dict().items():
                if not name.startswith("critic_backbone."):  # the value model's body under a second name
                    self.keep(f"{owner}.{name}", tensor)

    def keep_minibatch(self, minibatch: str, at: dict) -> None:
        self.keep(f"{minibatch}.rows", at["micro_batch_inds"])
        for name in ("new_logprobs", "vpred", "pg_loss", "vf_loss", "loss"):
            self.keep(f"{minibatch}.{name}", at[name])
        for name in ("new_logprobs", "vpred"):
            self.keep(f"{minibatch}.{name}.gradient", at[name].grad)

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        for name in LOGGED:
            self.keep(f"logged.{name}", torch.tensor(logs[name], dtype=torch.float64))


def record(folder: str, **batching) -> dict[str, torch.Tensor]:
    """One update: 8 completions, 2 passes over them."""
    scorer = {"model_class": LlamaForSequenceClassification, "num_labels": 1}
    recorder = Recorder()
    trainer = PPOTrainer(
        args=PPOConfig(
            output_dir=folder,
            use_cpu=True,
            bf16=False,
            report_to="none",
            seed=0,
            total_episodes=8,
            num_ppo_epochs=2,
            response_length=7,
            stop_token_id=END,
            num_sample_generations=0,
            save_strategy="no",
            **batching,
            **SETTINGS,
        ),
        processing_class=words(),
        model=tiny(LlamaForCausalLM, seed=1),
        ref_model=tiny(LlamaForCausalLM, seed=2),
        value_model=tiny(seed=3, **scorer),
        reward_model=tiny(seed=4, **scorer),
        train_dataset=prompts(),
        callbacks=[recorder],
    )
    recorder.watch(trainer)
    torch.manual_seed(20)  # completions of several lengths, and no padding token among what is drawn
    np.random.seed(20)
    trainer.train()
    return recorder.tensors


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        recording = record(
            scratch,
            per_device_train_batch_size=8,
            gradient_accumulation_steps=1,
            num_mini_batches=2,
            learning_rate=0.02,
        )
        # the same batch in 4 minibatches, by accumulation, and nothing learned: every ratio is 1
        still = record(
            scratch,
            per_device_train_batch_size=2,
            gradient_accumulation_steps=4,
            num_mini_batches=4,
            learning_rate=0.0,
        )
        recording["logged_without_learning.val/ratio"] = still["logged.val/ratio"]
    versions = {name: version(name) for name in ("trl", "torch", "transformers", "accelerate")}
    metadata = versions | {"settings": json.dumps(SETTINGS), "shape": json.dumps(SHAPE)}
    save_file(recording, Path(__file__).with_name("trl_oracle.safetensors"), metadata=metadata)
