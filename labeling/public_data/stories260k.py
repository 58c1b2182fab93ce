"""Karpathy's stories260K, a Llama of 260,032 weights that has read TinyStories: from llama2.c's plain files to a Hugging Face folder.

A checkpoint of llama2.c (its first form, `legacy_export` there) is seven int32: width, hidden width, layers, heads, key and value heads,
size of the vocabulary, context; then float32 weights, each kind for all layers. Its queries and keys rotate neighbouring numbers
together (Su et al. 2021, "RoFormer", eq. 15), those of Hugging Face the two halves of a head, so that their rows are sorted anew.
A tokenizer is an int32, then for each token a float32 score, an int32 length and the bytes of its text. No pickle is read.
"""

import json
import struct
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save
from tokenizers import Tokenizer, decoders, normalizers, processors
from tokenizers.models import BPE

from labeling.public_data.data_set import DataSet
from labeling.public_data.repositories import Repository, RepositoryFiles
from models.errors import DataError

WEIGHTS, TOKENS = "stories260K/stories260K.bin", "stories260K/tok512.bin"
TINYLLAMAS = Repository(
    "karpathy/tinyllamas",
    "0bd21da7698eaf29a0d7de3992de8a46ef624add",
    "MIT",
    MappingProxyType(
        {
            WEIGHTS: "b0a507e7ad0f626624f17112325e66691f9076d622e1d3274d103d00299f2696",
            TOKENS: "037cb335abb25d1fa9e8ecae30ed2a3a8ace9302862ebcdc05d51a6bbb10c312",
        }
    ),
    "huggingface.co",
)
FOLDER = "models/stories260k"
UNKNOWN, BEGIN = "<unk>", "<s>"
"""Ids 0 and 1. A story begins with `<s>`, and the next story's `<s>` is its end."""


class Sizes(NamedTuple):
    """The seven numbers that a checkpoint begins with."""

    width: int
    hidden: int
    layers: int
    heads: int
    key_heads: int
    vocabulary: int
    context: int


def convert(files: Sequence[RepositoryFiles]) -> dict[str, bytes]:
    """The files of the folder. Raises DataError for what is missing or has another form."""
    (repository,) = files
    sizes, weights = read_weights(repository.read(WEIGHTS))
    tokens = read_tokens(repository.read(TOKENS), sizes.vocabulary)
    ids = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
    names = {"bos_token": BEGIN, "eos_token": BEGIN, "pad_token": UNKNOWN, "unk_token": UNKNOWN}
    of_tokenizer = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": sizes.context}
    of_tokenizer |= {"padding_side": "left", "clean_up_tokenization_spaces": False}
    return {
        f"{FOLDER}/config.json": _json(_config(sizes) | ids),
        f"{FOLDER}/generation_config.json": _json(ids),
        f"{FOLDER}/model.safetensors": save(weights, {"format": "pt"}),
        f"{FOLDER}/tokenizer.json": make_tokenizer(tokens).to_str().encode(),
        f"{FOLDER}/tokenizer_config.json": _json(of_tokenizer | names),
    }


def read_weights(content: bytes) -> tuple[Sizes, dict[str, np.ndarray]]:
    """A checkpoint's sizes, and its weights by the names that Hugging Face has for them."""
    sizes = Sizes(*struct.unpack("<7i", content[:28])) if len(content) >= 28 else Sizes(*[0] * 7)
    shapes = _shapes(sizes)
    expected = 28 + 4 * (sum(int(np.prod(shape)) for shape in shapes.values()) + _num_angles(sizes))
    if min(sizes) < 1 or len(content) != expected:
        raise DataError(f"{WEIGHTS}: no checkpoint of llama2.c: sizes {tuple(sizes)}, {len(content)} bytes")
    weights, start = {}, 28
    for name, shape in shapes.items():
        found = np.frombuffer(content, "<f4", int(np.prod(shape)), start).reshape(shape)
        start += found.nbytes
        if "{layer}" not in name:
            weights[name] = found.copy()
            continue
        for layer, of_layer in enumerate(found):
            rotates = "q_proj" in name or "k_proj" in name
            halves = _in_halves(of_layer, sizes.width // sizes.heads) if rotates else of_layer
            weights[name.format(layer=layer)] = np.ascontiguousarray(halves)
    return sizes, weights


def read_tokens(content: bytes, num_tokens: int) -> list[tuple[str, float]]:
    """(text, score) of each token; a space in a text is written as ▁."""
    tokens, start = [], 4
    try:
        for number in range(num_tokens):
            score, length = struct.unpack_from("<fi", content, start)
            text = content[start + 8 : start + 8 + length].decode()
            start += 8 + length
            special = number < 3  # llama2.c writes line breaks around them
            tokens.append((text.strip() if special else text.replace(" ", "▁"), score))
    except (struct.error, UnicodeDecodeError) as error:
        raise DataError(f"{TOKENS}: no tokenizer of llama2.c ({error})") from None
    if start != len(content) or [text for text, _ in tokens[:2]] != [UNKNOWN, BEGIN]:
        raise DataError(f"{TOKENS}: no tokenizer of llama2.c with {num_tokens} tokens")
    return tokens


def make_tokenizer(tokens: Sequence[tuple[str, float]]) -> Tokenizer:
    """Merges two tokens where the one that they make has the highest score; what no token holds is spelled in bytes (ids 3 to 258)."""
    ids = {text: number for number, (text, _) in enumerate(tokens)}
    merges: list[tuple[str, str]] = []
    for text, _ in sorted(tokens[259:], key=lambda token: -token[1]):
        halves = [(text[:place], text[place:]) for place in range(1, len(text))]
        known = [(left, right) for left, right in halves if left in ids and right in ids]
        merges += sorted(known, key=lambda two: (ids[two[0]], ids[two[1]]))
    tokenizer = Tokenizer(BPE(ids, merges, unk_token=UNKNOWN, fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    spaces = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(spaces)
    both = f"{BEGIN} $A {BEGIN} $B"
    begun = processors.TemplateProcessing(single=f"{BEGIN} $A", pair=both, special_tokens=[(BEGIN, ids[BEGIN])])
    tokenizer.post_processor = begun
    tokenizer.add_special_tokens([UNKNOWN, BEGIN])
    return tokenizer


def _shapes(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """In the order of the file."""
    layers, width, hidden = sizes.layers, sizes.width, sizes.hidden
    keys = width // max(sizes.heads, 1) * sizes.key_heads
    of_layer = "model.layers.{layer}"
    return {
        "model.embed_tokens.weight": (sizes.vocabulary, width),
        f"{of_layer}.input_layernorm.weight": (layers, width),
        f"{of_layer}.self_attn.q_proj.weight": (layers, width, width),
        f"{of_layer}.self_attn.k_proj.weight": (layers, keys, width),
        f"{of_layer}.self_attn.v_proj.weight": (layers, keys, width),
        f"{of_layer}.self_attn.o_proj.weight": (layers, width, width),
        f"{of_layer}.post_attention_layernorm.weight": (layers, width),
        f"{of_layer}.mlp.gate_proj.weight": (layers, hidden, width),
        f"{of_layer}.mlp.down_proj.weight": (layers, width, hidden),
        f"{of_layer}.mlp.up_proj.weight": (layers, hidden, width),
        "model.norm.weight": (width,),
    }


def _num_angles(sizes: Sizes) -> int:
    """Cosines and sines at the end of the file; Hugging Face computes them."""
    return sizes.context * (sizes.width // max(sizes.heads, 1))


def _in_halves(weight: np.ndarray, per_head: int) -> np.ndarray:
    """Rows 0 1 2 3 4 5 of a head become 0 2 4 1 3 5."""
    heads = weight.reshape(-1, per_head // 2, 2, weight.shape[1])
    return heads.transpose(0, 2, 1, 3).reshape(weight.shape)


def _config(sizes: Sizes) -> dict[str, Any]:
    return {
        **{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "float32"},
        **{"hidden_size": sizes.width, "intermediate_size": sizes.hidden, "num_hidden_layers": sizes.layers},
        **{"num_attention_heads": sizes.heads, "num_key_value_heads": sizes.key_heads},
        **{"vocab_size": sizes.vocabulary, "max_position_embeddings": sizes.context},
        **{"hidden_act": "silu", "rms_norm_eps": 1e-5, "tie_word_embeddings": True},
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }


def _json(values: dict[str, Any]) -> bytes:
    return f"{json.dumps(values, indent=2)}\n".encode()


STORIES260K = DataSet(
    "stories260k",
    (TINYLLAMAS,),
    tuple(
        f"{FOLDER}/{name}"
        for name in (
            *("config.json", "generation_config.json", "model.safetensors"),
            *("tokenizer.json", "tokenizer_config.json"),
        )
    ),
    "The same weights and tokens in the form of Hugging Face; <s>, with which every story begins, also ends one.",
    convert,
)
