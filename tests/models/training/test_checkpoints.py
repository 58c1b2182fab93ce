"""Checkpoints on disk: what is put back, what is refused, what is kept and what is thrown away."""

import json
import logging
import random
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from models.records import StepMetrics
from models.training import checkpoints as checkpoints_module
from models.training.checkpoints import Checkpointed, Checkpoints
from tests.models.ppo_examples import equal, state_of


class Holder:
    """A part whose state is a tree of everything that parts are made of."""

    def __init__(self, tree: dict) -> None:
        self.tree = tree

    def state_dict(self) -> dict:
        return self.tree

    def load_state_dict(self, state_dict: dict) -> None:
        self.tree = state_dict


def steps(number: int) -> list[StepMetrics]:
    return [StepMetrics(step=step, num_steps=9, values={"loss": 1 / (step + 3)}) for step in range(number)]


@pytest.fixture
def folder(tmp_path):
    """Checkpoints after 1, 2 and 3 steps of a network whose weights are all 1, 2 and 3."""
    network, checkpoints = nn.Linear(2, 2), Checkpoints(tmp_path / "kept", every=1)
    for number in (1, 2, 3):
        for parameter in network.parameters():
            nn.init.constant_(parameter, number)
        checkpoints.save(steps(number), {"network": network})
    return tmp_path / "kept"


def restored(folder) -> tuple[float, list[StepMetrics]]:
    """The weight and the steps that a new process finds; a weight of 0 was not touched."""
    network = nn.Linear(2, 2)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    found = Checkpoints(folder, every=1).restore({"network": network})
    return network.weight[0, 0].item(), found


def test_the_newest_is_put_back_with_its_steps(folder):
    assert restored(folder) == (3.0, steps(3))


def test_two_are_kept_and_nothing_else(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000002", "step-00000003"]
    assert {path.name for path in (folder / "step-00000003").iterdir()} == {
        *("manifest.json", "rest.json", "tensors.safetensors")
    }


def test_no_more_than_two_lie_on_the_disk_while_a_third_is_written(folder, monkeypatch):
    """Each is several times as large as the model."""
    flush, lying = checkpoints_module._flush, []

    def look(path):
        lying.append(sorted(path.name[:5] for path in folder.iterdir()))
        flush(path)

    monkeypatch.setattr(checkpoints_module, "_flush", look)
    checkpoints = Checkpoints(folder, every=1)
    checkpoints.restore({"network": nn.Linear(2, 2)})
    checkpoints.save(steps(4), {"network": nn.Linear(2, 2)})
    assert lying[0] == [".scra", "step-"] and max(map(len, lying)) == 2


def test_no_checkpoint_is_an_empty_start(tmp_path):
    assert restored(tmp_path / "none") == (0.0, [])


def test_a_step_is_kept_when_it_is_due(tmp_path):
    progress = Checkpointed(Checkpoints(tmp_path, every=3), network=nn.Linear(1, 1))
    kept = []
    for step in steps(7):
        assert progress.add(step) is step
        kept.append(sorted(path.name for path in tmp_path.iterdir()))
    third, sixth = "step-00000003", "step-00000006"
    assert kept == [[], [], [third], [third], [third], [third, sixth], [third, sixth]]


def test_every_kind_of_state_comes_back_as_it_was(tmp_path):
    shared = torch.arange(4.0)
    tree = {
        "numbers": {0: torch.tensor(3), 7: [torch.tensor([0.1], dtype=torch.bfloat16), None, True]},
        "tied": [shared, shared, shared[:2].clone()],
        "tensor": {"items": 0.1 + 0.2, "empty": torch.zeros(0)},
        "nothing": {},
    }
    Checkpoints(tmp_path, every=1).save(steps(1), {"one": Holder(tree)})
    back = Holder({})
    Checkpoints(tmp_path, every=1).restore({"one": back})
    assert repr(back.tree) == repr(tree)
    assert torch.equal(back.tree["numbers"][7][0], tree["numbers"][7][0])
    assert back.tree["numbers"][0].dtype == torch.int64


def test_an_optimizer_goes_on_with_its_moments_and_its_learning_rate(tmp_path):
    def set_up():
        torch.manual_seed(0)
        network = nn.Linear(3, 3)
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
        return network, optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))

    def descend(network, optimizer, schedule, number):
        for _ in range(number):
            optimizer.zero_grad()
            network(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()
            schedule.step()

    unbroken, broken, resumed = set_up(), set_up(), set_up()
    descend(*unbroken, 5)
    descend(*broken, 3)
    names = ("network", "optimizer", "schedule")
    Checkpoints(tmp_path, every=1).save(steps(3), dict(zip(names, broken, strict=True)))
    Checkpoints(tmp_path, every=1).restore(dict(zip(names, resumed, strict=True)))
    descend(*resumed, 2)
    assert equal(state_of(resumed[0]), state_of(unbroken[0]))


def test_the_global_generators_go_on_where_they_were(tmp_path):
    def draw():
        return torch.rand(3).tolist(), random.gauss(0, 1), np.random.standard_normal(3).tolist()

    draw()
    Checkpoints(tmp_path, every=1).save(steps(1), {})
    expected = draw()
    draw()
    Checkpoints(tmp_path, every=1).restore({})
    assert draw() == expected


# what is refused


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def empty(path):
    path.write_bytes(b"")


def remove(path):
    path.unlink()


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, empty, remove], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", ["tensors.safetensors", "rest.json", "manifest.json"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(folder, name, damage, caplog):
    damage(folder / "step-00000003" / name)
    with caplog.at_level(logging.INFO):
        assert restored(folder) == (2.0, steps(2))
    refused, resumed = (record.getMessage() for record in caplog.records)
    assert refused.startswith(f"checkpoint refused: {folder / 'step-00000003'}: ") and name in refused
    assert caplog.records[0].levelno == logging.WARNING
    assert resumed == "resumed at step 2 of 9"


@pytest.mark.parametrize("content", ["[]", "{}", "3", '"text"', '{"rest.json": null}'])
def test_a_manifest_that_says_something_else_is_refused(folder, content):
    (folder / "step-00000003" / "manifest.json").write_text(content)
    assert restored(folder) == (2.0, steps(2))


def test_an_edited_number_is_refused(folder):
    rest = folder / "step-00000003" / "rest.json"
    tree = json.loads(rest.read_text())
    tree["steps"][0]["values"]["loss"] = 0.0
    rest.write_text(json.dumps(tree))
    assert restored(folder) == (2.0, steps(2))


def test_a_checkpoint_under_another_name_is_refused(folder, caplog):
    shutil.copytree(folder / "step-00000002", folder / "step-00000008")
    assert restored(folder) == (3.0, steps(3))
    assert "step-00000008: holds the state after 2 steps" in caplog.text


def test_all_damaged_is_an_empty_start(folder, caplog):
    for path in folder.iterdir():
        truncate(path / "tensors.safetensors")
    assert restored(folder) == (0.0, [])
    assert [name in caplog.text for name in ("step-00000002", "step-00000003")] == [True, True]


def test_half_written_ones_do_not_count_and_are_cleared_away(folder):
    shutil.copytree(folder / "step-00000003", folder / ".scratch-abc")
    assert restored(folder) == (3.0, steps(3))
    assert not (folder / ".scratch-abc").exists()


def test_a_refused_one_is_replaced_and_never_outlives_a_good_one(folder):
    truncate(folder / "step-00000003" / "rest.json")
    network = nn.Linear(2, 2)
    checkpoints = Checkpoints(folder, every=1)
    checkpoints.restore({"network": network})
    checkpoints.save(steps(4), {"network": network})
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000002", "step-00000004"]

    truncate(folder / "step-00000004" / "rest.json")
    checkpoints = Checkpoints(folder, every=1)
    checkpoints.restore({"network": network})
    checkpoints.save(steps(4), {"network": network})
    assert restored(folder) == (2.0, steps(4))


def test_a_save_that_fails_leaves_the_ones_before(folder, monkeypatch):
    """Whatever the write stops at, before the rename there is no new checkpoint."""
    monkeypatch.setattr(
        "models.training.checkpoints.json.dumps", lambda tree: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        Checkpoints(folder, every=1).save(steps(4), {"network": nn.Linear(2, 2)})
    assert restored(folder) == (3.0, steps(3))
