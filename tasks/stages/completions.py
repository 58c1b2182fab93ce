"""Stage `completions`: several different completions of each prompt, for people to rank."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import get_run_logger

from models.errors import DataError
from models.records import Artifact, Completion, Prompt, read_records, write_records
from models.settings.compute import Compute
from models.settings.generation import GenerationConfig, RayRunner
from tasks.running.stage import Work, stage

if TYPE_CHECKING:
    from models.generation.prompt_shards import Shard
    from models.generation.sampling import Sample  # loads torch


@stage("completions", kind="completions", unit="completions")
def generate_completions(
    work: Work,
    config: GenerationConfig,
    max_new_tokens: int,
    base: Artifact,
    prompts: Artifact,
    compute: Compute,
    seed: int,
) -> int:
    """completions.jsonl: up to K different completions of each prompt. Prompts with fewer than two are left out, and counted."""
    from models.generation.prompt_shards import cut_into_shards

    asked = read_records(prompts.folder / "prompts.jsonl", Prompt)
    shards = cut_into_shards([prompt.text for prompt in asked], config.shard_size, max_new_tokens)
    if isinstance(config.runner, RayRunner):
        from tasks.running.ray_shards import complete_on_ray

        completed = complete_on_ray(config.runner, base.folder / "model", shards, config, compute, seed)
    else:
        completed = _complete_here(base.folder / "model", shards, config, compute, seed)
    drawn = [samples for shard in completed for samples in shard]
    completions = [
        Completion.of(prompt.id, sample.text, sample.ended)
        for prompt, samples in zip(asked, drawn, strict=True)
        if len(samples) >= 2
        for index, sample in enumerate(samples)
    ]
    if not completions:
        raise DataError("no prompt got two different completions; raise generation.temperature or num_attempts")
    num_ranked = sum(len(samples) >= 2 for samples in drawn)
    work.metrics["completions"] = len(completions)
    work.metrics["prompts_without_completions"] = len(asked) - num_ranked
    work.metrics["prompts_with_fewer_completions"] = sum(2 <= len(s) < config.num_completions for s in drawn)
    work.metrics["completions_end_rate"] = sum(c.ended for c in completions) / len(completions)
    return write_records(work.folder / "completions.jsonl", completions)


def require_runner(config: GenerationConfig) -> None:
    """Raises ConfigError when the packages of the configured runner are missing; loads nothing else."""
    if isinstance(config.runner, RayRunner):
        from tasks.running.ray_shards import require_ray

        require_ray()


def _complete_here(
    model_folder: Path, shards: list["Shard"], config: GenerationConfig, compute: Compute, seed: int
) -> "Iterator[list[list[Sample]]]":
    """The completions of one shard after another."""
    import torch

    from models.generation.prompt_shards import complete_shard
    from models.network.networks import load_policy
    from models.network.precision import pick_device

    model, tokenizer = load_policy(model_folder)
    model.to(pick_device(compute))
    for num_done, shard in enumerate(shards, start=1):
        yield complete_shard(model, tokenizer, shard, config, compute, seed, torch.get_num_threads())
        get_run_logger().info("%d of %d shards", num_done, len(shards))
