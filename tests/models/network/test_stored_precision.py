"""Weights are saved in the type that the base's are of, and what is saved is what anybody goes on with."""

import json
import shutil
import struct

import pytest
import torch
from safetensors.torch import load_file

from models.errors import TrainingError
from models.network.base import load_base
from models.network.networks import RewardModel, load_policy, save_policy
from models.network.precision import round_like
from models.records import Demonstration, write_records
from models.rewards.kind_file import write_kind
from models.settings.rewards import PairwiseReward
from models.settings.sources import Household
from models.settings.training import PretrainedBase, SFTConfig
from models.stages import sft
from models.training.checkpoints import Checkpoints
from models.tuning.ppo.tune import tune
from models.tuning.tuner import TuningTask
from tests.models.ppo_examples import PROMPTS, SAMPLING, config_of
from tests.tolerances import close


def types(folder) -> set[str]:
    """The types of the weights in model.safetensors, as its head tells them."""
    data = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return {told["dtype"] for name, told in json.loads(data[8 : 8 + length]).items() if name != "__metadata__"}


@pytest.fixture(params=[torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def base(request, policy, tokenizer, tmp_path):
    """A base of this type, as its makers saved it; every weight a number that the type holds."""
    makers = tmp_path / "makers"
    policy.to(request.param).save_pretrained(makers)
    tokenizer.save_pretrained(makers)
    save_policy(tmp_path / "base", *load_base(PretrainedBase(model=str(makers))))
    return tmp_path / "base"


def test_a_base_is_kept_in_the_type_of_its_makers_bit_for_bit(base):
    assert types(base) == types(base.parent / "makers") != {"F32"}
    config = json.loads((base / "config.json").read_text())
    assert (
        config["dtype"]
        == json.loads((base.parent / "makers/config.json").read_text())["dtype"]
        == config["torch_dtype"]
    )
    makers, kept = load_file(base.parent / "makers/model.safetensors"), load_file(base / "model.safetensors")
    assert makers.keys() == kept.keys() and all(torch.equal(makers[name], kept[name]) for name in makers)
    assert {weight.dtype for weight in load_policy(base)[0].parameters()} == {torch.float32}


def test_what_was_learned_is_saved_in_the_type_of_the_base_and_is_what_anybody_goes_on_with(base, tmp_path):
    learned, tokenizer = load_policy(base)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in learned.parameters():
            weight.add_(1e-4 * torch.randn(weight.shape))
    exact = [weight.detach().clone() for weight in learned.parameters()]
    save_policy(tmp_path / "policy", learned, tokenizer, learned_from=base, seed=3)
    assert types(tmp_path / "policy") == types(base)
    again = load_policy(tmp_path / "policy")[0]
    assert all(torch.equal(a, b) for a, b in zip(learned.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(learned.parameters(), exact, strict=True))
    # a weight in [1, 2) goes to one of its two neighbours, which are 2^-7 apart in bfloat16 and 2^-10 in float16; smaller ones less far
    for a, b in zip(learned.parameters(), exact, strict=True):
        assert ((a - b).abs() <= b.abs() * 2**-7 + 1e-6).all()


def test_weights_of_float32_are_saved_as_they_are(policy, tokenizer, tmp_path):
    save_policy(tmp_path / "base", policy, tokenizer)
    before = [weight.detach().clone() for weight in policy.parameters()]
    save_policy(tmp_path / "policy", policy, tokenizer, learned_from=tmp_path / "base")
    assert types(tmp_path / "policy") == {"F32"}
    assert all(torch.equal(a, b) for a, b in zip(policy.parameters(), before, strict=True))


class OneWeight(torch.nn.Module):
    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weights)


def rounded(base, weights, seed=0) -> torch.Tensor:
    model = OneWeight(weights)
    round_like(model, base, seed)
    return model.weight.detach()


def test_steps_too_small_for_the_type_are_kept_on_average(base):
    # above 1 the numbers of bfloat16 are 2^-7 apart, of float16 2^-10; a quarter of the way is rounded up a quarter of the time:
    # over 40,000 weights a share of 0.25 +- 4 sqrt(0.25 * 0.75 / 40,000) = 0.009
    width = {"BF16": 2**-7, "F16": 2**-10}[types(base).pop()]
    for sign in (1.0, -1.0):
        for part, share in [(0.25, 0.25), (0.75, 0.75), (-0.125, 0.125 * 2)]:  # below 1 they are half as far apart
            found = rounded(base, torch.full((40_000,), sign * (1 + part * width))) * sign
            other = 1 + (width if part > 0 else -width / 2)
            assert set(found.tolist()) == {1.0, other}
            assert close((found == other).double().mean(), share, tolerance=0.009)


def test_a_weight_that_has_not_moved_stays_and_the_seed_says_which_go_up(base):
    held = torch.cat([weight.detach().flatten() for weight in load_policy(base)[0].parameters()] + [torch.zeros(3)])
    assert torch.equal(rounded(base, held.clone()), held)
    moved = held + 1e-5
    assert torch.equal(rounded(base, moved.clone(), seed=1), rounded(base, moved.clone(), seed=1))
    assert not torch.equal(rounded(base, moved.clone(), seed=1), rounded(base, moved.clone(), seed=2))
    tiny = torch.full((40_000,), -1e-9)  # below the smallest number of float16, 6e-8, and an ordinary one of bfloat16
    assert close(rounded(base, tiny).mean(), -1e-9, tolerance=4e-10)


def test_a_weight_beyond_the_type_is_no_infinity(base):
    too_large = {"BF16": 3.4e38, "F16": 7e4}[types(base).pop()]  # the largest are 3.39e38 and 65504
    with pytest.raises(TrainingError, match=r"too large for torch\.(b?)float16"):
        rounded(base, torch.tensor([too_large]))


@pytest.mark.parametrize("base", [torch.bfloat16], indirect=True, ids=["bfloat16"])
def test_fine_tuning_and_tuning_save_in_the_type_of_the_base(base, tmp_path, compute):
    def checkpoints(name: str) -> Checkpoints:
        return Checkpoints(tmp_path / "checkpoints" / name, every=100)

    shutil.move(base, tmp_path / "start/model")
    write_records(tmp_path / "demonstrations.jsonl", [Demonstration(prompt=PROMPTS[0], completion="Change the bulb.")])
    config = SFTConfig(source=Household())
    list(sft.train(tmp_path / "sft", config, tmp_path / "start", tmp_path, compute, 0, checkpoints("sft")))
    assert types(tmp_path / "sft/model") == {"BF16"}

    reward_model = RewardModel.start(tmp_path / "sft/model", seed=0, zero_head=False)
    reward_model.save(tmp_path / "reward", load_policy(tmp_path / "sft/model")[1])
    write_kind(tmp_path / "reward", PairwiseReward())
    given = (PROMPTS, PROMPTS[:1], None, None, SAMPLING, compute, 0, checkpoints("tuning"))
    list(tune(TuningTask(tmp_path, tmp_path / "sft/model", tmp_path / "reward", *given), config_of(num_updates=1)))
    assert types(tmp_path / "model") == {"BF16"}
    before, after = load_policy(tmp_path / "sft/model")[0], load_policy(tmp_path / "model")[0]
    assert not all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
