"""Templates, padding and positions."""

import copy

import pytest
import torch

from models.errors import ConfigError, DataError
from models.network.tokens import (
    check_lengths,
    check_tokenizer,
    decode_completion,
    encode_completion,
    encode_prompt,
    pad,
    positions,
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pad_token": None}, "no pad token; set base.pad_token"),
        ({"pad_token": "</s>"}, "its pad token is its end-of-sequence token '</s>'; set base.pad_token"),
        ({"chat_template": None}, "no chat template; set base.chat_template"),
        ({"eos_token": None}, "no end-of-sequence token"),
    ],
)
def test_an_unfit_tokenizer_is_refused_naming_the_key_to_set(tokenizer, change, message):
    unfit = copy.deepcopy(tokenizer)
    check_tokenizer(unfit, "tiny")
    for name, value in change.items():
        setattr(unfit, name, value)
    with pytest.raises(ConfigError, match=message) as caught:
        check_tokenizer(unfit, "tiny")
    assert "base model tiny" in str(caught.value)


def test_the_template_begins_with_the_start_token_and_ends_where_the_completion_begins(tokenizer):
    tokens = encode_prompt(tokenizer, "the lamp")
    assert tokens[0] == tokenizer.bos_token_id
    assert tokenizer.decode(tokens[1:]) == "the lamp\n"
    assert tokens.count(tokenizer.bos_token_id) == 1 and tokenizer.eos_token_id not in tokens


def test_prompt_and_completion_together_are_the_rendered_conversation(tokenizer):
    messages = [{"role": "user", "content": "the lamp"}, {"role": "assistant", "content": "change the bulb"}]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False)
    assert rendered == "<s>the lamp\nchange the bulb</s>"
    tokens = encode_prompt(tokenizer, "the lamp") + encode_completion(tokenizer, "change the bulb", ended=True)
    assert tokenizer.decode(tokens) == rendered


def test_a_completion_carries_its_end_token_only_when_it_ended(tokenizer):
    ended = encode_completion(tokenizer, "the fuse", ended=True)
    assert ended[-1] == tokenizer.eos_token_id == 2
    assert encode_completion(tokenizer, "the fuse", ended=False) == ended[:-1]
    assert tokenizer.bos_token_id not in ended
    assert decode_completion(tokenizer, ended) == "the fuse"
    assert decode_completion(tokenizer, encode_completion(tokenizer, " \n the fuse ", ended=True)) == "the fuse"


def test_pad_on_either_side():
    left = pad([[5, 6, 7], [8]], pad_id=0, side="left")
    assert left.input_ids.tolist() == [[5, 6, 7], [0, 0, 8]]
    assert left.is_token.tolist() == [[True, True, True], [False, False, True]]
    right = pad([[5, 6, 7], [8]], pad_id=0, side="right")
    assert right.input_ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert right.is_token.tolist() == [[True, True, True], [True, False, False]]


def test_a_pad_id_inside_a_sequence_stays_a_token():
    assert pad([[0, 5], [0]], pad_id=0, side="right").is_token.tolist() == [[True, True], [True, False]]


def test_positions_count_real_tokens():
    is_token = torch.tensor([[False, False, True, True, True], [True, True, True, False, False]])
    assert positions(is_token).tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 2, 2]]


def test_prompts_that_leave_no_room_are_named():
    check_lengths([[1] * 4, [1] * 3], ["long one", "short"], room=4, setting="max_new_tokens=8")
    with pytest.raises(
        DataError, match=r"2 prompts are longer than the 4 tokens .* max_new_tokens=8.* 6 tokens: 'long'"
    ):
        check_lengths([[1] * 5, [1] * 6, [1] * 4], ["other", "long", "short"], room=4, setting="max_new_tokens=8")
