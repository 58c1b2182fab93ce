"""Policy, reward model and value model: what they compute, and that ordinary Hugging Face classes load what they save."""

import copy
import json

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from models.errors import ConfigError
from models.network.base import load_base
from models.network.dialogue import end_token, end_tokens
from models.network.networks import (
    RewardModel,
    ValueModel,
    build_policy,
    freeze,
    load_policy,
    save_policy,
    train_tokenizer,
)
from models.network.packing import PackedBatch
from models.settings.training import PretrainedBase, ScratchBase
from tests.models.conftest import CORPUS, with_random_head
from tests.tolerances import close

SEQUENCES = [[1, 20, 30, 2], [1, 40, 2], [1, 50, 60, 70, 80, 90, 2]]
SHAPE = ScratchBase(vocab_size=300, hidden_size=32, num_layers=2, num_heads=4, context_length=96)


def equal_weights(one: nn.Module, other: nn.Module) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


# tokenizer and policy


def test_the_same_texts_train_the_same_tokenizer(tokenizer):
    again = train_tokenizer(CORPUS, vocab_size=300)
    assert again.get_vocab() == tokenizer.get_vocab()
    assert len(tokenizer) == 300
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)


@pytest.mark.parametrize("text", ["turn the water off", "Ünïcode 水, tabs\tand\nlines", "  two  spaces "])
def test_every_text_survives_encoding(tokenizer, text):
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text


def test_the_seed_decides_the_weights(tokenizer):
    first, again, other = (build_policy(SHAPE, tokenizer, seed) for seed in (0, 0, 1))
    assert equal_weights(first, again)
    assert not equal_weights(first, other)
    assert first.lm_head.weight is first.model.embed_tokens.weight
    assert first.config.max_position_embeddings == 96 and first.config.pad_token_id == tokenizer.pad_token_id


def test_plain_transformers_loads_a_saved_policy(policy, tokenizer, tmp_path):
    save_policy(tmp_path, policy, tokenizer)
    assert (tmp_path / "model.safetensors").exists()
    plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert equal_weights(plain, policy)
    ids = torch.tensor([SEQUENCES[2]])
    assert close(plain(ids).logits, policy(ids).logits, tolerance=0)
    loaded, loaded_tokenizer = load_policy(tmp_path)
    assert equal_weights(loaded, policy) and not loaded.training
    assert loaded_tokenizer.get_vocab() == tokenizer.get_vocab()
    assert loaded_tokenizer.chat_template == tokenizer.chat_template
    assert loaded_tokenizer.pad_token_id == tokenizer.pad_token_id


def test_freeze_takes_gradients_and_dropout_away(gpt2):
    frozen = freeze(gpt2.train())
    assert frozen is gpt2
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert not any(module.training for module in frozen.modules())


# loading a base


def test_load_base_reads_a_folder(base_folder_once, policy):
    model, tokenizer = load_base(PretrainedBase(model=str(base_folder_once)))
    assert equal_weights(model, policy)
    assert next(model.parameters()).dtype == torch.float32
    assert tokenizer.pad_token_id == model.config.pad_token_id == 0


def test_load_base_names_a_folder_that_does_not_exist(tmp_path):
    missing = tmp_path / "nowhere"
    with pytest.raises(ConfigError, match=r"base\.model '.*nowhere' cannot be loaded"):
        load_base(PretrainedBase(model=str(missing)))


def test_load_base_takes_the_template_from_the_config(tmp_path, policy, tokenizer):
    bare = copy.deepcopy(tokenizer)
    bare.pad_token, bare.chat_template = None, None
    save_policy(tmp_path, policy, bare)
    with pytest.raises(ConfigError, match=r"base\.chat_template"):
        load_base(PretrainedBase(model=str(tmp_path)))
    template = tokenizer.chat_template + "{# mine #}"
    _, loaded = load_base(PretrainedBase(model=str(tmp_path), chat_template=template))
    assert loaded.chat_template == template and loaded.pad_token is None


TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '<|end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


def test_a_completion_ends_with_every_token_that_its_makers_say(tmp_path, policy, tokenizer):
    """Those of the generation config (a list), the end of the template's turns, and the end of a text; or those that the config names."""
    own = copy.deepcopy(tokenizer)
    own.add_special_tokens({"additional_special_tokens": ["<|end|>", "<|other|>"]})
    own.chat_template = TEMPLATE
    policy.resize_token_embeddings(len(own))
    end, other = own.convert_tokens_to_ids(["<|end|>", "<|other|>"])
    policy.generation_config.eos_token_id = [other]
    save_policy(tmp_path, policy, own)
    model, loaded = load_base(PretrainedBase(model=str(tmp_path)))
    assert set(end_tokens(model)) == {other, end, 2} and end_token(loaded) == end
    save_policy(tmp_path / "again", model, loaded)
    assert set(end_tokens(load_policy(tmp_path / "again")[0])) == {other, end, 2}
    model, _ = load_base(PretrainedBase(model=str(tmp_path), end_tokens=["<|other|>"]))
    assert end_tokens(model) == [other]
    for named, complaint in ((["<|gone|>"], r"base\.end_tokens: '<\|gone\|>' is not a token"), ([], "is empty")):
        with pytest.raises(ConfigError, match=complaint):
            load_base(PretrainedBase(model=str(tmp_path), end_tokens=named))


def test_a_token_that_fills_rows_is_learned_like_any_other(tmp_path, tokenizer):
    own = copy.deepcopy(tokenizer)
    own.pad_token = "</s>"
    save_policy(tmp_path, build_policy(SHAPE, own, seed=0), own)
    model, _ = load_policy(tmp_path)
    model.model.embed_tokens(torch.tensor([2, 2, 5])).sum().backward()
    # the sum's gradient is 1 in each of the 32 places of a row that was looked up, once for every time
    assert model.model.embed_tokens.weight.grad.sum(dim=1)[[2, 5, 6]].tolist() == [64.0, 32.0, 0.0]


# reward model


@pytest.mark.parametrize("pad_token", ["<pad>", None, "</s>"])
def test_scores_equal_plain_transformers_after_saving(reward_model, tokenizer, tmp_path, pad_token):
    """Whatever the base was padded with: with its end of the turn, transformers would read the score one token too early."""
    own = copy.deepcopy(tokenizer)
    own.pad_token = pad_token
    batch = PackedBatch.of(SEQUENCES)
    reward_model.set_normalisation(mean=0.25, std=2.0)
    reward_model.save(tmp_path, own)
    assert own.pad_token == pad_token
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        padded = AutoTokenizer.from_pretrained(tmp_path).pad({"input_ids": SEQUENCES}, return_tensors="pt")
        logits = plain(**padded).logits.squeeze(-1)
        assert logits.std() > 0.1, "the check would see nothing in equal scores"
        assert close(reward_model.logits(batch), logits, tolerance=1e-5)
        loaded, loaded_tokenizer = RewardModel.load(tmp_path)
        assert close(loaded.scores(batch), (logits - 0.25) / 2.0, tolerance=1e-5)
    assert equal_weights(loaded, reward_model)
    assert not loaded.training
    assert loaded_tokenizer.get_vocab() == tokenizer.get_vocab()
    saved = json.loads((tmp_path / "config.json").read_text())
    assert (saved["score_mean"], saved["score_std"]) == (0.25, 2.0)


def test_the_score_is_read_at_the_last_real_token(reward_model):
    for sequence in SEQUENCES:
        with torch.no_grad():
            hidden = reward_model.model.model(torch.tensor([sequence])).last_hidden_state[0]  # no padding at all
            every_token = hidden @ reward_model.model.score.weight[0]
            batch = PackedBatch.of([sequence, [1] * 9])
            assert close(reward_model.logits(batch)[0], every_token[-1], tolerance=1e-5)
        assert (every_token[:-1] - every_token[-1]).abs().min() > 1e-3, "another token would give another score"


@pytest.fixture(params=["llama", "gpt2"])
def any_reward_model(request, reward_model, gpt2, tokenizer, tmp_path) -> RewardModel:
    if request.param == "llama":
        return reward_model
    save_policy(tmp_path, gpt2, tokenizer)
    return with_random_head(RewardModel.start(tmp_path, seed=0))


@torch.no_grad()
def test_order_and_neighbours_change_no_score(any_reward_model):
    alone = [any_reward_model.scores(PackedBatch.of([sequence]))[0].item() for sequence in SEQUENCES]
    assert max(alone) - min(alone) > 0.1
    assert close(any_reward_model.scores(PackedBatch.of(SEQUENCES)), alone, tolerance=1e-5)
    assert close(any_reward_model.scores(PackedBatch.of(SEQUENCES[::-1])), alone[::-1], tolerance=1e-5)
    crowded = any_reward_model.scores(PackedBatch.of([[1] + [99] * 30, *SEQUENCES, [1] + [99] * 30]))[1:4]
    assert close(crowded, alone, tolerance=1e-5)


@torch.no_grad()
def test_a_pad_token_within_the_text_does_not_end_it(reward_model):
    whole = reward_model.logits(PackedBatch.of([[1, 20, 0, 30, 2]]))
    cut = reward_model.logits(PackedBatch.of([[1, 20]]))
    assert abs(whole - cut) > 1e-3


def test_a_new_reward_model_scores_everything_zero(base_folder_once, policy):
    fresh = RewardModel.start(base_folder_once, seed=0)
    assert close(fresh.scores(PackedBatch.of(SEQUENCES)), [0.0, 0.0, 0.0], tolerance=0)
    assert equal_weights(fresh.model.model, policy.model)


# value model


@torch.no_grad()
def test_a_value_is_read_at_the_position_before_its_token(reward_model):
    """V of token t is the state that t is chosen in: the body's output at t - 1."""
    reward_model.set_normalisation(mean=0.5, std=4.0)
    value_model = ValueModel.from_reward(reward_model).eval()
    prompt, completion = [1, 20, 30], [40, 50, 60]
    batch = PackedBatch.of([[99] * 4, prompt + completion])
    values = value_model(batch, batch.last([0, 3]))
    states = [prompt, [*prompt, 40], [*prompt, 40, 50]]
    expected = [reward_model.scores(PackedBatch.of([state]))[0].item() for state in states]
    assert close(values, expected, tolerance=1e-5)


@torch.no_grad()
def test_started_from_the_reward_model_the_value_at_the_end_token_is_the_score(reward_model):
    reward_model.set_normalisation(mean=-0.5, std=3.0)
    value_model = ValueModel.from_reward(reward_model).eval()
    scores = reward_model.scores(PackedBatch.of(SEQUENCES))
    # 99 is chosen in the state that the end token leaves behind
    one_more = PackedBatch.of([[*sequence, 99] for sequence in SEQUENCES])
    assert close(value_model(one_more, one_more.last([1, 1, 1])), scores, tolerance=1e-5)


def test_started_from_the_policy_values_are_zero_everywhere(any_policy):
    value_model = ValueModel.from_policy(any_policy)
    batch = PackedBatch.of(SEQUENCES)
    assert close(value_model(batch, batch.last([2, 2, 2])), torch.zeros(6), tolerance=0)


@pytest.mark.parametrize("start", ["reward", "policy"])
def test_training_the_value_model_touches_neither_reward_model_nor_policy(start, reward_model, policy):
    source = freeze(reward_model) if start == "reward" else freeze(policy)
    before = copy.deepcopy(source)
    value_model = ValueModel.from_reward(source) if start == "reward" else ValueModel.from_policy(source)
    assert all(parameter.requires_grad for parameter in value_model.parameters())
    with torch.no_grad():
        for parameter in value_model.parameters():
            parameter.add_(1.0)
    assert equal_weights(source, before)


@torch.no_grad()
def test_order_and_neighbours_change_no_value(any_reward_model):
    value_model = ValueModel.from_reward(any_reward_model).eval()

    def last_two(sequences: list[list[int]]) -> torch.Tensor:
        batch = PackedBatch.of(sequences)
        return value_model(batch, batch.last([2] * len(sequences))).view(-1, 2)

    alone = [last_two([sequence])[0] for sequence in SEQUENCES]
    together = last_two(SEQUENCES)
    backwards = last_two([*SEQUENCES[::-1], [1] + [99] * 30])
    for row in range(3):
        assert close(together[row], alone[row], tolerance=1e-5)
        assert close(backwards[2 - row], alone[row], tolerance=1e-5)


def test_the_tokenizer_of_a_saved_model_is_ordinary(base_folder_once, tokenizer):
    plain = AutoTokenizer.from_pretrained(base_folder_once)
    text = "turn the water off, then tighten the nut."
    assert plain(text, add_special_tokens=False).input_ids == tokenizer(text, add_special_tokens=False).input_ids
