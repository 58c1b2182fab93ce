"""transformers 4.57 reads what Rein saves as transformers 5 does. `make test-older-transformers` makes an environment that has it."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from models.network.networks import RewardModel, save_policy
from tests.models.conftest import enliven, with_random_head
from tests.models.network.older_reader import read
from tests.models.network.strangers_tokenizers import KINDS
from tests.tolerances import close

PYTHON = Path(__file__).resolve().parents[3] / ".transformers-4.57/bin/python"
pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="make test-older-transformers installs transformers 4.57")

SHAPE = {
    "vocab_size": 400,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
SHAPE |= {
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
IDS = [1, *range(10, 50), 2]
HEADS_ALIKE = {"num_key_value_heads": 4}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
LLAMA_3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
BY_LAYER = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 9e5},
    "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
}
ALL_LAYERS = {kind: {"rope_type": "default", "rope_theta": 9e4} for kind in BY_LAYER}
LONG = {"short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [1.5, 2.0, 3.0, 4.0]}


def rope(theta: float, kind: str = "default", **more) -> dict:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": theta, **more}}


NETWORKS = {  # name: (model type, settings); thetas are not those that the older version falls back to
    "llama": ("llama", rope(5e5)),
    "llama-3.1": ("llama", rope(5e5, "llama3", **LLAMA_3)),
    "llama-linear": ("llama", rope(2e4, "linear", factor=4.0)),
    "llama-dynamic": ("llama", rope(2e4, "dynamic", factor=4.0)),
    "llama-yarn": ("llama", rope(2e4, "yarn", factor=4.0, original_max_position_embeddings=16)),
    "smollm3": ("smollm3", rope(2e5)),
    "mistral": ("mistral", rope(1e6) | {"sliding_window": 8}),
    "mixtral": ("mixtral", rope(1e5) | {"num_local_experts": 4}),
    "qwen2": ("qwen2", rope(1e6) | {"tie_word_embeddings": True}),
    "qwen2-yarn": ("qwen2", rope(1e6, "yarn", factor=4.0)),
    "qwen3": ("qwen3", rope(1e6) | {"head_dim": 16}),
    "qwen3-moe": ("qwen3_moe", rope(1e6) | EXPERTS | {"head_dim": 8, "num_experts": 4}),
    "gemma2": ("gemma2", rope(2e4) | {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 8}),
    "gemma3": (
        "gemma3_text",
        {"rope_parameters": BY_LAYER, "num_hidden_layers": 6, "head_dim": 16, "sliding_window": 8},
    ),
    "olmo3": ("olmo3", {"num_hidden_layers": 4, "sliding_window": 8} | rope(2e5)),
    "olmoe": ("olmoe", rope(2e5) | {"num_experts": 4, "num_experts_per_tok": 2}),
    "phi": ("phi", rope(2e4, partial_rotary_factor=0.25)),
    "phi3": ("phi3", rope(2e4)),
    "phi3-long": ("phi3", rope(2e4, "longrope", **LONG) | {"original_max_position_embeddings": 16}),
    "stablelm": ("stablelm", rope(2e4, partial_rotary_factor=0.5)),
    "glm4": ("glm4", rope(2e5, partial_rotary_factor=0.5) | {"head_dim": 8}),
    "cohere2": ("cohere2", rope(2e4) | {"sliding_window": 8}),
    "falcon": ("falcon", rope(2e4) | HEADS_ALIKE),
    "gpt-neox": ("gpt_neox", rope(2e4, partial_rotary_factor=0.5) | HEADS_ALIKE),
    "gpt-neox-japanese": (
        "gpt_neox_japanese",
        rope(2e4, partial_rotary_factor=0.5) | HEADS_ALIKE | {"intermediate_multiple_size": 2},
    ),
    "modernbert": ("modernbert-decoder", {"rope_parameters": ALL_LAYERS, "local_attention": 8, "cls_token_id": 1}),
    "granite": ("granite", rope(2e5) | {"embedding_multiplier": 12.0, "logits_scaling": 8.0}),
    "gpt2": ("gpt2", {"n_positions": 64} | HEADS_ALIKE),
    "bloom": ("bloom", HEADS_ALIKE),
}


def network(name: str) -> torch.nn.Module:
    kind, settings = NETWORKS[name]
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **json.loads(json.dumps(SHAPE | settings)))
    return enliven(AutoModelForCausalLM.from_config(config, attn_implementation="eager")).eval()


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """A folder of saved models that the older version has read."""
    folder = tmp_path_factory.mktemp("saved")
    (folder / "ids.json").write_text(json.dumps(IDS))
    for name in NETWORKS:
        save_policy(folder / name, network(name), KINDS["SmolLM2"]())
    for kind in KINDS:
        tokenizer = KINDS[kind]()
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|tool|>"]})
        save_policy(folder / f"of {kind}", network("llama"), tokenizer)
    save_policy(folder / "of bfloat16", network("llama").bfloat16(), KINDS["SmolLM2"]())
    reward_model = with_random_head(RewardModel.start(folder / "llama-3.1", seed=0))
    reward_model.save(folder / "reward", KINDS["SmolLM2"]())
    subprocess.run([PYTHON, Path(__file__).with_name("older_reader.py"), folder], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("name", [*NETWORKS, *(f"of {kind}" for kind in KINDS), "of bfloat16", "reward"])
def test_the_older_version_finds_the_same(folders, name):
    found, expected = json.loads((folders / name / "older.json").read_text()), read(folders / name)
    assert "error" not in found, found["error"]
    numbers = expected.pop("numbers")
    if name in NETWORKS:  # what is read is what was saved, in this version too
        assert close(numbers, network(name)(torch.tensor([IDS])).logits.log_softmax(-1), tolerance=1e-4)
        for special in (found, expected):
            del special["special"]  # transformers 5 adds those of a Qwen to any tokenizer that it finds beside one
    assert close(load_file(folders / name / "older.safetensors")["numbers"], numbers, tolerance=1e-4)
    assert found == json.loads(json.dumps(expected))
