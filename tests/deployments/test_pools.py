"""Every worker that Rein starts, or tells somebody to start, polls the pool that deployments go to, and no deployment waits in vain."""

import re
import shlex
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from deployments.local.up import Places, workers
from deployments.register import WORK_POOL
from tests.test_presets import PROJECT

TEAM = PROJECT / "deployments" / "team"
COMPOSE = {file.name: yaml.safe_load(file.read_text(encoding="utf-8"))["services"] for file in TEAM.glob("*.yaml")}
KUBERNETES = (PROJECT / "deployments" / "kubernetes" / "rein.yaml").read_text(encoding="utf-8")
DEPLOYMENTS = yaml.safe_load((PROJECT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
DEPLOYED_TO = {one["work_pool"]["name"] for one in DEPLOYMENTS}
PROFILES = {
    profile for services in COMPOSE.values() for one in services.values() for profile in one.get("profiles", [])
}


def polled(commands: Iterable[str | list[str] | tuple[str, ...]]) -> set[str]:
    """The pools of the commands that start a worker; one that names queues would have to be looked at more closely."""
    split = [shlex.split(one) if isinstance(one, str) else list(one) for one in commands]
    starts = [words for words in split if {"worker", "start"} <= set(words)]
    assert not [words for words in starts if "--work-queue" in words or "-q" in words]
    return {words[words.index("--pool") + 1] for words in starts}


def test_deployments_go_to_the_pool_that_is_registered():
    assert sorted(DEPLOYED_TO) == [WORK_POOL]


@pytest.mark.parametrize("profile", sorted(PROFILES | {""}))
@pytest.mark.parametrize("over", [(), *((name,) for name in COMPOSE if name != "compose.yaml")], ids=str)
def test_in_compose(over: tuple[str, ...], profile: str):
    commands = {}
    for name in ("compose.yaml", *over):
        for service, said in COMPOSE[name].items():
            if profile in said.get("profiles", [profile]) and "command" in said:
                commands[service] = said["command"]
    assert polled(commands.values()) == DEPLOYED_TO


def test_on_kubernetes():
    written = [line.strip("# ").partition("  #")[0] for line in KUBERNETES.splitlines()]
    assert polled(line for line in written if line.startswith("prefect worker")) == DEPLOYED_TO
    assert set(re.findall(r"work-pool create (\S+)", KUBERNETES)) == DEPLOYED_TO


def test_by_make_up():
    places = Places(Path("rein"), 1, 2, 3)
    assert polled(one.command for one in workers(places)) == DEPLOYED_TO
