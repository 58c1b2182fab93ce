"""What weights take, against the networks, adapters, optimizers and checkpoints themselves."""

from dataclasses import replace

import pytest
import torch

from models.errors import ConfigError
from models.footprint import NetworkSize, disk_needed, memory_needed
from models.network.lora import add_adapter
from models.network.networks import RewardModel, ValueModel, build_policy, save_policy
from models.settings.judges import EvaluationConfig, HeldOutReward, HouseholdRule
from models.settings.pipeline import PipelineConfig
from models.settings.rewards import PersonalReward
from models.settings.training import LoRA, PretrainedBase, ScratchBase
from models.settings.tuning import GRPOConfig, PPOConfig, RLOOConfig, TuningLoRA
from models.training.checkpoints import Checkpoints, Trained
from models.tuning.online.optimizer import Critic, OnlineOptimizer

SHAPE = ScratchBase(vocab_size=300, hidden_size=64, num_layers=2, num_heads=4, context_length=32)
MATRICES = {"0.q_proj": (30, 10), "0.up_proj": (20, 10)}
ROUND = NetworkSize(num_weights=1000, num_head=100, matrices=MATRICES, layers=(300, 300))
"""A network whose bytes can be counted by hand."""


def settings(precision: str = "float32", **given) -> PipelineConfig:
    whole = {"base": PretrainedBase(model="somebody/model"), "labels": {"kind": "store"}}
    return PipelineConfig(**whole, compute={"precision": precision}, **given)


@pytest.fixture
def network(tokenizer):
    return build_policy(SHAPE, tokenizer, seed=0)


def test_a_size_is_that_of_the_network(network, tokenizer, tmp_path):
    num_weights = sum(weight.numel() for weight in network.parameters())
    save_policy(tmp_path, network, tokenizer)
    read = NetworkSize.of(PretrainedBase(model=str(tmp_path)))
    for size in (NetworkSize.of_scratch(SHAPE), read):
        assert (size.num_weights, size.num_body) == (num_weights, num_weights)
    save_policy(tmp_path / "half", network.bfloat16(), tokenizer)
    assert (read.stored, NetworkSize.of_folder(tmp_path / "half").stored) == (4, 2)
    for lora in (LoRA(rank=3), LoRA(rank=2, target_modules=("q_proj", "down_proj"))):
        # q 64 x 64; gate and up 192 x 64, down 64 x 192
        layer = 4 * 128 + 3 * 256 if lora.rank == 3 else 128 + 256
        assert read.num_adapter(lora) == NetworkSize.of_scratch(SHAPE).num_adapter(lora) == 2 * lora.rank * layer
        adapted = build_policy(SHAPE, tokenizer, seed=0)
        add_adapter(adapted, lora, 0, "policy")
        assert read.num_adapter(lora) == sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    # four 64 x 64, three 64 x 192 and two norms
    assert read.layers == NetworkSize.of_scratch(SHAPE).layers == (4 * 64**2 + 3 * 64 * 192 + 2 * 64,) * 2
    assert NetworkSize.of(PretrainedBase(model="somebody/model")) is None


def test_an_output_layer_of_its_own_is_no_part_of_a_network_that_scores():
    size = NetworkSize.of_shapes(
        {"model.embed_tokens.weight": [9, 2], "lm_head.weight": [9, 2], "norm": [2], "q": [2, 2]}
    )
    assert (size.num_weights, size.num_body, size.matrices) == (42, 24, {"q": (2, 2)})


def test_experts_of_a_layer_belong_to_it():
    shapes = {
        "model.layers.0.experts.1.up": [2, 3],
        "model.layers.0.q": [2, 2],
        "model.layers.10.q": [5, 2],
        "h2.q": [9],
    }
    assert NetworkSize.of_shapes(shapes).layers == (10, 10)
    assert NetworkSize.of_shapes({"layers.2.q": [2], "layers.10.q": [3], "layers.1.q": [4]}).layers == (4, 2, 3)


def test_of_upper_layers_alone_the_rest_is_held_once():
    """16 x 300 policy, 4 x 700 for what is frozen of it, 4 x 300 of the reference's own; value model and reward as ever."""
    upper = {"tuning": PPOConfig(trainable_layers=1)}
    assert memory_needed(settings(**upper), ROUND)["tuning"] == 4_800 + 2_800 + 1_200 + 14_400 + 3_600
    # two bytes less for the reward's 500 linear weights and the 250 of the reference's own layer, and a copy to sample from
    saved = [memory_needed(settings(how, **upper), ROUND)["tuning"] for how in ("float32", "bfloat16")]
    assert saved[0] - saved[1] == 2 * 500 + 2 * 250 - 2_000
    assert disk_needed(settings(**upper), ROUND)["checkpoints"] == 2 * 12 * (300 + 900)
    three = settings(tuning=PPOConfig(trainable_layers=3))
    with pytest.raises(ConfigError, match=r"tuning\.trainable_layers is 3, and the base has 2 layers"):
        memory_needed(three, ROUND)


def test_memory_by_hand(monkeypatch):
    # reward 16 x 900; policy and value model 16 x 1900, reference 4 x 1000, reward 4 x 900
    assert memory_needed(settings(), ROUND) == {"reward": 14_400, "tuning": 30_400 + 4_000 + 3_600}
    # adapters of 16 x (40 + 30) for policy and value model; the base once, the reward once
    lora = settings(tuning=PPOConfig(lora=TuningLoRA(rank=16)))
    assert memory_needed(lora, ROUND)["tuning"] == 16 * 2 * 1120 + 4_000 + 3_600
    whole_value = settings(tuning=PPOConfig(lora=TuningLoRA(rank=16, value_model=False)))
    assert memory_needed(whole_value, ROUND)["tuning"] == 16 * (1120 + 900) + 4_000 + 3_600
    # without a value model 16 x 1000, through an adapter 16 x 1120; reference and reward as before
    assert memory_needed(settings(tuning=RLOOConfig()), ROUND)["tuning"] == 16_000 + 4_000 + 3_600
    assert memory_needed(settings(tuning=GRPOConfig(lora=LoRA(rank=16))), ROUND)["tuning"] == 16 * 1120 + 4_000 + 3_600
    through = settings(reward={"kind": "pairwise", "lora": {"rank": 16}})
    assert memory_needed(through, ROUND)["reward"] == 4 * 900 + 16 * 1120
    # a judge that is trained, and loaded to choose; and the best policy so far
    second = EvaluationConfig(judges=(HeldOutReward(reward={"kind": "pairwise"}),))
    trained = memory_needed(settings(evaluation=second), ROUND)
    assert (trained["held-out-reward"], trained["tuning"]) == (14_400, 38_000 + 3_600 + 4_000)
    # the average, and the best policy so far, which a judge chooses
    judged = EvaluationConfig(judges=(HouseholdRule(),))
    more = settings(tuning=PPOConfig(policy_ema=0.9), evaluation=judged)
    assert memory_needed(more, ROUND)["tuning"] == 38_000 + 2 * 4_000
    five = settings(reward={"kind": "ensemble", "num_members": 5})
    assert memory_needed(five, ROUND)["tuning"] == 38_000 + 4 * 3_600
    # each part is trained by itself; three pairwise ones lie beside each other in tuning, a function takes nothing
    monkeypatch.setenv("REIN_FUNCTIONS", "brevity:reward")
    function = {"reward": {"kind": "function", "function": "brevity:reward"}}
    parts = {"kind": "mixture", "parts": {"good": {}, "right": {}, "kind": {}, "brief": function}}
    mixed = memory_needed(settings(reward=parts), ROUND)
    assert mixed.pop("tuning") == 38_000 + 2 * 3_600
    assert mixed == {f"reward.parts.{name}.reward": 14_400 for name in ("good", "right", "kind")}


def test_what_is_frozen_takes_half_in_bfloat16():
    """In the linear layers, 300 + 200 weights: of the reference and the reward, or of a reward that nothing learns on. The policy, with its adapter
    of 1,120, is sampled from as a copy."""
    assert memory_needed(settings("bfloat16"), ROUND)["tuning"] == 38_000 - 2 * 2 * 500 + 2_000
    lora = {"tuning": PPOConfig(lora=TuningLoRA(rank=16))}
    rounded, whole = (memory_needed(settings(how, **lora), ROUND)["tuning"] for how in ("bfloat16", "float32"))
    assert rounded == whole + 2_000 + 2 * 1_120
    five = lora | {"reward": {"kind": "ensemble", "num_members": 5}}
    saved = memory_needed(settings(**five), ROUND)["tuning"] - memory_needed(settings("auto", **five), ROUND)["tuning"]
    assert saved == 4 * 2 * 500 - 2_000 - 2 * 1_120


def test_disk_by_hand():
    # base and policy 2 x 4 x 1000, reward 4 x 900; two checkpoints of 12 x 1900
    assert disk_needed(settings(), ROUND) == {"models": 11_600, "checkpoints": 2 * 22_800}
    # of a base of 16-bit numbers base and policy take half; the reward model is of float32
    assert disk_needed(settings(), replace(ROUND, stored=2))["models"] == 2 * 2 * 1000 + 4 * 900
    few = settings(tuning=PPOConfig(num_updates=6, checkpoint_every=5))
    assert disk_needed(few, ROUND)["checkpoints"] == 22_800
    assert disk_needed(settings(tuning=RLOOConfig()), ROUND)["checkpoints"] == 2 * 12_000
    assert disk_needed(settings(tuning=PPOConfig(num_updates=4)), ROUND)["checkpoints"] == 0


def test_a_checkpoint_and_what_an_optimizer_holds_are_as_large_as_foretold(network, tokenizer, tmp_path):
    """Of the weights and Adam's moments; what else there is is small."""
    save_policy(tmp_path / "base", network, tokenizer)
    value_model = ValueModel.from_reward(RewardModel.start(tmp_path / "base", seed=0))
    optimizer = OnlineOptimizer(network, PPOConfig(), Critic(value_model, 1e-5))
    for weight in [*network.parameters(), *value_model.parameters()]:
        weight.grad = torch.ones_like(weight)
    held = [*network.parameters(), *value_model.parameters()]
    held += [weight.grad for weight in held]
    optimizer._adam.step()
    held += [tensor for state in optimizer._adam.state.values() for tensor in state.values()]
    size = NetworkSize.of_folder(tmp_path / "base")
    frozen = 4 * (size.num_weights + size.num_body)
    foretold = memory_needed(settings(), size)["tuning"] - frozen
    assert sum(tensor.nbytes for tensor in held) == pytest.approx(foretold, rel=0.01)
    parts = {"policy": Trained(network), "value_model": Trained(value_model), "optimizer": optimizer}
    Checkpoints(tmp_path / "kept", every=1).save([], parts)
    (written,) = (tmp_path / "kept").glob("*/tensors.safetensors")
    few = settings(tuning=PPOConfig(num_updates=6, checkpoint_every=5))
    assert written.stat().st_size == pytest.approx(disk_needed(few, size)["checkpoints"], rel=0.02)


def test_the_reward_of_one_person_lies_on_the_disk_beside_everybodys_and_alone_in_memory():
    everybody, ann = (settings(reward=PersonalReward(person=person)) for person in (None, "ann"))
    assert memory_needed(ann, ROUND)["tuning"] == memory_needed(everybody, ROUND)["tuning"] == 38_000
    kept = disk_needed(ann, ROUND)["models"] - disk_needed(everybody, ROUND)["models"]
    assert kept == 4 * 900
