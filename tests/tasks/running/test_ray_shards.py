"""What stands in the way of Ray is said, and what to do."""

import sys

import pytest

from models.errors import ConfigError
from models.settings.generation import GenerationConfig, RayRunner
from tasks.running.ray_shards import connected
from tasks.stages.completions import require_runner
from tests.free_port import free_port


@pytest.mark.parametrize("package", ["ray", "prefect_ray"])
def test_a_missing_package_is_named_with_what_installs_it(monkeypatch, package):
    require_runner(GenerationConfig(runner=RayRunner()))
    monkeypatch.setitem(sys.modules, package, None)
    require_runner(GenerationConfig())
    with pytest.raises(ConfigError, match=rf"generation\.runner.*{package} is not installed.*rein\[ray\]"):
        require_runner(GenerationConfig(runner=RayRunner()))


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "127.0.0.1", "127.0.0.1:head"])
def test_a_cluster_that_does_not_answer_is_named_at_once(address):
    address = address.format(port=free_port())
    with (
        pytest.raises(ConfigError, match=rf"generation\.runner\.address {address}: no Ray cluster"),
        connected(RayRunner(address=address)),
    ):
        pass
