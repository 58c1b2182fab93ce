"""Stages `reference-texts`, `versions` and `references`: how often each version of the model is preferred to what people wrote."""

from collections.abc import Mapping

from labeling.sources.read_source import read_demonstrations
from models.conversation import transcript
from models.errors import DataError
from models.evaluation.judges.judge import Judge
from models.evaluation.metrics import Meeting, best_of_n_kl_bound
from models.evaluation.references import (
    FIGURE,
    REFERENCE,
    VERSIONS,
    VersionSample,
    meetings_with_reference,
    outcomes_by_version,
    share_figures,
)
from models.records import Artifact, Demonstration, Prompt, read_records, write_records
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.judges import EvaluationConfig
from models.settings.sources import DemonstrationSource
from tasks.judging.evaluation import SAMPLES, judge_name, material_of, open_judges
from tasks.running.stage import Work, stage

TEXTS = "references.jsonl"


@stage("reference-texts", kind="reference-texts", unit="texts", reads={"prompts": ("prompts.jsonl",)}, reads_data=True)
def read_references(work: Work, source: DemonstrationSource, base: Artifact, prompts: Artifact, seed: int) -> int:
    """references.jsonl: what people wrote to the held-out ones among these prompts.

    Held-out prompts without a reference are left out, and counted. Raises DataError when all are, and for references that the base
    cannot read whole.
    """
    from transformers import AutoConfig, AutoTokenizer

    from models.network.architecture import context_length
    from models.training.causal_lm import encode_demonstrations

    asked = [p.text for p in read_records(prompts.folder / "prompts.jsonl", Prompt) if p.split == "test"]
    held_out = {prompt.strip(): prompt for prompt in asked}
    read = read_demonstrations(source, seed, None)
    kept = [(held_out[prompt.strip()], completion) for prompt, completion in read if prompt.strip() in held_out]
    if not kept:
        shown = f", such as {transcript(read[0][0])[:80]!r}" if read else ""
        raise DataError(
            f"evaluation.references: no text for any of the {len(held_out)} held-out prompts; the {len(read)} that the source has are "
            f"for others{shown}; name a source with completions of these prompts, or leave it out"
        )
    model = base.folder / "model"
    longest = context_length(AutoConfig.from_pretrained(model))
    encode_demonstrations(AutoTokenizer.from_pretrained(model), kept, longest)
    work.metrics["reference_prompts"] = len({prompt for prompt, _ in kept})
    work.metrics["reference_prompts_left_out"] = len(held_out) - work.metrics["reference_prompts"]
    return write_records(work.folder / TEXTS, [Demonstration(prompt=prompt, completion=text) for prompt, text in kept])


@stage("versions", kind="versions", unit="completions", reads={"references": (TEXTS,)})
def sample_versions(
    work: Work,
    num_prompts: int,
    num_samples: int,
    best_of: int,
    sampling: SamplingConfig,
    references: Artifact,
    pretrained: Artifact,
    sft: Artifact | None,
    policy: Artifact,
    reward: Artifact,
    compute: Compute,
    seed: int,
) -> int:
    """samples.jsonl: what each version and people wrote to the first `num_prompts` prompts with a reference, with scores by the reward.

    `sft`: the fine-tuned model; None where there was no fine-tuning, and the policy was tuned from `pretrained`. Best-of-n picks among
    completions of what the policy was tuned from, of which that version's own samples are the first.
    """
    from models.evaluation.versions import best_of_each, first_of_each, sample_version, scored
    from models.rewards.scorer import load_scorer

    score = load_scorer(reward.folder / "model", compute).score_samples
    people = read_records(references.folder / TEXTS, Demonstration)
    prompts = list(dict.fromkeys(one.prompt for one in people))[:num_prompts]
    people = [one for one in people if one.prompt in set(prompts)]
    samples = scored(REFERENCE, [one.prompt for one in people], [one.completion for one in people], score)
    made = {"pretrained": pretrained, "sft": sft, "policy": policy}
    for version, artifact in ((name, one) for name, one in made.items() if one):
        is_base = version == ("sft" if sft else "pretrained")
        drawn = max(num_samples, best_of) if is_base else num_samples
        own = sample_version(version, artifact.folder / "model", score, prompts, drawn, sampling, compute, seed)
        samples += first_of_each(own, drawn, num_samples)
        if is_base:
            samples += best_of_each(own, drawn, best_of)
    work.metrics["reference_prompts_asked"] = len(prompts)
    work.metrics["best_of"] = best_of
    work.metrics["best_of_kl_nats_bound"] = best_of_n_kl_bound(best_of)
    return write_records(work.folder / SAMPLES, samples)


@stage("references", kind="references", unit="completions", reads={"versions": (SAMPLES,)})
def judge_by_references(
    work: Work,
    config: EvaluationConfig,
    best_of: int,
    versions: Artifact,
    pretrained: Artifact,
    sft: Artifact | None,
    policy: Artifact,
    reward: Artifact,
    held_out_reward: Artifact | None,
    compute: Compute,
) -> int:
    """The share of each version preferred to the references, by each judge that grades; and meetings.jsonl, for Elo ratings."""
    samples = read_records(versions.folder / SAMPLES, VersionSample)
    judges = open_judges(config, material_of([reward], held_out_reward, None, work), compute)
    start = (sft or pretrained).sha256
    names = {"pretrained": pretrained.sha256, "sft": start, "best_of_n": f"best of {best_of} by {start[:12]}"}
    names["policy"] = policy.sha256
    met: list[Meeting] = []
    for one in config.judges:
        judge = judges[one.kind]
        if not isinstance(judge, Judge):
            continue  # who votes on pairs, as people do, has not been shown these texts
        outcomes = outcomes_by_version(judge, samples)
        work.metrics |= share_figures(one.kind, outcomes)
        met += meetings_with_reference(judge_name(one, [reward], held_out_reward), outcomes, names)
    write_records(work.folder / "meetings.jsonl", met)
    work.note(_summary(config, work.metrics))
    return len(samples)


def _summary(config: EvaluationConfig, figures: Mapping[str, float]) -> str:
    """A table: a row for each version, a column for each judge."""
    kinds = [one.kind for one in config.judges if any(name.endswith(f"/{one.kind}") for name in figures)]
    rows = [
        [version, *(figures[f"{FIGURE}/{version}/{kind}"] for kind in kinds)]
        for version in VERSIONS
        if all(f"{FIGURE}/{version}/{kind}" in figures for kind in kinds)
    ]
    head = "".join(f" {kind} |" for kind in kinds)
    body = "\n".join(f"| {row[0]} |" + "".join(f" {share:.3f} |" for share in row[1:]) for row in rows)
    return f"Preferred to the human reference, by judge:\n\n| version |{head}\n|---|{'---|' * len(kinds)}\n{body}"
