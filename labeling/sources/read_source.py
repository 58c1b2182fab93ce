"""Reads texts, demonstrations and prompts from a source of any kind.

The module of a kind offers what its seam promises; `feedback` is the folder of a feedback snapshot, where there is one:

- `texts(source, seed, feedback) -> list[str]`
- `demonstrations(source, seed, feedback) -> list[tuple[str, str]]`, of (prompt, completion)
- `prompts(source, seed, bad) -> list[str]`, while rows without one go to `bad`; the module may have INSTRUCTIONS in Markdown for people who rank completions of them
"""

from pathlib import Path

from labeling.sources.bad_rows import BadRows
from models.settings.sources import DemonstrationSource, PromptSource, TextSource


def read_texts(source: TextSource, seed: int, feedback: Path | None) -> list[str]:
    """Raw texts for pretraining. Of feedback only what belongs to training prompts. Raises DataError when there are none."""
    return source.load_module().texts(source, seed, feedback)


def read_demonstrations(source: DemonstrationSource, seed: int, feedback: Path | None) -> list[tuple[str, str]]:
    """(prompt, completion) to imitate. Of feedback only what belongs to training prompts."""
    return source.load_module().demonstrations(source, seed, feedback)


def read_prompts(source: PromptSource, seed: int, set_aside: Path | None = None) -> list[str]:
    """Prompts as they stand in the source, repetitions included.

    With bad rows it raises DataError that lists them; given a file to set them aside in, it writes them there and gives the others.
    """
    bad = BadRows()
    prompts = source.load_module().prompts(source, seed, bad)
    bad.refuse_or_write(f"the source of kind {source.kind}", set_aside, bool(prompts))
    return prompts
