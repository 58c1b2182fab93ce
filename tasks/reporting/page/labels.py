"""Who said what, with real examples: the prompt on which people were surest, and the one on which they were least."""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import NamedTuple

from models.conversation import transcript
from models.records import Completion, Consensus, Prompt, Ranking


class Example(NamedTuple):
    """A prompt, its completions by letter, best first by what was agreed on, and how each labeler ordered them: `B > A = C, unusable: D`."""

    heading: str
    prompt: str
    texts: dict[str, str]
    orders: dict[str, str]
    agreed: str


def examples_of(
    agreed: Sequence[Consensus],
    rankings: Sequence[Ranking],
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
) -> list[Example]:
    """Of the prompts that most people ranked, the one with the highest and the one with the lowest confidence; fewer where there are fewer."""
    most = max((one.num_labelers for one in agreed), default=0)
    seen = sorted((one for one in agreed if one.num_labelers == most), key=lambda one: (one.confidence, one.prompt_id))
    if not seen or most < 2:
        return []
    text_of = {one.id: transcript(one.text) for one in prompts}
    completion_of = {one.id: one.text for one in completions}
    by_prompt: dict[str, list[Ranking]] = {}
    for one in rankings:
        by_prompt.setdefault(one.prompt_id, []).append(one)
    chosen = {"They agree most": seen[-1], "They agree least": seen[0]}
    if len(seen) == 1:
        chosen.pop("They agree least")
    return [_example(heading, one, by_prompt[one.prompt_id], text_of, completion_of) for heading, one in chosen.items()]


def _example(
    heading: str,
    agreed: Consensus,
    rankings: Sequence[Ranking],
    text_of: Mapping[str, str],
    completion_of: Mapping[str, str],
) -> Example:
    names = [name for level in agreed.levels for name in level] + list(agreed.unusable)
    letters = dict(zip(names, ascii_uppercase, strict=False))
    return Example(
        heading,
        text_of[agreed.prompt_id],
        {letter: completion_of[name] for name, letter in letters.items()},
        {one.labeler: order_in_letters(one.levels, one.unusable, letters) for one in rankings},
        order_in_letters(agreed.levels, agreed.unusable, letters),
    )


def order_in_letters(levels: Sequence[Sequence[str]], unusable: Sequence[str], letters: Mapping[str, str]) -> str:
    """`A > B = C, unusable: D`."""
    told = " > ".join(" = ".join(sorted(letters[name] for name in level if name in letters)) for level in levels)
    bad = ", ".join(sorted(letters[name] for name in unusable if name in letters))
    return ", ".join(part for part in (told, f"unusable: {bad}" if bad else "") if part)
