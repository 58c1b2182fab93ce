"""What does not fit is refused by name, with settings that would."""

import pytest

from models.errors import ConfigError
from models.footprint import NetworkSize
from models.settings.pipeline import PipelineConfig
from tasks.running import space
from tasks.running.space import describe_needs, require_space

MILLION = NetworkSize(10**6, 0, {f"{number}.up_proj": (1000, 1000) for number in range(1)}, (10**6,))
"""16 MB to train; tuning takes 16 x 2 + 4 x 2 = 40 MB, with an adapter of rank 16 9 MB; models 12 MB, checkpoints 48 MB."""


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Settings on a machine with so many megabytes of memory and disk."""

    def make(memory: float = 1e6, disk: float = 1e6, **settings) -> PipelineConfig:
        monkeypatch.setattr(space, "free_memory", lambda: memory * 1e6)
        monkeypatch.setattr(space, "free_disk", lambda folder: disk * 1e6)
        return PipelineConfig(
            base={"kind": "pretrained", "model": "somebody/model"},
            labels={"kind": "store"},
            storage={"root": str(tmp_path)},
            compute={"device": "cpu", "precision": "float32"} | settings.pop("compute", {}),
            **settings,
        )

    return make


def test_the_needs_are_told(given):
    assert describe_needs(given(), MILLION) == [
        "memory for weights, gradients and moments: reward 16.0 MB, tuning 40.0 MB",
        "disk: models 12.0 MB, checkpoints 48.0 MB",
    ]


def test_what_fits_is_let_through(given):
    require_space(given(memory=40.1, disk=60.1), MILLION)


def test_too_little_memory_is_refused_with_what_would_do(given):
    with pytest.raises(ConfigError) as refused:
        require_space(given(memory=39.9), MILLION)
    # 4 x 2 MB frozen and two adapters of 16 x 2000, 16 bytes a weight
    assert str(refused.value) == (
        "tuning needs at least 40.0 MB of memory for weights, gradients and moments; 39.9 MB are free: set "
        "tuning.lora={} (then 9.0 MB), a smaller base.model"
    )
    require_space(given(memory=39.9, tuning={"lora": {}}), MILLION)
    require_space(given(memory=39.9), MILLION, unread=("tuning",))
    with pytest.raises(ConfigError, match=r"^reward needs at least 16.0 MB"):
        require_space(given(memory=15.9), MILLION, unread=("tuning",))
    # 4 MB frozen and an adapter of 16 x 2000, 16 bytes a weight
    with pytest.raises(ConfigError, match=r"set reward.lora=\{\} \(then 4.5 MB\)"):
        require_space(given(memory=15.9), MILLION, unread=("tuning",))


def test_processes_on_one_machine_take_it_several_times(given):
    two = {"num_processes": 2}
    with pytest.raises(ConfigError, match=r"^tuning needs at least 80.0 MB .* set compute.sharding=fsdp2, tuning.lora"):
        require_space(given(memory=79.9, compute=two), MILLION)
    require_space(given(memory=40.1, compute=two | {"sharding": "fsdp2"}), MILLION)


def test_too_little_disk_is_refused_and_what_lies_there_already_is_room(given, tmp_path):
    config = given(disk=59)
    with pytest.raises(
        ConfigError,
        match=r"keeps 60.0 MB below .*models 12.0 MB, checkpoints 48.0 MB.* room for 59.0 MB: set storage.root",
    ):
        require_space(config, MILLION)
    require_space(config, MILLION, unread=("tuning",))
    (tmp_path / "artifacts" / "one").mkdir(parents=True)
    (tmp_path / "artifacts" / "one" / "weights").write_bytes(bytes(1_100_000))
    require_space(config, MILLION)
