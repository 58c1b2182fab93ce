"""`rein doctor`: what is installed, what this machine has, what is reached, and what would be slow."""

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import httpx

from cli.store_option import DEFAULT_STORE, Store
from models.errors import PipelineError
from models.free_space import free_disk, free_memory
from models.settings.pipeline import StorageConfig, TrackingConfig
from tasks.running.space import in_gigabytes

PACKAGES = ("torch", "transformers", "prefect", "mlflow")
ANSWER_SECONDS = 5.0
LITTLE_MEMORY, LITTLE_DISK = 4e9, 5e9
OWN = "Rein"


def doctor(
    *, root: str = StorageConfig().root, tracking_uri: str = TrackingConfig().uri, store: Store = DEFAULT_STORE
) -> None:
    """Says what is installed, what this machine has, whether what is configured answers, and what would be slow and why.

    Ends with status 1 where something that is configured does not work.

    Parameters
    ----------
    root
        The folder of the artifacts (`storage.root`).
    tracking_uri
        Where models are registered (`tracking.uri`).
    """
    print(f"versions: {OWN} {installed('rein')}, Python {platform.python_version()}, ", end="")
    print(", ".join(f"{name} {installed(name)}" for name in PACKAGES), flush=True)
    machine = list(describe_machine(Path(root)))
    places = [
        ("Prefect", prefect_state()),
        ("MLflow", mlflow_state(tracking_uri)),
        ("feedback store", store_state(store)),
    ]
    for line in (*machine, *(f"{name}: {state}" for name, (state, _) in places), *slow_things(Path(root))):
        print(line)
    if broken := [name for name, (_, is_well) in places if not is_well]:
        raise PipelineError(f"{', '.join(broken)}: configured, and cannot be used; see above")


def installed(package: str) -> str:
    """The version that is installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def describe_machine(root: Path) -> Iterator[str]:
    """Lines about device, processor, memory and disk."""
    import torch

    from models.processor import describe_processor

    has_gpu = torch.cuda.is_available()
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())] if has_gpu else []
    yield f"device: {', '.join(names) if names else 'cpu (torch sees no CUDA GPU)'}"
    processor = describe_processor()
    bfloat16 = "bfloat16" if processor["bfloat16"] else "no bfloat16"
    yield f"processor: {processor['name']}, {processor['cores']} cores, {processor['kernels']}, {bfloat16}"
    memory = free_memory()
    yield f"memory: {'not known' if memory is None else in_gigabytes(memory)} free"
    yield f"disk: {in_gigabytes(free_disk(root))} free for {root.resolve()}"


def prefect_state() -> tuple[str, bool]:
    """Where Prefect's server is, and whether it can be used."""
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return (
            "no server is configured (PREFECT_API_URL); each command starts one of its own, which takes 5 to 20 s",
            True,
        )
    return _answering(url, f"{url.rstrip('/')}/health")


def mlflow_state(uri: str) -> tuple[str, bool]:
    """Where MLflow's server or database is, and whether it can be used."""
    if uri.startswith("http"):
        return _answering(uri, f"{uri.rstrip('/')}/health")
    return _file_state(uri)


def store_state(url: str) -> tuple[str, bool]:
    """Where the feedback store is, and what it holds."""
    if not url.startswith("postgresql"):
        state, is_well = _file_state(url)
        if not (is_well and Path(url.partition(":///")[2]).exists()):
            return state, is_well
    from sqlalchemy import func, select

    from labeling.store.database import FeedbackStore
    from labeling.store.schema import Batch, Judgement, Labeler

    try:
        with FeedbackStore(url) as opened, opened.read() as session:
            numbers = [session.scalar(select(func.count()).select_from(table)) for table in (Batch, Labeler, Judgement)]
    except PipelineError as error:
        return str(error), False
    return f"{url}: batches {numbers[0]}, labelers {numbers[1]}, judgements {numbers[2]}", True


def slow_things(root: Path) -> Iterator[str]:
    """Lines about what takes longer here than it would elsewhere, and what to do."""
    import torch

    from models.processor import computes_in_bfloat16

    cores, threads, memory = os.cpu_count() or 1, torch.get_num_threads(), free_memory()
    if not torch.cuda.is_available():
        yield "slow: no GPU, so that models of more than some hundred million weights take hours; tuning.lora={} and shorter completions help"
        if not computes_in_bfloat16():
            yield "slow: this processor has no bfloat16 (AVX512-BF16 or AMX), so that float32 is computed in: twice the time and memory"
        if threads < cores:
            yield f"slow: torch computes with {threads} of {cores} cores; OMP_NUM_THREADS, or the limits of a container, say so"
    if memory is not None and memory < LITTLE_MEMORY:
        yield f"slow: only {in_gigabytes(memory)} of memory are free; `rein check PRESET` says what a run takes"
    if free_disk(root) < LITTLE_DISK:
        yield f"slow: only {in_gigabytes(free_disk(root))} of disk are free; `rein prune` lists what nothing needs any more"


def _answering(address: str, health: str) -> tuple[str, bool]:
    try:
        answer = httpx.get(health, timeout=ANSWER_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"{address} does not answer: {error}", False
    if answer.status_code != httpx.codes.OK:
        return f"{address} answers with status {answer.status_code}", False
    return f"{address} answers", True


def _file_state(url: str) -> tuple[str, bool]:
    file = Path(url.partition(":///")[2])
    if not file.exists():
        return f"{url}: nothing is there yet; the first run makes it", True
    if not file.is_file() or not os.access(file, os.R_OK | os.W_OK):
        return f"{url}: cannot be read and written", False
    return f"{url}: there", True
