"""Shards of prompts, completed on the workers of a Ray cluster through Prefect's Ray task runner.

Each shard is a Prefect task run of its own. What it gives back goes through Ray's memory and is not persisted.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import torch
from prefect import get_client, get_run_logger, task
from prefect.client.schemas.filters import (
    TaskRunFilter,
    TaskRunFilterId,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES
from prefect.futures import as_completed
from prefect.settings import PREFECT_API_URL, temporary_settings
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.errors import ConfigError
from models.generation.prompt_shards import Shard, complete_shard
from models.generation.sampling import Sample
from models.network.networks import load_policy
from models.network.precision import pick_device
from models.settings.compute import Compute
from models.settings.generation import GenerationConfig, RayRunner

CONNECT_SECONDS = 10.0
TELL_SECONDS = 30.0
MOST_ASKED_FOR = 200  # of Prefect's server, in one answer

if TYPE_CHECKING:
    from prefect_ray import RayTaskRunner


def complete_on_ray(
    runner: RayRunner, model_folder: Path, shards: list[Shard], config: GenerationConfig, compute: Compute, seed: int
) -> list[list[list[Sample]]]:
    """The completions of each shard, in the order of the shards, computed side by side; the same as `complete_shard` gives here.

    The first shard that fails ends it with the shard's own error; the others are stopped. Raises ConfigError when Ray is not installed
    or the cluster cannot be reached.
    """
    with connected(runner) as ray_runner:
        from prefect_ray.context import remote_options

        needs = _resources(compute)
        with remote_options(**needs), temporary_settings({PREFECT_API_URL: _api_url()}):
            futures = [
                ray_runner.submit(
                    complete_remotely,
                    {
                        "model_folder": model_folder,
                        "shard": shard,
                        "config": config,
                        "compute": compute,
                        "seed": seed,
                        "num_threads": torch.get_num_threads(),
                    },
                )
                for shard in shards
            ]
        results = {}
        for future in as_completed(futures):  # waits in Python, so that a cancel comes through; `ray.get` holds it back
            results[future.task_run_id] = future.result()
            get_run_logger().info("%d of %d shards", len(results), len(shards))
        _wait_until_told(list(results)[-MOST_ASKED_FOR:])  # the last of each worker is among them
        return [results[future.task_run_id] for future in futures]


@task(name="shard", persist_result=False)
def complete_remotely(
    model_folder: Path, shard: Shard, config: GenerationConfig, compute: Compute, seed: int, num_threads: int
) -> list[list[Sample]]:
    """The completions of one shard, computed on a worker."""
    model, tokenizer = _load(model_folder, pick_device(compute))
    return complete_shard(model, tokenizer, shard, config, compute, seed, num_threads)


@lru_cache(maxsize=1)
def _load(model_folder: Path, device: torch.device) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A worker completes several shards, and reads the model once."""
    model, tokenizer = load_policy(model_folder)
    return model.to(device), tokenizer


def _wait_until_told(task_run_ids: list[UUID]) -> None:
    """Waits until Prefect has heard from the workers that these have ended: a Ray that ends kills them, and what they did not send yet.

    Not for ever, and Prefect being away is no error: the completions are here.
    """
    ended = TaskRunFilter(
        id=TaskRunFilterId(any_=task_run_ids),
        state=TaskRunFilterState(type=TaskRunFilterStateType(any_=list(TERMINAL_STATES))),
    )
    deadline = time.monotonic() + TELL_SECONDS
    with suppress(httpx.HTTPError), get_client(sync_client=True) as client:
        while len(client.read_task_runs(task_run_filter=ended)) < len(task_run_ids) and time.monotonic() < deadline:
            time.sleep(0.1)


@contextmanager
def connected(runner: RayRunner) -> Iterator["RayTaskRunner"]:
    """Prefect's task runner, on the cluster at `address` or on a Ray of its own, which ends with it. Raises ConfigError."""
    require_ray()
    from prefect_ray import RayTaskRunner

    options = {"address": runner.address, "log_to_driver": False, "logging_level": "WARNING"}
    if runner.address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options["include_dashboard"] = False
    else:
        _require_reachable(runner.address)
    with _own_sigterm():
        try:
            # prefect-ray starts a new Ray for an `address` of auto; Ray itself, which `init_kwargs` go to, does not
            ray_runner = RayTaskRunner(init_kwargs=options).__enter__()
        except (ConnectionError, RuntimeError) as error:
            raise ConfigError(f"generation.runner.address {runner.address}: no Ray cluster: {error}") from error
    try:
        yield ray_runner
    finally:
        ray_runner.__exit__(None, None, None)


def require_ray() -> None:
    """Raises ConfigError when the packages for it are missing."""
    try:
        import prefect_ray  # noqa: F401
        import ray  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"generation.runner.kind is ray, but {error.name} is not installed: pip install 'rein[ray]', or set it to local"
        ) from None


def _require_reachable(address: str) -> None:
    """Raises ConfigError when nobody listens there: Ray itself would go on trying for many minutes."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"generation.runner.address {address}: no Ray cluster there ({error}); expected local, auto, host:port or ray://host:port"
        ) from None


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Leaves the process's answer to SIGTERM as it was: Ray's would take the place of Prefect's, which ends a run as cancelled."""
    answer = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, answer)


def _resources(compute: Compute) -> dict[str, float]:
    """What a shard asks of Ray: a GPU where the settings want one, else as many cores as this process has threads."""
    import ray

    on_gpu = compute.device == "cuda" or (compute.device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)
    wanted = {"GPU": 1} if on_gpu else {"CPU": torch.get_num_threads()}
    if not any(node["Resources"].get(name, 0) >= num for node in ray.nodes() for name, num in wanted.items()):
        get_run_logger().warning(
            "no machine of the Ray cluster has %s: shards wait for one. With CPU, OMP_NUM_THREADS lowers what they ask for",
            wanted,
        )
    return {"num_cpus": wanted.get("CPU", 1), "num_gpus": wanted.get("GPU", 0)}


def _api_url() -> str:
    """Where this process's Prefect server is, also a temporary one: without it each worker would start one of its own."""
    return str(get_client(sync_client=True).api_url)
