"""Language modelling: what is learned from, that the batch's shape changes nothing, and the course of a run."""

import copy
import math

import numpy as np
import pytest
import torch

from models.errors import DataError, TrainingError
from models.network.dialogue import encode_completion, encode_prompt
from models.settings.training import Training
from models.training.causal_lm import LearnedSequence, encode_demonstrations, language_loss, pack_texts, train_language
from models.training.loop import EpochBatches, descend
from models.training.optimizer import clip_gradients, decayed_adamw, require_finite, warmup_cosine
from tests.models.conftest import CORPUS
from tests.tolerances import close

DEMONSTRATIONS = [
    ("the lamp does not light", "change the bulb"),
    ("my sink", "turn the water off, then tighten the nut."),
    ("what is wrong?", "the fuse"),
]


def train(model, sequences, compute, seed=0, **settings):
    config = Training(**{"batch_size": 8, "learning_rate": 3e-3} | settings)
    return [one.values for one in train_language(model, sequences, config, compute, seed)]


def cross_entropies(model, sequence: LearnedSequence) -> list[float]:
    """-log p of each learned token, by numpy, from one unpadded pass."""
    with torch.no_grad():
        logits = model(torch.tensor([sequence.tokens])).logits[0].double().numpy()
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return [-log_p[place - 1, sequence.tokens[place]] for place in range(sequence.learn_from, len(sequence.tokens))]


# what is learned


def test_texts_are_joined_by_end_tokens_cut_and_the_rest_dropped(tokenizer):
    stream = [
        *encode_completion(tokenizer, "the lamp", True),
        *encode_completion(tokenizer, "my sink is leaking", True),
    ]
    assert stream.count(tokenizer.eos_token_id) == 2
    length = 3
    assert len(stream) % length, "the example must leave a rest"
    packed = pack_texts(tokenizer, ["the lamp", "my sink is leaking"], length)
    assert [token for sequence in packed for token in sequence.tokens] == stream[: len(stream) // length * length]
    assert all(len(sequence.tokens) == length and sequence.learn_from == 1 for sequence in packed)


def test_a_text_of_exactly_one_sequence_is_enough_and_one_token_less_is_not(tokenizer):
    length = len(encode_completion(tokenizer, "the lamp", ended=True))
    assert len(pack_texts(tokenizer, ["the lamp"], length)) == 1
    with pytest.raises(DataError, match=rf"has {length} tokens, fewer than one sequence of {length + 1}"):
        pack_texts(tokenizer, ["the lamp"], length + 1)


def test_only_the_completion_and_its_end_token_are_learned(tokenizer):
    (sequence,) = encode_demonstrations(tokenizer, [("the lamp", "the fuse")], context_length=96)
    prompt, completion = encode_prompt(tokenizer, "the lamp"), encode_completion(tokenizer, "the fuse", ended=True)
    assert sequence == LearnedSequence(prompt + completion, learn_from=len(prompt))
    assert sequence.tokens[-1] == tokenizer.eos_token_id


def test_a_demonstration_longer_than_the_context_is_named(tokenizer):
    (sequence,) = encode_demonstrations(tokenizer, DEMONSTRATIONS[:1], context_length=96)
    length = len(sequence.tokens)
    assert len(encode_demonstrations(tokenizer, DEMONSTRATIONS[:1], context_length=length)) == 1
    with pytest.raises(
        DataError, match=rf"has {length} tokens, the model reads {length - 1}: 'the lamp does not light'"
    ):
        encode_demonstrations(tokenizer, DEMONSTRATIONS[:1], context_length=length - 1)


def test_the_loss_equals_an_independent_cross_entropy(any_policy, tokenizer):
    sequences = encode_demonstrations(tokenizer, DEMONSTRATIONS, context_length=96)
    expected = [loss for sequence in sequences for loss in cross_entropies(any_policy, sequence)]
    with torch.no_grad():
        assert close(language_loss(any_policy, sequences), sum(expected), tolerance=1e-4)
    assert len(expected) == sum(one.num_learned for one in sequences)


def test_the_reported_loss_is_the_mean_over_learned_tokens(policy, tokenizer, compute):
    sequences = encode_demonstrations(tokenizer, DEMONSTRATIONS, context_length=96)
    expected = np.mean([loss for sequence in sequences for loss in cross_entropies(policy, sequence)])
    for microbatch_tokens in (1, 40, 8192):
        (values,) = train(copy.deepcopy(policy), sequences, compute, batch_size=3, microbatch_tokens=microbatch_tokens)
        assert close(values["loss"], expected, tolerance=1e-5)


# the loop


def test_eight_microbatches_of_one_equal_one_of_eight(policy, tokenizer, compute, plain_descent):
    sequences = encode_demonstrations(tokenizer, DEMONSTRATIONS * 4, context_length=96)
    trained, settings = (
        [],
        {"num_epochs": 3, "learning_rate": 0.02, "max_grad_norm": 1e9},
    )  # a clipped norm hides its scale
    for microbatch_tokens in (1, 8192):
        model = copy.deepcopy(policy)
        train(model, sequences, compute, microbatch_tokens=microbatch_tokens, **settings)
        trained.append(model)
    moved = 0.0
    for name, tensor in trained[0].state_dict().items():
        assert close(tensor, trained[1].state_dict()[name])
        moved = max(moved, (tensor - policy.state_dict()[name]).abs().max().item())
    assert moved > 0.01


def test_the_loss_goes_down_on_a_toy_corpus(policy, tokenizer, compute):
    sequences = pack_texts(tokenizer, CORPUS, length=16)
    losses = [step["loss"] for step in train(policy, sequences, compute, num_epochs=30)]
    assert np.mean(losses[-5:]) < 0.3 * losses[0]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(policy, tokenizer, compute):
    sequences = pack_texts(tokenizer, CORPUS, length=16)
    first, again, other = (copy.deepcopy(policy) for _ in range(3))
    for model, seed in ((first, 0), (again, 0), (other, 1)):
        train(model, sequences, compute, seed=seed)
        assert not model.training
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_steps_are_counted_and_name_learning_rate_and_gradient_norm(policy, tokenizer, compute):
    sequences = pack_texts(tokenizer, CORPUS, length=16)[:12]
    config = Training(num_epochs=2, batch_size=4, learning_rate=1e-3)
    steps = list(train_language(policy, sequences, config, compute, seed=0))
    assert [step.step for step in steps] == list(range(6)) and {step.num_steps for step in steps} == {6}  # 2 * 12 / 4
    for step in steps:
        assert set(step.values) == {"loss", "learning_rate", "grad_norm"}
        assert close(step.values["learning_rate"], 1e-3 * warmup_cosine(step.step, 6), tolerance=1e-12)
        assert step.values["grad_norm"] > 0


def test_a_loss_that_is_not_finite_stops_training_with_advice(policy, tokenizer, compute):
    with torch.no_grad():
        policy.lm_head.weight.fill_(math.nan)
    with pytest.raises(TrainingError, match=r"step 0: loss, grad_norm is not finite; try a lower learning_rate"):
        train(policy, pack_texts(tokenizer, CORPUS, length=16), compute)


# what every loop shares


def test_each_step_descends_along_its_own_gradient(plain_descent):
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)

    def accumulate(numbers: list[int], config: Training) -> dict[str, float]:
        model.weight.sum().backward()  # a gradient of 1, whatever the row
        return {"loss": 0.0}

    config = Training(num_epochs=1, batch_size=1, learning_rate=0.1)
    steps = [step.values for step in descend(model, [1, 1, 1], accumulate, config, seed=0)]
    # factors: 1 (the one step of warm-up), 1, 0.55 (half-way down the cosine): 0.1 * 2.55
    assert close(model.weight, [[-0.255]])
    assert [step["grad_norm"] for step in steps] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("num_rows", "batch_size"), [(12, 4), (10, 4), (7, 7), (5, 2)])
def test_every_row_comes_once_per_epoch(num_rows, batch_size):
    batches = EpochBatches(num_rows, batch_size, torch.Generator().manual_seed(0))
    drawn = []
    while len(drawn) < 6 * num_rows:
        batch = next(batches)
        assert len(batch) == batch_size
        drawn += batch
    epochs = [drawn[start : start + num_rows] for start in range(0, 6 * num_rows, num_rows)]
    assert all(sorted(epoch) == list(range(num_rows)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1, "newly shuffled each time"


def test_fewer_rows_than_a_batch_repeat_in_it():
    batches = EpochBatches(3, 8, torch.Generator().manual_seed(0))
    first, second, third = (next(batches) for _ in range(3))
    # 24 places for 3 rows: every row 8 times, and each batch of 8 holds every row 2 or 3 times
    assert sorted(first + second + third) == [0] * 8 + [1] * 8 + [2] * 8
    assert all(batch.count(row) in (2, 3) for batch in (first, second, third) for row in range(3))


@pytest.mark.parametrize(
    ("step", "num_steps", "expected"),
    [
        (0, 100, 0.2),  # 5 of 100 steps warm up: 1/5
        (1, 100, 0.4),
        (4, 100, 1.0),
        (5, 100, 1.0),  # the cosine begins at its top
        (11, 21, 0.55),  # half-way between step 1 and step 21: 0.1 + 0.45
        (100, 100, 0.1),
    ],
)
def test_warm_up_and_cosine(step, num_steps, expected):
    assert close(warmup_cosine(step, num_steps), expected, tolerance=1e-12)


def test_a_single_step_runs_at_the_peak():
    assert warmup_cosine(0, 1) == 1.0


def test_gradients_are_clipped_to_their_joint_norm():
    one, other = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    one.grad, other.grad = torch.tensor([3.0]), torch.tensor([4.0])
    assert close(clip_gradients([one, other], max_norm=1.0), 5.0)  # 3-4-5
    assert close(torch.cat([one.grad, other.grad]), [0.6, 0.8])
    assert close(clip_gradients([one, other], max_norm=2.0), 1.0)
    assert close(torch.cat([one.grad, other.grad]), [0.6, 0.8])


def test_only_matrices_decay(policy):
    optimizer = decayed_adamw(policy, learning_rate=1e-3, weight_decay=0.1)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for parameter in policy.parameters():
        assert decay[id(parameter)] == (0.1 if parameter.ndim >= 2 else 0.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_named(bad):
    require_finite(3, loss=1.0, other=-1e30)
    with pytest.raises(TrainingError, match=r"step 3: value_loss is not finite; try a lower learning_rate"):
        require_finite(3, policy_loss=0.0, value_loss=bad)
