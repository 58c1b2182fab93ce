"""A checkpoint of llama2.c with random weights says the same in Hugging Face's form, by llama2.c's own formulas in numpy."""

import json
import os
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from labeling.public_data.data_set import fill
from labeling.public_data.stories260k import FOLDER, STORIES260K, TINYLLAMAS, TOKENS, WEIGHTS
from models.errors import DataError
from tests.labeling.public_data.raw_files import as_folders

DATA = Path(os.environ.get("REIN_DATA", "/nowhere"))
WIDTH, HIDDEN, LAYERS, HEADS, KEY_HEADS, CONTEXT = 16, 20, 2, 4, 2, 8
PER_HEAD = WIDTH // HEADS
LEARNED = [" t", "he", " the", "in", "ing", "th", "hi", "thi", *" theingsa"]
"""Tokens in the order of their scores."""
VOCABULARY = 259 + len(LEARNED)


def raw_tokens(learned: list[str]) -> bytes:
    texts = ["<unk>", "\n<s>\n", "\n</s>\n", *(f"<0x{byte:02X}>" for byte in range(256)), *learned]
    scores = [0.0] * 259 + [-float(number) for number in range(len(learned))]
    written = [(score, text.encode()) for score, text in zip(scores, texts, strict=True)]
    longest = struct.pack("<i", max(len(text) for _, text in written))
    return longest + b"".join(struct.pack("<fi", score, len(text)) + text for score, text in written)


def random_weights() -> dict[str, np.ndarray]:
    """By llama2.c's names, in the order of its file."""
    draw = np.random.default_rng(0)
    keys = KEY_HEADS * PER_HEAD
    shapes = {
        **{"embedding": (VOCABULARY, WIDTH), "attention_norm": (LAYERS, WIDTH), "wq": (LAYERS, WIDTH, WIDTH)},
        **{"wk": (LAYERS, keys, WIDTH), "wv": (LAYERS, keys, WIDTH), "wo": (LAYERS, WIDTH, WIDTH)},
        **{"ffn_norm": (LAYERS, WIDTH), "w1": (LAYERS, HIDDEN, WIDTH), "w2": (LAYERS, WIDTH, HIDDEN)},
        **{"w3": (LAYERS, HIDDEN, WIDTH), "norm": (WIDTH,), "angles": (CONTEXT, PER_HEAD)},
    }
    return {name: (draw.normal(size=shape) / 2).astype("<f4") for name, shape in shapes.items()}


def raw_weights(weights: dict[str, np.ndarray]) -> bytes:
    head = struct.pack("<7i", WIDTH, HIDDEN, LAYERS, HEADS, KEY_HEADS, VOCABULARY, CONTEXT)
    return head + b"".join(one.tobytes() for one in weights.values())


def logits_of(weights: dict[str, np.ndarray], tokens: list[int]) -> np.ndarray:
    """Logits after each token, as run.c computes them: neighbours rotate together by position / 10000^(2i / size of a head)."""

    def normed(x, weight):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * weight

    def rotated(x):
        angles = np.arange(len(x))[:, None] / 10000.0 ** (np.arange(0, PER_HEAD, 2) / PER_HEAD)
        cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
        even, odd = x[..., 0::2], x[..., 1::2]
        return np.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(x.shape)

    x = weights["embedding"][tokens].astype(float)
    later = np.triu(np.full((len(tokens), len(tokens)), -np.inf), 1)
    for layer in range(LAYERS):
        seen = normed(x, weights["attention_norm"][layer])
        query, key, value = (
            (seen @ weights[name][layer].T).reshape(len(x), -1, PER_HEAD) for name in ("wq", "wk", "wv")
        )
        query, key = rotated(query), rotated(key)
        heard = []
        for head in range(HEADS):
            shared = head // (HEADS // KEY_HEADS)
            scores = query[:, head] @ key[:, shared].T / np.sqrt(PER_HEAD) + later
            share = np.exp(scores - scores.max(-1, keepdims=True))
            heard.append(share / share.sum(-1, keepdims=True) @ value[:, shared])
        x = x + np.concatenate(heard, -1) @ weights["wo"][layer].T
        seen = normed(x, weights["ffn_norm"][layer])
        gate = seen @ weights["w1"][layer].T
        x = x + (gate / (1 + np.exp(-gate)) * (seen @ weights["w3"][layer].T)) @ weights["w2"][layer].T
    return normed(x, weights["norm"]) @ weights["embedding"].T


def made(tmp_path: Path, weights: bytes, tokens: bytes) -> Path:
    copies = as_folders({"tinyllamas": {WEIGHTS: weights, TOKENS: tokens}}, tmp_path / "copies")
    fill(STORIES260K, tmp_path / "data", copies)
    return tmp_path / "data" / FOLDER


@pytest.fixture
def folder(tmp_path) -> Path:
    return made(tmp_path, raw_weights(random_weights()), raw_tokens(LEARNED))


def test_the_model_computes_what_llama2_c_computes(folder):
    tokens = [1, 262, 270, 3, 261, 40, 265]
    model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
    ends = model.generation_config.bos_token_id, model.generation_config.eos_token_id, model.config.eos_token_id
    assert ends == (1, 1, 1)
    with torch.no_grad():
        found = model(torch.tensor([tokens])).logits[0].numpy()
    assert np.allclose(found, logits_of(random_weights(), tokens), atol=1e-4)


def spelled(text: str) -> list[str]:
    """As run.c does it: characters, or the bytes of one that no token is; then again and again the neighbours that make the best token."""
    pieces = [piece for one in f" {text}" for piece in ([one] if one in LEARNED else list(one.encode()))]
    while True:
        joined = [
            left + right if isinstance(left, str) and isinstance(right, str) else "" for left, right in pairwise(pieces)
        ]
        places = [place for place, one in enumerate(joined) if one in LEARNED]
        if not places:
            return [one.replace(" ", "▁") if isinstance(one, str) else f"<0x{one:02X}>" for one in pieces]
        best = min(places, key=lambda place: LEARNED.index(joined[place]))
        pieces[best : best + 2] = [joined[best]]


@pytest.mark.parametrize("text", ["the thing", "hithithe athi", "a thé in hinges", "then  the", "", "in\nit"])
def test_the_tokenizer_spells_as_llama2_c_does(folder, text):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"]) == ["<s>", *(spelled(text) if text else [])]
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 1, 0)


@pytest.mark.parametrize(
    ("weights", "tokens", "said"),
    [
        (
            raw_weights(random_weights())[:-4],
            raw_tokens(LEARNED),
            r"stories260K.bin: no checkpoint of llama2.c: sizes \(16, ",
        ),
        (bytes(28), raw_tokens(LEARNED), r"stories260K.bin: no checkpoint of llama2.c: sizes \(0, .*, 28 bytes"),
        (b"PK", raw_tokens(LEARNED), r"stories260K.bin: no checkpoint of llama2.c: sizes \(0, .*, 2 bytes"),
        (raw_weights(random_weights()), raw_tokens(LEARNED)[:-1], r"tok512.bin: no tokenizer of llama2.c"),
        (raw_weights(random_weights()), raw_tokens(LEARNED[1:]), r"tok512.bin: no tokenizer of llama2.c"),
        (raw_weights(random_weights()), raw_tokens([*LEARNED, "x"]), r"tok512.bin: no tokenizer of llama2.c with 2"),
    ],
)
def test_other_files_are_refused(tmp_path, weights, tokens, said):
    with pytest.raises(DataError, match=said):
        made(tmp_path, weights, tokens)


def with_neighbours(weight: np.ndarray, per_head: int) -> np.ndarray:
    """Rows 0 2 4 1 3 5 of a head become 0 1 2 3 4 5."""
    order = np.arange(len(weight)).reshape(-1, 2, per_head // 2).swapaxes(1, 2).ravel()
    return weight[order]


@pytest.mark.skipif(not DATA.is_dir(), reason="REIN_DATA is not set: no folder with the real model")
def test_the_real_model_comes_out_of_the_published_files(tmp_path):
    """Which are written here from the real model: byte for byte the published ones, by their sha256."""
    real = DATA / FOLDER
    weights = load_file(real / "model.safetensors")
    sizes = (64, 172, 5, 8, 4, 512, 512)
    of_layers = ["input_layernorm", *(f"self_attn.{one}_proj" for one in "qkvo"), "post_attention_layernorm"]
    of_layers += ["mlp.gate_proj", "mlp.down_proj", "mlp.up_proj"]
    parts = [struct.pack("<7i", *sizes), weights["model.embed_tokens.weight"].tobytes()]
    for name in of_layers:
        for layer in range(5):
            weight = weights[f"model.layers.{layer}.{name}.weight"]
            parts.append((with_neighbours(weight, 8) if name[-6:] in ("q_proj", "k_proj") else weight).tobytes())
    angles = torch.outer(torch.arange(512), 1.0 / 10000.0 ** (torch.arange(0, 8, 2).float() / 8))
    parts += [weights["model.norm.weight"].tobytes(), angles.cos().numpy().tobytes(), angles.sin().numpy().tobytes()]
    vocabulary = json.loads((real / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    learned = [text.replace("▁", " ") for text in sorted(vocabulary, key=vocabulary.__getitem__)[259:]]

    copies = as_folders({"tinyllamas": {WEIGHTS: b"".join(parts), TOKENS: raw_tokens(learned)}}, tmp_path / "copies")
    assert fill(STORIES260K, tmp_path / "data", copies).unlike_the_known == []
    assert TINYLLAMAS.sha256.keys() == {WEIGHTS, TOKENS}
    found = tmp_path / "data" / FOLDER
    again = load_file(found / "model.safetensors")
    assert again.keys() == weights.keys() and all((again[name] == weights[name]).all() for name in weights)
    texts = [json.loads((one / "tokenizer.json").read_text(encoding="utf-8")) for one in (found, real)]
    assert texts[0] == texts[1]
    configs = [json.loads((one / "config.json").read_text(encoding="utf-8")) for one in (found, real)]
    assert configs[0].items() <= configs[1].items()
