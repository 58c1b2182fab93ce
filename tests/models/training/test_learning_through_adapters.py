"""Supervised fine-tuning and reward training through LoRA: what learns, what a checkpoint holds, and that what is left is an ordinary network."""

import copy

import pytest
import torch
from safetensors.torch import load_file

from models.network.lora import add_adapter
from models.rewards.pairwise import Comparison, score_sequences, train_reward
from models.settings.rewards import PairwiseReward
from models.settings.training import LoRA, Training
from models.training.causal_lm import encode_demonstrations, train_language
from models.training.checkpoints import Checkpoints
from tests.models.ppo_examples import equal, state_of
from tests.tolerances import close

DEMONSTRATIONS = [
    ("the lamp does not light", "change the bulb"),
    ("my sink", "turn the water off, then tighten the nut."),
] * 4
COMPARISONS = [
    Comparison(
        [[1, 20, word, 30, 2], [1, 20, word, 40, 50, 2]],
        chosen=[0],
        rejected=[1],
        label=[1.0],
        weight=[1.0],
        margin=[0.0],
    )
    for word in range(60, 68)
]
SMALL = LoRA(rank=4, alpha=8.0)
# A block of the tiny Llama has four matrices of 32 x 32 and three of 32 x 96 or 96 x 32; rank 4, two blocks.
ADAPTER_SIZE = 2 * 4 * (4 * (32 + 32) + 3 * (32 + 96))
ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def learn_to_write(model, tokenizer, compute, checkpoints=None, **settings):
    config = Training(**{"batch_size": 4, "learning_rate": 1e-2, "num_epochs": 4, "lora": SMALL} | settings)
    sequences = encode_demonstrations(tokenizer, DEMONSTRATIONS, context_length=96)
    return train_language(model, sequences, config, compute, 0, checkpoints)


def learn_to_judge(reward_model, compute, checkpoints=None, **settings):
    config = PairwiseReward(**{"batch_size": 4, "learning_rate": 1e-2, "num_epochs": 4, "lora": SMALL} | settings)
    return train_reward(reward_model, COMPARISONS, config, compute, 0, checkpoints)


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """The last word but one of the names of weights that changed, such as q_proj."""
    assert before.keys() == after.keys(), "an ordinary network again"
    return {name.split(".")[-2] for name in before if not torch.equal(before[name], after[name])}


def test_a_policy_learns_in_its_linear_layers_alone_and_is_ordinary_again(policy, tokenizer, compute):
    before = state_of(policy)
    losses = [step.values["loss"] for step in learn_to_write(policy, tokenizer, compute)]
    assert losses[-1] < losses[0] - 0.5
    assert moved(before, state_of(policy)) == set(ADAPTED)
    for name in ADAPTED:
        (change,) = (
            after - before[key]
            for key, after in state_of(policy).items()
            if key.endswith(f"layers.1.{'mlp' if name in ADAPTED[4:] else 'self_attn'}.{name}.weight")
        )
        assert torch.linalg.matrix_rank(change, rtol=1e-4) <= SMALL.rank, name
    assert all(weight.requires_grad for weight in policy.parameters()) and not hasattr(policy, "peft_config")


def test_a_reward_model_learns_in_its_head_too(reward_model, compute):
    before = state_of(reward_model)
    steps = [step.values for step in learn_to_judge(reward_model, compute, num_epochs=10)]
    assert steps[-1]["accuracy"] == 1.0 and steps[-1]["loss"] < steps[0]["loss"]
    assert moved(before, state_of(reward_model)) == {*ADAPTED, "score"}
    assert all(weight.requires_grad for weight in reward_model.parameters()), "or an ensemble would keep the head alone"
    scores = score_sequences(reward_model, [sequence for one in COMPARISONS for sequence in one.sequences])
    assert close(scores.mean(), 0.0, tolerance=1e-5) and close(scores.std(unbiased=False), 1.0, tolerance=1e-5)


def test_a_checkpoint_holds_the_adapter_and_the_head(reward_model, compute, tmp_path):
    checkpoints = Checkpoints(tmp_path, every=1)
    next(steps := learn_to_judge(reward_model, compute, checkpoints))
    next(steps)
    (file,) = tmp_path.glob("step-00000001/*.safetensors")
    sizes = {name: tensor.numel() for name, tensor in load_file(file).items() if "/model/" in name}
    assert sum(sizes.values()) == ADAPTER_SIZE + 32


@pytest.mark.parametrize("stage", ["policy", "reward model"])
def test_resumed_after_any_step_it_is_bit_for_bit_the_unbroken_run(
    stage, policy, reward_model, tokenizer, compute, tmp_path
):
    def start(network, checkpoints=None):
        if stage == "policy":
            return learn_to_write(network, tokenizer, compute, checkpoints, num_epochs=2)
        return learn_to_judge(network, compute, checkpoints, num_epochs=2)

    given = policy if stage == "policy" else reward_model
    unbroken = copy.deepcopy(given)
    expected = list(start(unbroken))
    assert len(expected) == 4
    for stop in (1, 2, 3):
        folder = tmp_path / str(stop)
        broken = start(copy.deepcopy(given), Checkpoints(folder, every=1))
        for _ in range(stop):
            next(broken)
        broken.close()
        resumed = copy.deepcopy(given)
        assert list(start(resumed, Checkpoints(folder, every=1))) == expected
        assert equal(state_of(resumed), state_of(unbroken)), stop


def test_the_first_step_sees_the_network_as_it_was(policy, tokenizer, compute):
    plain, adapted = (
        next(learn_to_write(copy.deepcopy(policy), tokenizer, compute, lora=lora)).values["loss"]
        for lora in (None, SMALL)
    )
    assert plain == adapted


def test_only_the_named_layers_learn(policy, tokenizer, compute):
    before = state_of(policy)
    list(learn_to_write(policy, tokenizer, compute, lora=LoRA(rank=2, target_modules=("v_proj",)), num_epochs=1))
    assert moved(before, state_of(policy)) == {"v_proj"}


def test_what_learns_is_of_the_size_that_arithmetic_says(policy):
    add_adapter(policy, SMALL, seed=0, name="model")
    assert sum(weight.numel() for weight in policy.parameters() if weight.requires_grad) == ADAPTER_SIZE
