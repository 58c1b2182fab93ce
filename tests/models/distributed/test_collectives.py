"""Two processes that train together have the numbers, and end in the weights, of one; a row of the batch belongs to one of them."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import distributed
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from models.distributed import collectives
from models.distributed.collectives import gather_rows, num_ranks, share_of, sum_over_ranks, this_rank
from models.records import StepMetrics
from models.settings.scoring.shaping import FixedKL
from models.training.checkpoints import Checkpoints
from tests.models import rank_examples
from tests.models.ppo_examples import equal
from tests.models.rank_examples import Outcome, run
from tests.tolerances import close

SHARDINGS = ["none", "fsdp2"]
BUDGET = {"num_updates": 6, "learning_rate": 3e-3, "kl": FixedKL(coef=0.0)}


def test_gradients_travel_together_neighbours_of_one_type_as_many_as_fill_a_message(monkeypatch):
    monkeypatch.setattr(collectives, "BUCKET", 6)
    sizes = [4, 1, 1, 9, 3, 2]
    tensors = [torch.zeros(size) for size in sizes] + [torch.zeros(3).double(), torch.zeros(1).double()]
    assert [[len(one) for one in bucket] for bucket in collectives._buckets(tensors)] == [
        [4, 1, 1],
        [9],
        [3, 2],
        [3, 1],
    ]
    assert list(collectives._buckets([])) == []


def same(one: Outcome, other: Outcome) -> bool:
    """Whether two processes took the same steps to the same weights, up to rounding."""
    return (
        one.weights.keys() == other.weights.keys()
        and all(close(one.weights[name], other.weights[name], 1e-5) for name in one.weights)
        and [step.keys() for step in one.numbers] == [step.keys() for step in other.numbers]
        and all(
            close(list(a.values()), list(b.values()), 1e-4) for a, b in zip(one.numbers, other.numbers, strict=True)
        )
    )


def only(network: str, outcome: Outcome) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in outcome.weights.items() if name.startswith(f"{network}/")}


def identical(one: Outcome, other: Outcome) -> bool:
    return equal(one.weights, other.weights) and one.numbers == other.numbers


@dataclass(frozen=True)
class Finished:
    """A training that was run without a break."""

    folder: Path
    outcomes: list[Outcome]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """What the processes of an unbroken training have in the end; each training is run once."""

    @cache
    def finished(training, num_processes: int = 1, sharding: str = "none") -> Finished:
        folder = tmp_path_factory.mktemp("unbroken")
        return Finished(folder, run(training, folder, num_processes, sharding))

    return finished


@pytest.mark.parametrize("sharding", SHARDINGS)
@pytest.mark.parametrize("training", [rank_examples.ppo, rank_examples.ppo_with_options, rank_examples.language])
def test_two_processes_train_as_one(training, sharding, unbroken):
    (alone,), two = unbroken(training).outcomes, unbroken(training, 2, sharding)
    assert all(same(outcome, alone) for outcome in two.outcomes)
    assert identical(*two.outcomes), "the processes have different weights"
    saved = AutoModelForCausalLM.from_pretrained(two.folder / "saved").state_dict()
    assert equal({f"model/{name}": tensor for name, tensor in saved.items()}, only("model", two.outcomes[0]))


def test_what_is_sampled_from_follows_a_sharded_policy(unbroken):
    expected = {
        f"sampler/{name}": (1.25 * weight).bfloat16()
        for name, weight in rank_examples.tiny_policy().state_dict().items()
    }
    for outcome in (*unbroken(rank_examples.sampler).outcomes, *unbroken(rank_examples.sampler, 2, "fsdp2").outcomes):
        assert equal(outcome.weights, expected)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("training", "sharding"),
    [
        (rank_examples.ppo_in_the_upper_layer, "none"),
        (rank_examples.dpo, "none"),
        (rank_examples.dpo, "fsdp2"),
        (rank_examples.rejection_sampling, "none"),
    ],
)
def test_two_processes_tune_otherwise_as_one(training, sharding, unbroken):
    test_two_processes_train_as_one(training, sharding, unbroken)


@pytest.mark.parametrize("sharding", SHARDINGS)
def test_two_processes_train_a_reward_model_as_one(sharding, unbroken):
    alone, two = unbroken(rank_examples.reward), unbroken(rank_examples.reward, 2, sharding)
    assert all(same(outcome, alone.outcomes[0]) for outcome in two.outcomes)
    expected, saved = (
        AutoModelForSequenceClassification.from_pretrained(finished.folder / "saved") for finished in (alone, two)
    )
    assert equal({f"reward/model.{name}": t for name, t in saved.state_dict().items()}, two.outcomes[0].weights)
    assert close(saved.config.score_mean, expected.config.score_mean, 1e-4)
    assert close(saved.config.score_std, expected.config.score_std, 1e-4) and saved.config.score_std != 1


def members_in(folder: Path) -> list[dict[str, torch.Tensor]]:
    return [load_file(folder / "saved" / f"member-{number}" / "model.safetensors") for number in (1, 2)]


def test_two_processes_train_an_ensemble_as_one_also_after_a_break(unbroken, tmp_path):
    """Sharded, and stopped in the second member: the first is found again, in pieces that one process has kept."""
    alone = unbroken(rank_examples.ensemble_of_two)
    run(rank_examples.ensemble_of_two, tmp_path, num_processes=2, sharding="fsdp2", stop_after=4)
    assert sorted(one.name for one in (tmp_path / "checkpoints").iterdir()) == ["finished-1", "member-2"]
    two = run(rank_examples.ensemble_of_two, tmp_path, num_processes=2, sharding="fsdp2")
    assert all(same(outcome, alone.outcomes[0]) for outcome in two) and len(two[0].numbers) == 3 + 2
    for one, other in zip(members_in(alone.folder), members_in(tmp_path), strict=True):
        assert all(close(one[name], other[name], 1e-5) for name in one)
    made, expected = (
        json.loads((folder / "saved" / "combination.json").read_text()) for folder in (tmp_path, alone.folder)
    )
    assert made["aggregate"] == expected["aggregate"] == "mean"
    assert all(close(made[name], expected[name], 1e-4) for name in ("mean", "std", "logit_std"))


@pytest.mark.parametrize("sharding", SHARDINGS)
def test_two_processes_go_on_from_a_checkpoint(sharding, unbroken, tmp_path):
    run(rank_examples.ppo, tmp_path, num_processes=2, sharding=sharding, stop_after=2)
    resumed = run(rank_examples.ppo, tmp_path, num_processes=2, sharding=sharding)
    assert all(map(identical, resumed, unbroken(rank_examples.ppo, 2, sharding).outcomes))


def test_a_checkpoint_serves_any_number_of_processes(unbroken, tmp_path):
    """Sharded or not: one process begins, two go on with pieces of the networks, one finishes."""
    training = rank_examples.ppo_with_options
    run(training, tmp_path, num_processes=1, stop_after=1)
    run(training, tmp_path, num_processes=2, sharding="fsdp2", stop_after=2)
    assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())] == ["step-00000001", "step-00000002"]
    (outcome,) = run(training, tmp_path, num_processes=1)
    assert same(outcome, unbroken(training).outcomes[0])


def test_a_kl_budget_takes_the_weights_of_sharded_networks_back(tmp_path):
    """Those that the ranks have remembered themselves, and those that one process has kept in a checkpoint."""
    (free,) = run(rank_examples.ppo, tmp_path / "free", num_processes=1, **BUDGET)
    kl = [step["objective/kl"] for step in free.numbers]
    exceeded = next(update for update in range(2, 6) if kl[update] > max(kl[:update]))
    limit = {"kl_budget_nats": (max(kl[:exceeded]) + kl[exceeded]) / 2}
    (alone,) = run(rank_examples.ppo, tmp_path / "alone", num_processes=1, **BUDGET, **limit)
    assert len(alone.numbers) == exceeded
    run(rank_examples.ppo, tmp_path / "resumed", num_processes=1, stop_after=exceeded, **BUDGET, **limit)
    for name in ("unbroken", "resumed"):
        outcomes = run(rank_examples.ppo, tmp_path / name, num_processes=2, sharding="fsdp2", **BUDGET, **limit)
        assert all(same(outcome, alone) for outcome in outcomes), name


def test_each_process_goes_on_with_its_own_random_numbers(tmp_path):
    dropout = {"dropout": 0.5, "num_processes": 2}
    unbroken = run(rank_examples.language, tmp_path / "unbroken", **dropout)
    run(rank_examples.language, tmp_path / "broken", **dropout, stop_after=2)
    resumed = run(rank_examples.language, tmp_path / "broken", **dropout)
    assert all(map(identical, resumed, unbroken))


def share_and_gather(folder, compute):
    """What each of three processes sees of five rows."""
    rows = torch.arange(10.0).reshape(5, 2)
    seen = {
        "share": share_of(rows).tolist(),
        "gathered": gather_rows(share_of(rows) * 2).tolist(),
        "texts": gather_rows([text.upper() for text in share_of(["a", "b", "c", "d", "e"])]),
        "sums": sum_over_ranks({"one": 1.0, "rank": float(this_rank())}),
    }
    (folder / f"numbers-{this_rank()}.json").write_text(json.dumps([seen]))
    rank_examples.save_file({}, folder / f"weights-{this_rank()}.safetensors")


def test_rows_are_dealt_out_and_come_back_in_order(tmp_path):
    outcomes = run(share_and_gather, tmp_path, num_processes=3)
    seen = [outcome.numbers[0] for outcome in outcomes]
    assert [one["share"] for one in seen] == [[[0, 1], [6, 7]], [[2, 3], [8, 9]], [[4, 5]]]
    for one in seen:
        assert one["gathered"] == [[0, 2], [4, 6], [8, 10], [12, 14], [16, 18]]
        assert one["texts"] == ["A", "B", "C", "D", "E"]
        assert one["sums"] == {"one": 3.0, "rank": 3.0}


def keep(folder, compute):
    """Every process saves a checkpoint and a policy, in folders of its own."""
    steps = [StepMetrics(step=0, num_steps=1, values={})]
    Checkpoints(folder / f"checkpoints-{this_rank()}", every=1).save(steps, {})
    rank_examples.save_policy(folder / f"policy-{this_rank()}", rank_examples.tiny_policy(), rank_examples.TOKENIZER)
    rank_examples.leave(folder, iter(steps), {})


def test_only_the_first_process_writes(tmp_path):
    run(keep, tmp_path, num_processes=2)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"checkpoints-0", "policy-0"}


def test_one_process_has_all_rows():
    assert not distributed.is_initialized() and (num_ranks(), this_rank()) == (1, 0)
    assert share_of([1, 2, 3]) == [1, 2, 3] == gather_rows([1, 2, 3])
    assert sum_over_ranks({"loss": 2.0}) == {"loss": 2.0}
