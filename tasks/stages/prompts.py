"""Stage `prompts`: sampled, de-duplicated, seeded, split."""

import random
from collections import Counter
from collections.abc import Sequence

from labeling.sources.read_source import read_prompts
from models.errors import DataError
from models.preferences.splits import assign_split
from models.records import Artifact, Completion, Prompt, write_records
from models.settings.generation import PromptsConfig
from models.settings.pipeline import SplitConfig
from tasks.running.stage import Work, stage


@stage("prompts", kind="prompts", unit="prompts", reads_data=True)
def sample_prompts(
    work: Work, config: PromptsConfig, split: SplitConfig, base: Artifact, max_new_tokens: int, seed: int
) -> int:
    """prompts.jsonl: `num_prompts` different prompts, each with its side of the split.

    Read with the tokenizer of the base model, so that a prompt that leaves no room for a completion is refused (DataError)
    before anything is trained.
    """
    prompts = _sampled(config, "prompts", split, base, max_new_tokens, seed)
    sizes = Counter(prompt.split for prompt in prompts)
    if not sizes["train"] or not sizes["test"]:
        raise DataError(f"{len(prompts)} prompts are too few for a split: {dict(sizes)}; raise prompts.num_prompts")
    work.metrics |= {f"prompts_{name}": count for name, count in sorted(sizes.items())}
    return write_records(work.folder / "prompts.jsonl", prompts)


@stage("tuning-prompts", kind="prompts", unit="prompts", reads_data=True)
def sample_tuning_prompts(
    work: Work, config: PromptsConfig, split: SplitConfig, base: Artifact, max_new_tokens: int, seed: int
) -> int:
    """prompts.jsonl as above, of prompts that the policy is tuned on and nobody has ranked completions of."""
    prompts = _sampled(config, "tuning.prompts", split, base, max_new_tokens, seed)
    return write_records(work.folder / "prompts.jsonl", prompts)


def _sampled(
    config: PromptsConfig, key: str, split: SplitConfig, base: Artifact, max_new_tokens: int, seed: int
) -> list[Prompt]:
    texts = list(dict.fromkeys(read_prompts(config.source, seed)))
    if len(texts) < config.num_prompts:
        raise DataError(f"{key}.num_prompts is {config.num_prompts}, but the source has {len(texts)} different prompts")
    texts = random.Random(seed).sample(texts, config.num_prompts)
    require_room(base, texts, max_new_tokens)
    return [Prompt.of(text, assign_split(text, split, seed)) for text in texts]


def require_room(
    base: Artifact, texts: Sequence[str], max_new_tokens: int, completed: Sequence[tuple[str, Completion]] = ()
) -> None:
    """Raises DataError naming the prompts that leave no room for `max_new_tokens` in the base model's context, and the completions
    (each with its prompt's text) that are longer, with their prompts, than the context."""
    from transformers import AutoConfig, AutoTokenizer

    from models.network.tokens import check_lengths, encode_completion, encode_prompt

    tokenizer = AutoTokenizer.from_pretrained(base.folder / "model")
    context_length = AutoConfig.from_pretrained(base.folder / "model").max_position_embeddings
    encoded = {text: encode_prompt(tokenizer, text) for text in texts}
    check_lengths(
        list(encoded.values()), list(encoded), context_length - max_new_tokens, f"max_new_tokens={max_new_tokens}"
    )
    lengths = [
        (len(encoded[text]) + len(encode_completion(tokenizer, one.text, one.ended)), one.text)
        for text, one in completed
    ]
    too_long = [one for one in lengths if one[0] > context_length]
    if too_long:
        length, text = max(too_long)
        raise DataError(
            f"{len(too_long)} completions are longer, with their prompts, than the {context_length} tokens that the model reads; "
            f"the longest has {length}: {text[:80]!r}"
        )
