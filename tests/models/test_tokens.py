"""Templates, padding, positions, and log-probabilities that no padding changes."""

import copy

import numpy as np
import pytest
import torch

from models.errors import ConfigError, DataError
from models.tokens import (
    TokenBatch,
    check_lengths,
    check_tokenizer,
    completion_logprobs,
    decode_completion,
    encode_completion,
    encode_prompt,
    pad,
    pad_prompts_and_completions,
    positions,
)
from tests.tolerances import close

PROMPTS = ["my sink is leaking, what can I do?", "the lamp", "what is wrong with the fuse?"]
COMPLETIONS = [[20, 30, 2], [40], [50, 60, 70, 80, 2]]


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


def test_prompts_stand_left_and_completions_right(tokenizer):
    batch, width = pad_prompts_and_completions(tokenizer, PROMPTS, COMPLETIONS)
    assert width == 5
    for row, (prompt, completion) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        assert batch.input_ids[row, -5:].tolist() == completion + [0] * (5 - len(completion))
        own = batch.is_token[row]
        assert batch.input_ids[row][own].tolist() == encode_prompt(tokenizer, prompt) + completion
        assert own[-6], "the last token of every prompt stands right before its completion"


def test_batches_are_cut_by_rows():
    batch = pad([[5, 6], [8], [9]], pad_id=0, side="right")
    assert len(batch) == 3
    assert batch[1:].input_ids.tolist() == [[8, 0], [9, 0]]


def test_prompts_that_leave_no_room_are_named():
    check_lengths([[1] * 4, [1] * 3], ["long one", "short"], room=4, setting="max_new_tokens=8")
    with pytest.raises(
        DataError, match=r"2 prompts are longer than the 4 tokens .* max_new_tokens=8.* 6 tokens: 'long'"
    ):
        check_lengths([[1] * 5, [1] * 6, [1] * 4], ["other", "long", "short"], room=4, setting="max_new_tokens=8")


def numpy_log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.0])
def test_log_probabilities_and_entropy_equal_an_independent_computation(any_policy, tokenizer, temperature):
    batch, width = pad_prompts_and_completions(tokenizer, PROMPTS, COMPLETIONS)
    logprobs, entropy = completion_logprobs(any_policy, batch, width, temperature)
    assert logprobs.shape == entropy.shape == (3, 5)
    for row, (prompt, completion) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        prompt_tokens = encode_prompt(tokenizer, prompt)
        with torch.no_grad():  # one unpadded sequence, all logits
            logits = any_policy(torch.tensor([prompt_tokens + completion])).logits[0].double().numpy()
        log_p = numpy_log_softmax(logits / temperature)
        for place, token in enumerate(completion):
            before = log_p[len(prompt_tokens) + place - 1]
            assert close(logprobs[row, place], before[token], tolerance=1e-5)
            assert close(entropy[row, place], -(np.exp(before) * before).sum(), tolerance=1e-5)


def test_entropy_of_a_uniform_model_is_the_logarithm_of_the_vocabulary(policy, tokenizer):
    with torch.no_grad():
        policy.lm_head.weight.zero_()
    batch, width = pad_prompts_and_completions(tokenizer, PROMPTS, COMPLETIONS)
    logprobs, entropy = completion_logprobs(policy, batch, width, temperature=1.0)
    assert close(entropy, np.full((3, 5), np.log(300)), tolerance=1e-5)
    assert close(logprobs, np.full((3, 5), -np.log(300)), tolerance=1e-5)


def test_log_probabilities_carry_gradient_and_entropy_does_not(policy, tokenizer):
    batch, width = pad_prompts_and_completions(tokenizer, PROMPTS, COMPLETIONS)
    logprobs, entropy = completion_logprobs(policy, batch, width, temperature=1.0)
    assert logprobs.requires_grad and not entropy.requires_grad


@pytest.mark.parametrize("rows", [[2, 0, 1], [1], [1, 1, 2]])
def test_batch_order_and_neighbours_change_no_log_probability(any_policy, tokenizer, rows):
    batch, width = pad_prompts_and_completions(tokenizer, PROMPTS, COMPLETIONS)
    together, _ = completion_logprobs(any_policy, batch, width, temperature=1.0)
    other_batch, other_width = pad_prompts_and_completions(
        tokenizer, [PROMPTS[row] for row in rows], [COMPLETIONS[row] for row in rows]
    )
    others, _ = completion_logprobs(any_policy, other_batch, other_width, temperature=1.0)
    for place, row in enumerate(rows):
        length = len(COMPLETIONS[row])
        assert close(others[place, :length], together[row, :length], tolerance=1e-5)


def test_what_stands_in_padding_and_how_wide_it_is_changes_no_log_probability(any_policy, tokenizer):
    batch, width = pad_prompts_and_completions(tokenizer, PROMPTS, COMPLETIONS)
    plain, _ = completion_logprobs(any_policy, batch, width, temperature=1.0)
    garbage = torch.randint(3, 300, batch.input_ids.shape, generator=torch.Generator().manual_seed(0))
    ids, real = torch.where(batch.is_token, batch.input_ids, garbage), batch.is_token
    for left, right in [(0, 0), (4, 0), (0, 3), (7, 2)]:
        wide = TokenBatch(
            torch.nn.functional.pad(ids, (left, right), value=77),
            torch.nn.functional.pad(real, (left, right), value=False),
        )
        spoiled, _ = completion_logprobs(any_policy, wide, width + right, temperature=1.0)
        is_completion = real[:, -width:]
        assert close(spoiled[:, :width][is_completion], plain[is_completion], tolerance=1e-5)
