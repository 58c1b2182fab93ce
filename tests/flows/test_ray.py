"""Completions from the workers of a real Ray, started for the run: the same as from one process."""

import os
import re
import shutil
import signal
from pathlib import Path

import httpx
import pytest
import torch
from prefect import flow
from prefect.context import get_run_context
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from models.errors import DataError
from models.generation.prompt_shards import Shard, complete_shard, cut_into_shards
from models.network.networks import build_policy, load_policy, save_policy, train_tokenizer
from models.settings.compute import Compute
from models.settings.generation import GenerationConfig, RayRunner
from models.settings.training import ScratchBase
from tasks.running.ray_shards import complete_on_ray, connected
from tests.flows.conftest import SMOKE, Workplace
from tests.waiting import CEILING_SECONDS

CONFIG = GenerationConfig(runner=RayRunner())
CPU = Compute(device="cpu")


def children() -> set[str]:
    """The command lines of all processes that come from this one."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()
            names[folder.name] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has ended
            continue
        parents[folder.name] = state[1]
    found, waiting = set(), [str(os.getpid())]
    while waiting:
        parent = waiting.pop()
        below = [process for process, its_parent in parents.items() if its_parent == parent]
        waiting += below
        found |= {names[process] for process in below}
    return found


def of_ray(commands: set[str]) -> set[str]:
    """Those of Ray's own processes and its workers."""
    return {command for command in commands if re.search(r"/raylet |gcs_server|^ray::", command)}


@pytest.mark.nightly
def test_the_artifact_is_that_of_one_process(workplace: Workplace, first_report: dict):
    made = Path(first_report["artifacts"]["completions"])
    before = (made / "completions.jsonl").read_bytes()
    shutil.rmtree(made)
    report = workplace.report("rlhf", SMOKE, "generation.runner={kind: ray}")
    assert report["stages_run"] == ["completions"], "the runner does not count, and what follows finds what it knows"
    assert report["artifacts"]["completions"] == str(made)
    assert (made / "completions.jsonl").read_bytes() == before


@pytest.mark.filterwarnings(
    "ignore:subprocess .* is still running:ResourceWarning"
)  # Ray kills its own and does not wait
def test_shards_are_those_of_one_process_and_one_that_fails_ends_it_and_nothing_of_ray_stays(
    tmp_path: Path, prefect_url: str
):
    import ray

    tokenizer = train_tokenizer(["the lamp does not light"] * 4, vocab_size=300)
    shape = ScratchBase(vocab_size=300, hidden_size=16, num_layers=1, num_heads=2, context_length=64)
    save_policy(tmp_path, build_policy(shape, tokenizer, seed=0), tokenizer)
    texts = [f"the lamp {word}" for word in ("does", "not", "light", "lights", "the")]
    shards = cut_into_shards(texts, 2, 8)
    seen = {}

    @flow
    def complete(shards: list[Shard], bad: list[Shard]) -> None:
        answer = signal.getsignal(signal.SIGTERM)
        with connected(CONFIG.runner):  # which the calls below find, and use
            seen["children"] = children()
            seen["cancels"] = signal.getsignal(signal.SIGTERM) is answer
            seen["samples"] = complete_on_ray(CONFIG.runner, tmp_path, shards, CONFIG, CPU, seed=0)
            seen["flow run"] = str(get_run_context().flow_run.id)
            complete_on_ray(CONFIG.runner, tmp_path, bad, CONFIG, CPU, seed=0)

    settings = {PREFECT_API_URL: prefect_url, PREFECT_LOGGING_TO_API_ENABLED: False}
    with temporary_settings(settings), pytest.raises(DataError, match="4 prompts are longer"):  # one, K = 4 times
        complete(shards, [Shard(0, ["the lamp"], 8), Shard(1, ["the lamp " * 100], 8)])
    assert of_ray(seen["children"]), "they are found while it runs"
    assert seen["cancels"], "Prefect's own answer to SIGTERM ends the run as it should"
    assert not ray.is_initialized()
    assert not of_ray(children())

    model, tokenizer = load_policy(tmp_path)
    here = [complete_shard(model, tokenizer, shard, CONFIG, CPU, 0, torch.get_num_threads()) for shard in shards]
    assert len(shards) == 3 and seen["samples"] == here
    query = {
        "flow_runs": {"id": {"any_": [seen["flow run"]]}},
        "task_runs": {"name": {"like_": "shard-"}, "state": {"name": {"any_": ["Completed"]}}},
    }
    told = httpx.post(f"{prefect_url}/task_runs/count", json=query, timeout=CEILING_SECONDS).json()
    assert told >= 3, "each shard is a task run that Prefect knows"
