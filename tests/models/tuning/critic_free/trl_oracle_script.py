"""Records two optimizer steps each of TRL 1.12.0's RLOO and GRPO, for test_trl_oracle.py: writes trl_oracle.safetensors beside this file.

Nothing here imports Rein, and TRL is no dependency of it. In an environment of its own:

    pip install torch==2.13.0 transformers==5.24.0 trl==1.12.0 requests
    python tests/models/tuning/critic_free/trl_oracle_script.py

TRL's trainers run as they are, on a policy and a reference of random weights, and take two steps on one batch of 2 prompts with 4
completions each. Their methods are wrapped: what goes in and comes out is copied, and the gradients after each step's backward pass.
"""

import json
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
from datasets import Dataset
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

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
SETTINGS = {"beta": 0.3, "epsilon": 0.2, "temperature": 0.8, "num_generations": 4, "max_completion_length": 7}
PAPER = {"use_bias_correction_kl": False}  # the KL term as Shao et al. 2024 have it
OWN = {
    "rloo": (RLOOTrainer, RLOOConfig, {}),
    "grpo": (GRPOTrainer, GRPOConfig, {"loss_type": "grpo", "scale_rewards": "group"} | PAPER),
    "dr_grpo": (GRPOTrainer, GRPOConfig, {"loss_type": "dr_grpo", "scale_rewards": "none"} | PAPER),
}
SEED = 1  # completions of 5, 6 and 7 tokens, and no padding token among what is drawn
PROMPTS = ["w3 w5 w9 w4", "w7"]


def tiny(seed: int) -> LlamaForCausalLM:
    """A Llama of one layer, its matrices scaled up so that probabilities are far from uniform."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE))
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


def record(name: str, folder: Path, seed: int = SEED) -> dict[str, torch.Tensor]:
    """Two steps on one batch, all tensors by their names."""
    trainer_class, config_class, own = OWN[name]
    recording: dict[str, torch.Tensor] = {}

    def keep(key: str, value: torch.Tensor) -> None:
        recording[f"{name}.{key}"] = value.detach().clone().contiguous()

    def score(completion_ids: list[list[int]], **_) -> list[float]:
        """Something that differs from completion to completion."""
        scores = [sum(tokens) / 20 - len(tokens) / 5 for tokens in completion_ids]
        keep("scores", torch.tensor(scores))
        return scores

    trainer = trainer_class(
        model=str(folder / "reference"),
        reward_funcs=score,
        args=config_class(
            output_dir=str(folder / name),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            save_strategy="no",
            seed=4,
            per_device_train_batch_size=8,
            gradient_accumulation_steps=1,
            num_iterations=2,
            max_steps=2,
            learning_rate=0.02,
            lr_scheduler_type="constant",
            max_grad_norm=1e9,
            **SETTINGS,
            **own,
        ),
        train_dataset=Dataset.from_dict({"prompt": PROMPTS}),
        processing_class=words(),
    )
    trainer.model.load_state_dict(tiny(seed=1).state_dict())
    for owner, network in (("policy", trainer.model), ("reference", trainer.ref_model)):
        for key, tensor in network.state_dict().items():
            keep(f"{owner}.{key}", tensor)
    generate, logprobs, loss_of = (
        trainer._generate_and_score_completions,
        trainer._get_per_token_logps_and_entropies,
        trainer._compute_loss,
    )
    steps, passes = [], []

    def watched_generation(inputs):
        batch = generate(inputs)
        for key in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "advantages"):
            keep(key, batch[key])
        keep("old_logprobs", passes[0])
        keep("reference_logprobs", passes[1])
        return batch | {"row": torch.arange(len(batch["advantages"]))}  # TRL shuffles the batch before each step

    def watched_logprobs(*given, **named):
        told = logprobs(*given, **named)
        passes.append(told[0])
        return told

    def watched_loss(model, inputs):
        loss = loss_of(model, inputs)
        of_tokens = passes[-1]
        of_tokens.retain_grad()
        steps.append((inputs["row"], of_tokens, loss))
        return loss

    backward = trainer.accelerator.backward

    def watched_backward(loss, **named):
        backward(loss, **named)
        rows, of_tokens, own_loss = steps[-1]
        step = f"step{len(steps) - 1}"
        keep(f"{step}.rows", rows)
        keep(f"{step}.loss", own_loss)
        keep(f"{step}.logprobs", of_tokens)
        keep(f"{step}.logprobs.gradient", of_tokens.grad)
        for key, parameter in trainer.model.named_parameters():
            keep(f"{step}.gradient.{key}", parameter.grad)

    trainer._generate_and_score_completions = watched_generation
    trainer._get_per_token_logps_and_entropies = watched_logprobs
    trainer._compute_loss = watched_loss
    trainer.accelerator.backward = watched_backward
    torch.manual_seed(seed)
    trainer.train()
    return recording


if __name__ == "__main__":
    torch.set_num_threads(1)
    recording = {}
    with tempfile.TemporaryDirectory() as scratch:
        tiny(seed=2).save_pretrained(Path(scratch) / "reference")
        words().save_pretrained(Path(scratch) / "reference")
        for one in OWN:
            recording |= record(one, Path(scratch))
    versions = {name: version(name) for name in ("trl", "torch", "transformers", "accelerate")}
    metadata = versions | {"settings": json.dumps(SETTINGS), "shape": json.dumps(SHAPE)}
    save_file(recording, Path(__file__).with_name("trl_oracle.safetensors"), metadata=metadata)
    for key, value in recording.items():
        if value.numel() < 80:
            print(key, value.tolist())
