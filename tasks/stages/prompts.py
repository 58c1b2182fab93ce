"""Stage `prompts`: sampled, de-duplicated, seeded, split."""

import random
from collections import Counter

from models.errors import DataError
from models.preferences.splits import assign_split
from models.records import Artifact, Prompt, write_records
from models.settings.pipeline import PromptsConfig, SplitConfig
from labeling.sources.columns import read_prompts
from tasks.running.stage import Work, stage


@stage("prompts", kind="prompts")
def sample_prompts(
    work: Work, config: PromptsConfig, split: SplitConfig, base: Artifact, max_new_tokens: int, seed: int
) -> int:
    """prompts.jsonl: `num_prompts` different prompts, each with its side of the split.

    Read with the tokenizer of the base model, so that a prompt that leaves no room for a completion is refused (DataError)
    before anything is trained.
    """
    texts = list(dict.fromkeys(read_prompts(config.source, seed)))
    if len(texts) < config.num_prompts:
        raise DataError(
            f"prompts.num_prompts is {config.num_prompts}, but the source has {len(texts)} different prompts"
        )
    texts = random.Random(seed).sample(texts, config.num_prompts)
    require_room(base, texts, max_new_tokens)
    prompts = [Prompt.of(text, assign_split(text, split, seed)) for text in texts]
    sizes = Counter(prompt.split for prompt in prompts)
    if not sizes["train"] or not sizes["test"]:
        raise DataError(f"{len(prompts)} prompts are too few for a split: {dict(sizes)}; raise prompts.num_prompts")
    work.metrics |= {f"prompts_{name}": count for name, count in sorted(sizes.items())}
    return write_records(work.folder / "prompts.jsonl", prompts)


def require_room(base: Artifact, texts: list[str], max_new_tokens: int) -> None:
    """Raises DataError naming the prompts that leave no room for `max_new_tokens` in the base model's context."""
    from transformers import AutoConfig, AutoTokenizer

    from models.network.tokens import check_lengths, encode_prompt

    tokenizer = AutoTokenizer.from_pretrained(base.folder / "model")
    context_length = AutoConfig.from_pretrained(base.folder / "model").max_position_embeddings
    encoded = [encode_prompt(tokenizer, text) for text in texts]
    check_lengths(encoded, texts, context_length - max_new_tokens, f"max_new_tokens={max_new_tokens}")
