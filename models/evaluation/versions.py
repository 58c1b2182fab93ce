"""What each version of the model writes to the same prompts: one completion after the other, or the best of n by a score."""

import math
from collections.abc import Sequence
from pathlib import Path

from models.errors import TrainingError
from models.evaluation.references import VersionSample
from models.evaluation.writer import load_writer
from models.network.precision import autocast
from models.rewards.scorer import Score
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig


def sample_version(
    version: str,
    model: Path,
    score: Score,
    prompts: Sequence[str],
    num_samples: int,
    sampling: SamplingConfig,
    compute: Compute,
    seed: int,
) -> list[VersionSample]:
    """`num_samples` completions of each prompt by the model in a folder, those of a prompt in a row, with their scores."""
    writer = load_writer(model, compute)
    asked = [prompt for prompt in prompts for _ in range(num_samples)]
    with autocast(compute):
        drawn = writer.complete(asked, sampling, seed)
        return scored(version, asked, [sample.text for sample in drawn], score)


def scored(version: str, prompts: Sequence[str], completions: Sequence[str], score: Score) -> list[VersionSample]:
    """Completions as records with their scores. Raises TrainingError when one is not finite."""
    samples = [
        VersionSample(prompt=prompt, version=version, completion=completion, score=given)
        for prompt, completion, given in zip(prompts, completions, score(prompts, completions).tolist(), strict=True)
    ]
    if not all(math.isfinite(sample.score) for sample in samples):
        raise TrainingError(f"references: the reward model gives a completion of {version} a score that is not finite")
    return samples


def first_of_each(samples: Sequence[VersionSample], drawn: int, kept: int) -> list[VersionSample]:
    """The first `kept` of `drawn` samples of each prompt."""
    return [sample for place, sample in enumerate(samples) if place % drawn < kept]


def best_of_each(samples: Sequence[VersionSample], drawn: int, n: int) -> list[VersionSample]:
    """Of each prompt the sample with the highest score among the first n of `drawn`, the first of equal ones; as version `best_of_n`."""
    chosen = [
        max(samples[start : start + n], key=lambda sample: sample.score) for start in range(0, len(samples), drawn)
    ]
    return [sample.model_copy(update={"version": "best_of_n"}) for sample in chosen]
