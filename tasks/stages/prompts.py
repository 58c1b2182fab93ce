"""Stage `prompts`: sampled, de-duplicated, seeded, split."""

import random
from collections import Counter

from labeling.sources.read_source import read_prompts
from models.errors import DataError
from models.preferences.splits import side_of, sides_of
from models.records import Artifact, Prompt, read_records, write_records
from models.settings.generation import PromptsConfig
from models.settings.pipeline import SplitConfig
from tasks.running.stage import Work, stage
from tasks.stages.room import require_room, set_aside, unfit_prompts


@stage("prompts", kind="prompts", unit="prompts", reads_data=True)
def sample_prompts(
    work: Work, config: PromptsConfig, split: SplitConfig, base: Artifact, max_new_tokens: int, seed: int
) -> int:
    """prompts.jsonl: `num_prompts` different prompts, each with its side of the split.

    Read with the tokenizer of the base model, so that a prompt that leaves no room for a completion is refused (DataError), or set
    aside in rejected.jsonl, as the config says, before anything is trained.
    """
    prompts = _sampled(work, config, "prompts", split, None, base, max_new_tokens, seed)
    sizes = Counter(prompt.split for prompt in prompts)
    if not sizes["train"] or not sizes["test"]:
        raise DataError(f"{len(prompts)} prompts are too few for a split: {dict(sizes)}; raise prompts.num_prompts")
    work.metrics |= {f"prompts_{name}": count for name, count in sorted(sizes.items())}
    return write_records(work.folder / "prompts.jsonl", prompts)


@stage("round-prompts", kind="prompts", unit="prompts")
def deal_prompts(work: Work, prompts: Artifact, number: int, num_rounds: int) -> int:
    """prompts.jsonl: those of this round, counted from 1. Every prompt comes in one round, and each round has its share of every side of the split.

    Raises DataError where a round gets no prompt to train on, or none to test by.
    """
    every = read_records(prompts.folder / "prompts.jsonl", Prompt)
    sides = [[prompt for prompt in every if prompt.split == side] for side in ("train", "validation", "test")]
    dealt = [prompt for side in sides for prompt in side[number - 1 :: num_rounds]]
    sizes = Counter(prompt.split for prompt in dealt)
    if not sizes["train"] or not sizes["test"]:
        raise DataError(
            f"{len(every)} prompts are too few for {num_rounds} rounds: round {number} has {dict(sizes)}; raise prompts.num_prompts"
        )
    return write_records(work.folder / "prompts.jsonl", dealt)


@stage("tuning-prompts", kind="prompts", unit="prompts", reads={"sides": ("prompts.jsonl",)}, reads_data=True)
def sample_tuning_prompts(
    work: Work,
    config: PromptsConfig,
    split: SplitConfig,
    base: Artifact,
    sides: Artifact | None,
    max_new_tokens: int,
    seed: int,
) -> int:
    """prompts.jsonl as above, of prompts that the policy is tuned on. One that the feedback (`sides`) knows stands on its side."""
    prompts = _sampled(work, config, "tuning.prompts", split, sides, base, max_new_tokens, seed)
    return write_records(work.folder / "prompts.jsonl", prompts)


def _sampled(
    work: Work,
    config: PromptsConfig,
    key: str,
    split: SplitConfig,
    sides: Artifact | None,
    base: Artifact,
    max_new_tokens: int,
    seed: int,
) -> list[Prompt]:
    rejected = work.folder / "rejected.jsonl" if config.bad_rows == "set_aside" else None
    texts = list(dict.fromkeys(read_prompts(config.source, seed, rejected)))
    if rejected is not None:
        unfit = unfit_prompts(base, texts, max_new_tokens)
        texts = [text for text in texts if text not in unfit]
        set_aside(work, rejected, [({"prompt": text}, [why]) for text, why in unfit.items()], count="rejected_prompts")
    if len(texts) < config.num_prompts:
        raise DataError(f"{key}.num_prompts is {config.num_prompts}, but the source has {len(texts)} different prompts")
    texts = random.Random(seed).sample(texts, config.num_prompts)
    require_room(base, texts, max_new_tokens)
    known = sides_of(read_records(sides.folder / "prompts.jsonl", Prompt) if sides else ())
    return [Prompt.of(text, side_of(text, known, split, seed)) for text in texts]
