"""Forgetting what a stage has made, and removing what nothing refers to; the registry is a real one."""

import fcntl
import os
import shutil
import time

import pytest

from models.errors import DataError
from models.settings.pipeline import TrackingConfig
from tasks.lineage.pruning import forget_stage, prune, size_of, unreferenced
from tasks.running.mirror import bring_artifact, find_artifact, keep_in_mirror
from tasks.tracking.registry import register_challenger
from tasks.tracking.tracked_run import TrackedRun
from tests.tasks.hand_made import make
from tests.templates import empty_mlflow

DAY = 86_400


@pytest.fixture
def house(tmp_path, tmp_path_factory):
    """A root with a registered policy and all that is behind it, its evaluation, and things that nothing refers to."""
    shutil.copy(empty_mlflow(tmp_path_factory), tmp_path / "mlflow.db")
    tracking = TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db")
    feedback = make(tmp_path, "feedback-1", "feedback")
    reward = make(tmp_path, "reward-1", "reward-model", feedback)
    policy = make(tmp_path, "tuning-1", "policy", reward)
    make(tmp_path, "evaluation-1", "evaluation", policy)
    lost = make(tmp_path, "tuning-2", "policy", reward)  # its run was killed before it was registered
    make(tmp_path, "evaluation-2", "evaluation", lost)
    make(tmp_path, "sft-1", "language-model")
    with TrackedRun.start(tracking, "test", {}, tmp_path) as run:
        register_challenger(run, "rein-policy", policy)
        register_challenger(run, "rein-reward", reward)
    for folder in ("artifacts/.scratch-1", "checkpoints/tuning-9", "checkpoints/tuning-10", "results"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "half").write_text("12345")
    (tmp_path / "results" / "tuning-2").write_text("cached")
    return tmp_path, tracking


def age(root, days):
    for folder in (*(root / "artifacts").iterdir(), *(root / "checkpoints").iterdir()):
        os.utime(folder, (time.time() - days * DAY,) * 2)


def test_what_no_registered_model_came_from_goes_and_nothing_else(house):
    root, tracking = house
    age(root, 2)
    (root / "locks").mkdir()
    with (root / "locks" / "tuning-10").open("w") as training:
        fcntl.flock(training, fcntl.LOCK_EX)  # as a stage does that is being made
        found = unreferenced(root, tracking, days=1)
    assert [one.relative_to(root).as_posix() for one in found] == [
        *(
            "artifacts/.scratch-1",
            "artifacts/evaluation-2",
            "artifacts/sft-1",
            "artifacts/tuning-2",
            "checkpoints/tuning-9",
        ),
    ]
    assert size_of(root / "artifacts" / ".scratch-1") == 5
    prune(found, root)
    left = {"feedback-1", "reward-1", "tuning-1", "evaluation-1"}
    assert {one.name for one in (root / "artifacts").iterdir()} == left
    assert not (root / "results" / "tuning-2").exists()
    assert (root / "checkpoints" / "tuning-10").exists()


def test_what_is_new_is_left_alone(house):
    root, tracking = house
    age(root, 2)
    assert len(unreferenced(root, tracking, days=1)) == 6
    assert unreferenced(root, tracking, days=3) == []


def test_with_the_wrong_registry_nothing_is_said_to_be_unreferenced(house, tmp_path, tmp_path_factory):
    root, _ = house
    shutil.copy(empty_mlflow(tmp_path_factory), tmp_path / "other.db")
    other = TrackingConfig(uri=f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(DataError, match=r"other.db: none of its registered models was made below"):
        unreferenced(root, other, days=0)


def test_a_forgotten_stage_is_made_again_and_what_came_from_it_finds_it(house, tmp_path):
    root, _ = house
    mirror = f"file://{tmp_path}/mirror"
    reward = find_artifact(root / "artifacts" / "reward-1", None)
    keep_in_mirror(reward, mirror, is_new=True)
    (root / "results" / "reward-1").write_text("cached")
    assert forget_stage("reward", root, mirror) == [reward.folder]
    assert find_artifact(reward.folder, mirror) is None and not (root / "results" / "reward-1").exists()
    assert bring_artifact(reward, root, None).identity == reward.identity
    assert bring_artifact(reward, tmp_path / "another machine", mirror).identity == reward.identity
    with pytest.raises(
        DataError, match=r"reward: no stage of this name .* those that have: evaluation, feedback, reward,"
    ):
        forget_stage("reward", root, mirror)
    again = make(root, "reward-1", "reward-model")
    assert forget_stage("reward", root, None) == [again.folder], "the same content, put aside a second time"


def test_what_is_being_made_is_not_forgotten(house):
    root, _ = house
    (root / "locks").mkdir()
    with (root / "locks" / "reward-1").open("w") as training:
        fcntl.flock(training, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="reward-1: it is being made just now"):
            forget_stage("reward", root, None)
