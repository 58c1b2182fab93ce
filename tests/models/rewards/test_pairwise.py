"""The reward model's loss against numpy, each completion encoded once, and the normalisation that training leaves behind."""

import copy
import math

import numpy as np
import pytest
import torch

from models.errors import DataError
from models.network.networks import RewardModel
from models.network.packing import PackedBatch, reading_at_once
from models.network.precision import autocast
from models.records import Completion, Pair, Prompt
from models.rewards.pairwise import (
    Comparison,
    comparison_loss,
    encode_for_score,
    fix_normalisation,
    group_pairs,
    score_sequences,
    score_texts,
    train_reward,
)
from models.settings.compute import Compute
from models.settings.rewards import PairwiseReward
from tests.tolerances import close

EXACT = Compute(device="cpu", precision="float32")
FOUR = Comparison(
    sequences=[[1, 20, 30, 2], [1, 20, 40, 50, 60, 2], [1, 20, 2], [1, 20, 70, 80, 2]],
    chosen=[0, 0, 0, 1, 1, 2],
    rejected=[1, 2, 3, 2, 3, 3],
    label=[1.0, 1.0, 1.0, 0.5, 1.0, 1.0],
    weight=[1.0, 2.0, 0.5, 1.0, 1.0, 3.0],
    margin=[0.0, 0.5, 0.0, 0.0, 1.0, 0.25],
)
THREE = Comparison(
    sequences=[[1, 90, 91, 2], [1, 90, 92, 93, 2], [1, 90, 94, 2]],
    chosen=[2, 1],
    rejected=[1, 0],
    label=[1.0, 0.5],
    weight=[0.25, 0.75],
    margin=[0.0, 0.0],
)


def logits_one_by_one(reward_model: RewardModel, comparison: Comparison) -> np.ndarray:
    """Each completion alone, unpadded: body and head applied by hand."""
    head = reward_model.model.score.weight[0]
    with torch.no_grad():
        ends = [
            reward_model.model.model(torch.tensor([s])).last_hidden_state[0, -1] @ head for s in comparison.sequences
        ]
    return np.array([end.item() for end in ends], dtype=np.float64)


def loss_by_numpy(reward_model: RewardModel, comparison: Comparison, centering: float) -> float:
    logits = logits_one_by_one(reward_model, comparison)
    total = 0.0
    rows = (comparison.chosen, comparison.rejected, comparison.label, comparison.weight, comparison.margin)
    for chosen, rejected, label, weight, margin in zip(*rows, strict=True):
        p = 1 / (1 + np.exp(-(logits[chosen] - logits[rejected] - margin)))
        loss = -label * np.log(p) - (1 - label) * np.log(1 - p)
        total += weight * (loss + centering * (logits[chosen] + logits[rejected]) ** 2)
    return total / sum(comparison.weight)


@pytest.mark.parametrize("centering", [0.0, 0.1])
def test_the_loss_over_all_pairs_equals_numpy(reward_model, centering):
    expected = [loss_by_numpy(reward_model, one, centering) for one in (FOUR, THREE)]
    for comparison, value in zip((FOUR, THREE), expected, strict=True):
        loss, _, _ = comparison_loss(reward_model, [comparison], centering)
        assert close(loss, value, tolerance=1e-5)
    both, better, worse = comparison_loss(reward_model, [FOUR, THREE], centering)
    assert close(both, sum(expected), tolerance=1e-5)
    first, second = logits_one_by_one(reward_model, FOUR), logits_one_by_one(reward_model, THREE)
    assert close(better, np.concatenate([first[FOUR.chosen], second[THREE.chosen]]), tolerance=1e-5)
    assert close(worse, np.concatenate([first[FOUR.rejected], second[THREE.rejected]]), tolerance=1e-5)


def test_only_the_proportion_of_weights_counts(reward_model):
    heavier = Comparison(**vars(FOUR) | {"weight": [10 * weight for weight in FOUR.weight]})
    assert close(comparison_loss(reward_model, [heavier], 0.1)[0], comparison_loss(reward_model, [FOUR], 0.1)[0])


def count_encodings(reward_model: RewardModel) -> list[int]:
    counts: list[int] = []
    reward_model.model.model.embed_tokens.register_forward_hook(
        lambda _, inputs, output: counts.append(inputs[0].numel())
    )
    return counts


def test_every_completion_passes_through_the_network_once_and_so_does_their_prompt(reward_model):
    counts = count_encodings(reward_model)
    comparison_loss(reward_model, [FOUR], 0.1)
    assert sum(counts) == 2 + 2 + 4 + 1 + 3, "a prompt and its K = 4 completions, not the 12 of their 6 pairs"
    counts.clear()
    comparison_loss(reward_model, [FOUR, THREE], 0.1)
    assert sum(counts) == 12 + 1 + 2 + 3 + 2, "both prompts begin with the same token, which is there once"


def test_a_step_of_training_encodes_every_completion_once(reward_model, compute):
    counts = count_encodings(reward_model)
    config = PairwiseReward(num_epochs=1, batch_size=2, microbatch_tokens=1)
    steps = train_reward(reward_model, [FOUR, THREE], config, compute, seed=0)
    next(steps)
    assert len(counts) == 2 and sum(counts) == 12 + (2 + 2 + 3 + 2)


# from records to comparisons


def records() -> tuple[list[Prompt], list[Completion]]:
    prompts = [Prompt.of(text, "train") for text in ("my sink", "the lamp", "nobody ranked this")]
    completions = [
        Completion.of(prompt.id, f"the {word}")
        for prompt in prompts
        for index, word in enumerate(["nut", "fuse", "sink"])
    ]
    return prompts, completions


def test_pairs_are_grouped_by_prompt_in_the_order_of_the_prompts(tokenizer):
    prompts, completions = records()
    sink, lamp = completions[:3], completions[3:6]
    pairs = [
        Pair(prompt_id=prompts[1].id, chosen=lamp[2].id, rejected=lamp[0].id, weight=2.0),
        Pair(prompt_id=prompts[0].id, chosen=sink[1].id, rejected=sink[0].id, margin=0.5),
        Pair(prompt_id=prompts[0].id, chosen=sink[2].id, rejected=sink[1].id, label=0.5),
    ]
    first, second = group_pairs(tokenizer, prompts, completions, pairs, context_length=96)
    assert first == Comparison(
        sequences=[encode_for_score(tokenizer, "my sink", f"the {word}") for word in ("fuse", "nut", "sink")],
        chosen=[0, 2],
        rejected=[1, 0],
        label=[1.0, 0.5],
        weight=[1.0, 1.0],
        margin=[0.5, 0.0],
    )
    assert second == Comparison(
        sequences=[encode_for_score(tokenizer, "the lamp", f"the {word}") for word in ("sink", "nut")],
        chosen=[0],
        rejected=[1],
        label=[1.0],
        weight=[2.0],
        margin=[0.0],
    )


def test_a_prompt_with_a_completion_too_long_is_named(tokenizer):
    prompts, completions = records()
    pairs = [Pair(prompt_id=prompts[0].id, chosen=completions[0].id, rejected=completions[1].id)]
    length = max(len(encode_for_score(tokenizer, "my sink", f"the {word}")) for word in ("nut", "fuse"))
    assert len(group_pairs(tokenizer, prompts, completions, pairs, context_length=length)) == 1
    with pytest.raises(DataError, match=rf"prompt {prompts[0].id} .* has {length} tokens.*'my sink'"):
        group_pairs(tokenizer, prompts, completions, pairs, context_length=length - 1)


def test_a_score_is_read_behind_prompt_completion_and_end(tokenizer):
    tokens = encode_for_score(tokenizer, "the lamp", "the fuse")
    assert tokenizer.decode(tokens) == "<s>the lamp\nthe fuse</s>"
    assert encode_for_score(tokenizer, "the lamp", "the fuse", ended=False) == tokens[:-1]


# scores


@torch.no_grad()
def test_scores_come_in_the_order_given_whatever_the_batches(reward_model):
    sequences = FOUR.sequences + THREE.sequences
    expected = np.concatenate([logits_one_by_one(reward_model, FOUR), logits_one_by_one(reward_model, THREE)])
    assert expected.std() > 0.1
    for max_tokens in (1, 9, 12, 8192):
        with reading_at_once(max_tokens):
            assert close(score_sequences(reward_model, sequences), expected, tolerance=1e-5)
    shuffled = [sequences[row] for row in (5, 2, 0)]
    assert close(score_sequences(reward_model, shuffled), expected[[5, 2, 0]], tolerance=1e-5)


@torch.no_grad()
def test_texts_are_scored_in_the_template_of_training(reward_model, tokenizer):
    reward_model.set_normalisation(mean=1.0, std=0.5)
    prompts, completions = ["the lamp", "my sink"], ["the fuse", "turn the water off"]
    sequences = [encode_for_score(tokenizer, *texts) for texts in zip(prompts, completions, strict=True)]
    expected = (reward_model.logits(PackedBatch.of(sequences)) - 1.0) / 0.5
    assert close(score_texts(reward_model, tokenizer, prompts, completions), expected, tolerance=1e-5)
    assert score_texts(reward_model, tokenizer, [], []).tolist() == []


def test_a_text_too_long_to_score_is_an_error(reward_model, tokenizer):
    with pytest.raises(DataError, match="the reward model reads 96"):
        score_texts(reward_model, tokenizer, ["the lamp"], ["water " * 200])


def test_normalisation_brings_the_scores_of_these_sequences_to_mean_0_and_std_1(reward_model):
    reward_model.set_normalisation(mean=17.0, std=99.0)  # an earlier one must not enter
    sequences = FOUR.sequences + THREE.sequences
    logits = np.concatenate([logits_one_by_one(reward_model, FOUR), logits_one_by_one(reward_model, THREE)])
    fix_normalisation(reward_model, sequences, PairwiseReward(), EXACT)
    assert close(reward_model.model.config.score_mean, logits.mean(), tolerance=1e-5)
    assert close(reward_model.model.config.score_std, logits.std(), tolerance=1e-5)
    scores = score_sequences(reward_model, sequences)
    assert close(scores.mean(), 0.0, tolerance=1e-5) and close(scores.std(unbiased=False), 1.0, tolerance=1e-5)


def test_normalisation_is_of_scores_as_they_will_be_computed(reward_model):
    """In bfloat16 logits differ from those in float32 by some 2^-9 of their size, which a mean in float32 would leave in."""
    rounded = Compute(device="cpu", precision="bfloat16")
    sequences = FOUR.sequences + THREE.sequences
    fix_normalisation(reward_model, sequences, PairwiseReward(), rounded)
    with autocast(rounded):
        scores = score_sequences(reward_model, sequences)
    assert close(scores.mean(), 0.0, tolerance=1e-5) and close(scores.std(unbiased=False), 1.0, tolerance=1e-5)
    exact = score_sequences(reward_model, sequences)
    assert not close(exact.mean(), 0.0, tolerance=1e-5)


def test_equal_logits_are_not_divided_by_zero(base_folder_once):
    fresh = RewardModel.start(base_folder_once, seed=0)
    fix_normalisation(fresh, FOUR.sequences, PairwiseReward(), EXACT)
    assert close(score_sequences(fresh, FOUR.sequences), [0.0] * 4)


# training


def toy(tokenizer, num_prompts: int = 24) -> list[Comparison]:
    """The completion with the word `water` is always the better one; one pair in four is a tie of two like it."""
    comparisons = []
    for number in range(num_prompts):
        texts = [f"turn the water off {number}", f"the lamp {number}", f"change the bulb {number}"]
        comparisons.append(
            Comparison(
                sequences=[encode_for_score(tokenizer, f"my sink {number}", text) for text in texts],
                chosen=[0, 0, 1],
                rejected=[1, 2, 2],
                label=[1.0, 1.0, 0.5],
                weight=[1.0, 1.0, 1.0],
                margin=[0.0, 0.0, 0.0],
            )
        )
    return comparisons


def train(reward_model, comparisons, compute, seed=0, **settings) -> list[dict[str, float]]:
    config = PairwiseReward(**{"batch_size": 8, "learning_rate": 3e-3} | settings)
    return [step.values for step in train_reward(reward_model, comparisons, config, compute, seed)]


def test_training_learns_the_preference_and_fixes_the_normalisation(base_folder_once, tokenizer, compute):
    reward_model = RewardModel.start(base_folder_once, seed=0)
    comparisons = toy(tokenizer)
    steps = train(reward_model, comparisons, compute, num_epochs=12)
    # scores start at zero: two strict pairs and a tie cost ln 2 each, and no strict pair is right
    assert close(steps[0]["loss"], math.log(2)) and steps[0]["accuracy"] == 0.0
    # what is left is the tie's ln 2 / 3 = 0.23
    assert steps[-1]["accuracy"] == 1.0 and steps[-1]["loss"] < 0.3
    scores = score_sequences(reward_model, [s for one in comparisons for s in one.sequences])
    assert close(scores.mean(), 0.0, tolerance=1e-5) and close(scores.std(unbiased=False), 1.0, tolerance=1e-5)
    triples = scores.view(-1, 3)
    assert (triples[:, 0] > triples[:, 1]).all() and (triples[:, 0] > triples[:, 2]).all()


def test_eight_microbatches_of_one_equal_one_of_eight(reward_model, tokenizer, compute, plain_descent):
    comparisons = [*toy(tokenizer, 14), FOUR, THREE]
    trained, reported = [], []
    for microbatch_tokens in (1, 8192):
        model = copy.deepcopy(reward_model)
        settings = {"num_epochs": 2, "learning_rate": 0.01, "max_grad_norm": 1e9}  # a clipped norm hides its scale
        reported.append(train(model, comparisons, compute, microbatch_tokens=microbatch_tokens, **settings))
        trained.append(model)
    for name, tensor in trained[0].state_dict().items():
        assert close(tensor, trained[1].state_dict()[name])
    assert not close(trained[0].model.score.weight, reward_model.model.score.weight, tolerance=1e-3)
    for one, other in zip(*reported, strict=True):
        assert one["accuracy"] == other["accuracy"]
        assert close(one["loss"], other["loss"], tolerance=1e-5)


def test_each_prompt_counts_once_in_the_reported_loss(reward_model, compute):
    expected = (loss_by_numpy(reward_model, FOUR, 0.2) + loss_by_numpy(reward_model, THREE, 0.2)) / 2
    for microbatch_tokens in (1, 8192):
        model = copy.deepcopy(reward_model)
        settings = {"num_epochs": 1, "batch_size": 2, "microbatch_tokens": microbatch_tokens, "centering": 0.2}
        (values,) = train(model, [FOUR, THREE], compute, **settings)
        assert close(values["loss"], expected, tolerance=1e-5)


def test_accuracy_counts_strict_pairs_alone_and_is_left_out_without_any(reward_model, compute):
    ties = Comparison(**vars(FOUR) | {"label": [0.5] * 6})
    (values,) = train(copy.deepcopy(reward_model), [ties], compute, num_epochs=1, batch_size=1)
    assert "accuracy" not in values
    logits = logits_one_by_one(reward_model, FOUR)
    right = [logits[a] > logits[b] for a, b, p in zip(FOUR.chosen, FOUR.rejected, FOUR.label, strict=True) if p == 1]
    (values,) = train(copy.deepcopy(reward_model), [FOUR], compute, num_epochs=1, batch_size=1)
    assert len(right) == 5 and close(values["accuracy"], np.mean(right))


def test_dropout_stays_off_in_training(reward_model, compute, tokenizer):
    modes = []
    embedding = reward_model.model.model.embed_tokens  # the body itself is not called: its layers are
    embedding.register_forward_hook(lambda module, inputs, output: modes.append(module.training))
    train(reward_model.train(), toy(tokenizer, 8), compute, num_epochs=1)
    assert modes and not any(modes)


def test_the_same_seed_gives_the_same_weights(reward_model, tokenizer, compute):
    models = [copy.deepcopy(reward_model) for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        train(model, toy(tokenizer), compute, seed=seed, num_epochs=1)
    first, again, other = ([*model.parameters()] for model in models)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_nothing_to_learn_from_is_an_error(reward_model, compute):
    with pytest.raises(DataError, match="no training prompt has a pair"):
        train(reward_model, [], compute)
