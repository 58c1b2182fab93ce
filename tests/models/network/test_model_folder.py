"""What a saved folder holds besides weights, and that other readers than Rein find the same model there."""

import json
import re

import pytest
import torch
from transformers import AutoTokenizer, GraniteConfig, GraniteForCausalLM

from models.generation.sampling import sample_completions
from models.network.base import load_base
from models.network.networks import RewardModel, load_policy, save_policy
from models.rewards.pairwise import score_texts
from models.settings.training import PretrainedBase
from tests.models.conftest import with_random_head
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
    assert (
        again.special_tokens_map == tokenizer.special_tokens_map and again.all_special_ids == tokenizer.all_special_ids
    )
    turns = [{"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Fine"}]
    assert again.apply_chat_template(turns, tokenize=False) == tokenizer.apply_chat_template(turns, tokenize=False)


HOT = "My house is too hot. What can I do?"


def run_readme(folder, monkeypatch, capsys) -> list[str]:
    """What the code in a model's README prints, block by block, as it stands there."""
    monkeypatch.chdir(folder)
    names: dict = {}
    printed = []
    for block in re.findall("```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL):
        assert len(block.strip().splitlines()) <= 12
        capsys.readouterr()
        exec(block, names)
        printed.append(capsys.readouterr().out)
    return printed


def test_the_readme_of_a_policy_writes_what_rein_samples(tmp_path, policy, tokenizer, monkeypatch, capsys):
    save_policy(tmp_path, policy, tokenizer)
    settings = {"max_new_tokens": 48, "temperature": 1e-4, "batch_size": 1, "seed": 0}
    (sample,) = sample_completions(policy, tokenizer, [HOT], **settings)
    (printed,) = run_readme(tmp_path, monkeypatch, capsys)
    assert printed.strip() == sample.text != ""


@pytest.mark.parametrize("kind", ["scratch", *KINDS])
def test_the_readme_of_a_reward_model_gives_its_score(tmp_path, policy, tokenizer, kind, monkeypatch, capsys):
    if kind != "scratch":
        policy.resize_token_embeddings(420)
        tokenizer = KINDS[kind]()
    save_policy(tmp_path / "base", policy, tokenizer)
    reward_model = with_random_head(RewardModel.start(tmp_path / "base", seed=0))
    reward_model.set_normalisation(mean=0.3, std=2.0)
    reward_model.save(tmp_path / "reward", tokenizer)
    score = score_texts(reward_model, tokenizer, [HOT], ["Open a window."]).item()
    by_hand, by_pipeline = run_readme(tmp_path / "reward", monkeypatch, capsys)
    assert float(by_hand) == pytest.approx(score, abs=1e-5)
    (found,) = eval(by_pipeline)
    assert found["label"] == "logit" and found["score"] == pytest.approx(2.0 * score + 0.3, abs=1e-5)


def test_the_readme_of_a_network_without_a_class_for_scores_makes_one(tmp_path, tokenizer, monkeypatch, capsys):
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    policy = GraniteForCausalLM(GraniteConfig(vocab_size=300, max_position_embeddings=96, **shape, **ids))
    save_policy(tmp_path / "base", policy, tokenizer)
    reward_model = with_random_head(RewardModel.start(tmp_path / "base", seed=0))
    reward_model.save(tmp_path / "reward", tokenizer)
    _, by_hand, _ = run_readme(tmp_path / "reward", monkeypatch, capsys)
    score = score_texts(reward_model, tokenizer, [HOT], ["Open a window."]).item()
    assert float(by_hand) == pytest.approx(score, abs=1e-5)
