"""Completions from the workers of a real Ray, started for the run: the same as from one process."""

import os
import re
import shutil
import signal
from pathlib import Path

import httpx
import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from models.errors import DataError
from models.generation.prompt_shards import Shard
from models.network.networks import build_policy, save_policy, train_tokenizer
from models.settings.compute import Compute
from models.settings.generation import GenerationConfig, RayRunner
from models.settings.training import ScratchBase
from tasks.running.ray_shards import complete_on_ray, connected
from tests.flows.conftest import SMOKE, Workplace
from tests.waiting import CEILING_SECONDS

CONFIG = GenerationConfig(runner=RayRunner())


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


def test_the_artifact_is_that_of_one_process(workplace: Workplace, first_report: dict, prefect_url: str):
    made = Path(first_report["artifacts"]["completions"])
    before = (made / "completions.jsonl").read_bytes()
    shutil.rmtree(made)
    report = workplace.report("rlhf", SMOKE, "generation.runner={kind: ray}")
    assert report["stages_run"] == ["completions"], "the runner does not count, and what follows finds what it knows"
    assert report["artifacts"]["completions"] == str(made)
    assert (made / "completions.jsonl").read_bytes() == before
    query = {
        "flow_runs": {"id": {"any_": [report["prefect_flow_run_id"]]}},
        "task_runs": {"name": {"like_": "shard-"}, "state": {"name": {"any_": ["Completed"]}}},
    }
    assert (
        httpx.post(f"{prefect_url}/task_runs/count", json=query, timeout=CEILING_SECONDS).json() == 3
    )  # 40 prompts, 16 to a shard


@pytest.mark.filterwarnings(
    "ignore:subprocess .* is still running:ResourceWarning"
)  # Ray kills its own and does not wait
def test_a_failing_shard_ends_it_with_its_error_and_nothing_of_ray_stays(tmp_path: Path, prefect_url: str):
    import ray

    tokenizer = train_tokenizer(["the lamp does not light"] * 4, vocab_size=300)
    shape = ScratchBase(vocab_size=300, hidden_size=16, num_layers=1, num_heads=2, context_length=64)
    save_policy(tmp_path, build_policy(shape, tokenizer, seed=0), tokenizer)
    seen = {}

    @flow
    def complete(shards: list[Shard]) -> None:
        answer = signal.getsignal(signal.SIGTERM)
        with connected(CONFIG.runner):  # which the call below finds, and uses
            seen["children"] = children()
            seen["cancels"] = signal.getsignal(signal.SIGTERM) is answer
            complete_on_ray(CONFIG.runner, tmp_path, shards, CONFIG, Compute(device="cpu"), seed=0)

    settings = {PREFECT_API_URL: prefect_url, PREFECT_LOGGING_TO_API_ENABLED: False}
    with temporary_settings(settings), pytest.raises(DataError, match="4 prompts are longer"):  # one, K = 4 times
        complete([Shard(0, ["the lamp"], 8), Shard(1, ["the lamp " * 100], 8)])
    assert of_ray(seen["children"]), "they are found while it runs"
    assert seen["cancels"], "Prefect's own answer to SIGTERM ends the run as it should"
    assert not ray.is_initialized()
    assert not of_ray(children())
