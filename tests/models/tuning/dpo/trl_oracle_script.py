"""Records the loss of TRL 1.12.0's DPOTrainer, for test_dpo.py to compare with: writes trl_oracle.safetensors beside this file.

Nothing here imports Rein, and TRL is no dependency of it. In an environment of its own:

    pip install torch==2.13.0 transformers==5.23.0 trl==1.12.0
    python tests/models/tuning/dpo/trl_oracle_script.py

TRL's trainer runs as it is, on a policy and a reference of random weights. Two prompts have three completions each, and so three
pairs; the same batch with chosen and rejected exchanged says what the other half of a tie is.
"""

import json
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import torch
from datasets import Dataset
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

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
BETA = 0.3
PROMPTS = ["w2 w3 w4", "w5"]
COMPLETIONS = [["w6 w7", "w8", "w9 w10 w11 w12"], ["w13 w2 w3", "w4 w4", "w15"]]
PAIRS = [(0, 1), (2, 0), (2, 1)]
"""Places among a prompt's completions, the preferred one first; the same for both prompts."""


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
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>")


def pairs() -> Dataset:
    rows = [
        {"prompt": prompt, "chosen": f" {own[chosen]} </s>", "rejected": f" {own[rejected]} </s>"}
        for prompt, own in zip(PROMPTS, COMPLETIONS, strict=True)
        for chosen, rejected in PAIRS
    ]
    return Dataset.from_list(rows)


def record(folder: str) -> dict[str, torch.Tensor]:
    trainer = DPOTrainer(
        model=tiny(seed=1),
        ref_model=tiny(seed=2),
        args=DPOConfig(
            output_dir=folder,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            beta=BETA,
            per_device_train_batch_size=len(PROMPTS) * len(PAIRS),
        ),
        processing_class=words(),
        train_dataset=pairs(),
    )
    batch = trainer.data_collator([trainer.train_dataset[row] for row in range(len(trainer.train_dataset))])
    trainer.model.train()
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    logged = {name: values[0] for name, values in trainer._metrics["train"].items() if values}
    trainer._metrics["train"].clear()
    exchanged = {name: torch.cat(tensor.chunk(2)[::-1]) for name, tensor in batch.items()}
    tensors = {f"batch.{name}": tensor for name, tensor in batch.items()}
    tensors |= {f"policy.{name}": tensor for name, tensor in trainer.model.state_dict().items()}
    tensors |= {f"reference.{name}": tensor for name, tensor in trainer.ref_model.state_dict().items()}
    tensors |= {f"gradient.{name}": parameter.grad for name, parameter in trainer.model.named_parameters()}
    tensors |= {"loss": loss, "loss_exchanged": trainer.compute_loss(trainer.model, exchanged)}
    names = [name for name in logged if name.startswith(("rewards/", "logps/"))]
    tensors |= {f"logged.{name}": torch.tensor(logged[name], dtype=torch.float64) for name in names}
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        recording = record(scratch)
    versions = {name: version(name) for name in ("trl", "torch", "transformers", "accelerate")}
    metadata = versions | {"shape": json.dumps(SHAPE), "beta": str(BETA)}
    save_file(recording, Path(__file__).with_name("trl_oracle.safetensors"), metadata=metadata)
    print({name: tensor.tolist() for name, tensor in recording.items() if tensor.numel() == 1}, file=sys.stderr)
