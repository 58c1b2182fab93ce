"""What a saved folder holds besides weights, and that other readers than Rein find the same model there."""

import json

import pytest
from transformers import AutoTokenizer

from models.network.base import load_base
from models.network.networks import load_policy, save_policy
from models.settings.training import PretrainedBase
from tests.models.network.strangers_tokenizers import KINDS

SAID = {  # no do_sample, as in published models whose makers sample all the same
    "temperature": 0.6,
    "top_p": 0.9,
    "top_k": 20,
    "repetition_penalty": 1.05,
    "max_length": 4096,
    "bos_token_id": 1,
    "pad_token_id": 0,
    "suppress_tokens": [7, 8],
    "makers_own": "kept",
}


def read(file) -> dict:
    return json.loads(file.read_text())


def test_all_that_the_makers_said_of_generation_is_kept(tmp_path, policy, tokenizer):
    save_policy(tmp_path / "makers", policy, tokenizer)
    (tmp_path / "makers/generation_config.json").write_text(json.dumps(SAID))
    model, read_tokenizer = load_base(PretrainedBase(model=str(tmp_path / "makers")))
    save_policy(tmp_path / "base", model, read_tokenizer)
    save_policy(tmp_path / "policy", *load_policy(tmp_path / "base"))
    kept = read(tmp_path / "policy/generation_config.json")
    assert {name: kept.get(name) for name in SAID} == SAID
    assert kept["eos_token_id"] == [tokenizer.eos_token_id]  # which the makers left out


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_is_read_as_it_was_saved(tmp_path, policy, kind):
    tokenizer = KINDS[kind]()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|tool|>"]})
    save_policy(tmp_path, policy, tokenizer)
    saved, again = read(tmp_path / "tokenizer_config.json"), AutoTokenizer.from_pretrained(tmp_path)
    # the names of transformers 4, which has no TokenizersBackend and takes extra_special_tokens for a table
    assert saved["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert saved["additional_special_tokens"] == ["<|tool|>"] and "extra_special_tokens" not in saved
    text = "How are you?  Fine, <|tool|> thanks.\n"
    assert again(text).data == tokenizer(text).data
    assert again.special_tokens_map == tokenizer.special_tokens_map and again.all_special_ids == tokenizer.all_special_ids
    turns = [{"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Fine"}]
    assert again.apply_chat_template(turns, tokenize=False) == tokenizer.apply_chat_template(turns, tokenize=False)
