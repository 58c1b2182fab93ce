"""What must change no number: the order of a batch, its neighbours, padding, the size of microbatches.

The numbers of a single function are tested beside it; here stand whole chains, up to the gradient. Also: training and
scoring read one and the same tokens.
"""

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn

from models.network import networks
from models.network.dialogue import encode_prompt
from models.network.networks import ValueModel
from models.network.packing import PackedBatch, hidden_states
from models.records import Completion, Pair, Prompt
from models.rewards.pairwise import Comparison, comparison_loss, group_pairs, score_texts
from models.training.causal_lm import encode_demonstrations, language_loss
from models.tuning.online.rollout import Rollout, describe_rollout
from models.tuning.ppo.loop import train_ppo
from models.tuning.ppo.minibatch import learn_minibatch, learning_targets
from tests.models.conftest import CORPUS
from tests.models.ppo_examples import END, OF_THE_CLOCK, PROMPTS, SAMPLING, SCORER, config_of
from tests.models.rewards.test_pairwise import FOUR, THREE
from tests.models.training.test_causal_lm import DEMONSTRATIONS
from tests.tolerances import close

TOLERANCE = 1e-5


def gradients(*models: nn.Module) -> dict[str, Tensor]:
    """Gradients by name; the models are left without."""
    found = {}
    for place, model in enumerate(models):
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                found[f"{place}.{name}"] = parameter.grad
                parameter.grad = None
    return found


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert close(one[name], other[name], TOLERANCE), name


def assert_something(found: dict[str, Tensor]) -> None:
    assert max(gradient.abs().max() for gradient in found.values()) > 1e-3, "zeros are equal to zeros"


# demonstrations


def demonstration_gradient(model: nn.Module, parts: list[list]) -> dict[str, Tensor]:
    """Gradient of the mean loss over learned tokens, a microbatch per part."""
    num_learned = sum(row.num_learned for part in parts for row in part)
    for part in parts:
        (language_loss(model, part) / num_learned).backward()
    return gradients(model)


def test_order_and_microbatches_change_no_gradient_of_demonstrations(any_policy, tokenizer):
    rows = encode_demonstrations(tokenizer, DEMONSTRATIONS, context_length=96)
    assert len({len(row.tokens) for row in rows}) == 3
    expected = demonstration_gradient(any_policy, [rows])
    assert_something(expected)
    for parts in ([rows[::-1]], [[row] for row in rows], [rows[1:], rows[:1]]):
        assert_equal(demonstration_gradient(any_policy, parts), expected)


# preference pairs


def rearranged(comparison: Comparison, order: list[int]) -> Comparison:
    """The same comparison, its completions in another order and its pairs backwards."""
    place = {old: new for new, old in enumerate(order)}
    return Comparison(
        sequences=[comparison.sequences[old] for old in order],
        chosen=[place[old] for old in comparison.chosen][::-1],
        rejected=[place[old] for old in comparison.rejected][::-1],
        label=comparison.label[::-1],
        weight=comparison.weight[::-1],
        margin=comparison.margin[::-1],
    )


def test_order_of_prompts_completions_and_pairs_changes_no_gradient_of_the_reward_model(reward_model):
    def gradient(comparisons: list[Comparison]) -> tuple[float, dict[str, Tensor]]:
        loss, _, _ = comparison_loss(reward_model, comparisons, 0.1)
        loss.backward()
        return loss.item(), gradients(reward_model)

    loss, expected = gradient([FOUR, THREE])
    assert_something(expected)
    other = [rearranged(THREE, [2, 0, 1]), rearranged(FOUR, [3, 1, 0, 2])]
    for comparisons in ([THREE, FOUR], other):
        other_loss, other_gradient = gradient(comparisons)
        assert close(other_loss, loss, TOLERANCE)
        assert_equal(other_gradient, expected)


# PPO: from a rollout to the gradient of a minibatch


def widened(rollout: Rollout, num_columns: int) -> Rollout:
    """The rollout in a wider rectangle, garbage in all that was added."""
    sides = (0, num_columns)
    names = ("sampler_logprobs", "logprobs", "reference_logprobs", "values", "entropy")
    of_tokens = {name: nn.functional.pad(getattr(rollout, name), sides, value=1e9) for name in names}
    is_completion = nn.functional.pad(rollout.is_completion, sides, value=False)
    return dataclasses.replace(rollout, is_completion=is_completion, **of_tokens)


def reordered(rollout: Rollout, order: list[int]) -> Rollout:
    fields = {field.name: getattr(rollout, field.name) for field in dataclasses.fields(rollout)}
    sequences = fields.pop("sequences")
    rows = {name: tensor[order] for name, tensor in fields.items() if isinstance(tensor, Tensor)}
    return Rollout(sequences=[sequences[row] for row in order], **rows)


ROWS = [6, 0, 3, 5, 1]
ORDER = [7, 5, 3, 1, 6, 4, 2, 0]


def learned(
    rollout: Rollout, rows: list[int], policy: nn.Module, value_model: ValueModel, compute, **settings
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Every number that a rollout and one of its minibatches report, and the gradient of both networks."""
    config = config_of(clip=0.05, **settings)
    targets = learning_targets(rollout, 0.3, config)
    numbers, ratio_error = learn_minibatch(
        policy, value_model, rollout, targets, rows, config, SAMPLING.temperature, compute
    )
    numbers |= describe_rollout(rollout, 0.3) | {"ratio_error": ratio_error}
    return numbers, gradients(policy, value_model)


@pytest.mark.parametrize("change", ["wider", "other order", "other order of the minibatch", "microbatches"])
def test_nothing_about_the_batch_changes_what_ppo_learns(change, rollout, other_policy, value_model, compute):
    """`other_policy` is not the one that sampled: ratios differ from 1, and some are clipped."""
    networks = (other_policy, value_model, compute)
    numbers, expected = learned(rollout, ROWS, *networks)
    assert_something(expected)
    assert 0 < numbers["policy/clipfrac_avg"] < 1
    other_numbers, other = {
        "wider": lambda: learned(widened(rollout, 3), ROWS, *networks),
        "other order": lambda: learned(reordered(rollout, ORDER), [ORDER.index(row) for row in ROWS], *networks),
        "other order of the minibatch": lambda: learned(rollout, ROWS[::-1], *networks),
        "microbatches": lambda: learned(rollout, ROWS, *networks, microbatch_tokens=60),
    }[change]()
    assert_equal(other, expected)
    assert other_numbers.keys() == numbers.keys()
    for name, value in numbers.items():
        assert close(other_numbers[name], value, TOLERANCE), name


@pytest.mark.parametrize("microbatch_tokens", [1, 70])
def test_the_size_of_microbatches_changes_no_number_of_training(any_policy, tokenizer, compute, microbatch_tokens):
    """Whole updates of `train_ppo`. Adam enlarges rounding where a gradient is near zero: the numbers of the second update
    are compared to 1e-4, those of the first (four steps) to 1e-5."""
    results = []
    for size in (8192, microbatch_tokens):
        policy = copy.deepcopy(any_policy)
        config = config_of(microbatch_tokens=size)
        steps = train_ppo(
            policy,
            ValueModel.from_policy(policy),
            tokenizer,
            SCORER,
            PROMPTS,
            config,
            SAMPLING,
            compute,
            seed=0,
        )
        results.append([step.values for step in steps])
    for update, tolerance in ((0, TOLERANCE), (1, 1e-4)):
        one, other = (values[update] for values in results)
        assert one.keys() == other.keys()
        for name in one.keys() - OF_THE_CLOCK:
            assert close(one[name], other[name], tolerance), name


# one template


def test_training_and_scoring_read_the_same_tokens(reward_model, tokenizer, monkeypatch):
    """What the reward model sees of a completion in training is, token by token, what PPO shows it; white space around it, which
    people's files have and samples have not, makes no difference."""
    prompt = Prompt.of("the lamp does not light, what is wrong?", "train")
    spaces = ((" ", ""), ("", "\n"), ("\n\n ", "\t"))
    completions = [
        Completion.of(prompt.id, before + text + after)
        for text, (before, after) in zip(CORPUS[1:4], spaces, strict=True)
    ]
    pairs = [Pair(prompt_id=prompt.id, chosen=completions[0].id, rejected=one.id) for one in completions[1:]]
    seen: list[list[int]] = []

    def watch(body: nn.Module, batch: PackedBatch, places: torch.Tensor) -> torch.Tensor:
        seen.extend(batch.input_ids[own].tolist() for own in batch.places)
        return hidden_states(body, batch, places)

    monkeypatch.setattr(networks, "hidden_states", watch)
    trained = group_pairs(tokenizer, [prompt], completions, pairs, context_length=96)
    comparison_loss(reward_model, trained, 0.0)
    in_training = sorted(seen)
    seen.clear()
    score_texts(reward_model, tokenizer, [prompt.text] * 3, CORPUS[1:4])
    assert sorted(seen) == in_training and len(in_training) == 3
    start = encode_prompt(tokenizer, prompt.text)  # what the policy continues
    assert all(tokens[: len(start)] == start for tokens in in_training)
    assert all(tokens[-1] == END for tokens in in_training)


def test_demonstrations_and_the_reward_model_read_the_same_tokens(tokenizer):
    (demonstration,) = encode_demonstrations(tokenizer, [("my sink", " the nut\n")], context_length=96)
    prompt = Prompt.of("my sink", "train")
    better, worse = Completion.of(prompt.id, "the nut"), Completion.of(prompt.id, "the fuse")
    pair = Pair(prompt_id=prompt.id, chosen=better.id, rejected=worse.id)
    (comparison,) = group_pairs(tokenizer, [prompt], [better, worse], [pair], context_length=96)
    assert comparison.sequences[comparison.chosen[0]] == demonstration.tokens
    assert demonstration.tokens[: demonstration.learn_from] == encode_prompt(tokenizer, "my sink")
