"""Stage `completions`: several different completions of each prompt, for people to rank."""

from models.config import Compute, GenerationConfig
from models.errors import DataError
from models.records import Artifact, Completion, Prompt, read_records, write_records
from tasks.stage import Work, stage


@stage("completions", kind="completions")
def generate_completions(
    work: Work, config: GenerationConfig, base: Artifact, prompts: Artifact, compute: Compute, seed: int
) -> int:
    """completions.jsonl: up to K different completions of each prompt. Prompts with fewer than two are left out, and counted."""
    from models.networks import load_policy
    from models.optimization import autocast, pick_device
    from models.sampling import sample_distinct

    model, tokenizer = load_policy(base.folder / "model")
    asked = read_records(prompts.folder / "prompts.jsonl", Prompt)
    with autocast(compute):
        drawn = sample_distinct(model.to(pick_device(compute)), tokenizer, [p.text for p in asked], config, seed)
    completions = [
        Completion.of(prompt.id, index, sample.text, sample.ended)
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
