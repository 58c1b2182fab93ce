"""Reads texts, demonstrations and prompts from a source of any kind.

The module of a kind offers what its seam promises; `feedback` is the folder of a feedback snapshot, where there is one:

- `texts(source, seed, feedback) -> list[str]`
- `demonstrations(source, seed, feedback) -> list[tuple[str, str]]`, of (prompt, completion)
- `prompts(source, seed) -> list[str]`; the module may have INSTRUCTIONS in Markdown for people who rank completions of them
"""

from pathlib import Path

from models.settings.sources import DemonstrationSource, PromptSource, TextSource


def read_texts(source: TextSource, seed: int, feedback: Path | None) -> list[str]:
    """Raw texts for pretraining. Of feedback only what belongs to training prompts. Raises DataError when there are none."""
    return source.load_module().texts(source, seed, feedback)


def read_demonstrations(source: DemonstrationSource, seed: int, feedback: Path | None) -> list[tuple[str, str]]:
    """(prompt, completion) to imitate. Of feedback only what belongs to training prompts."""
    return source.load_module().demonstrations(source, seed, feedback)


def read_prompts(source: PromptSource, seed: int) -> list[str]:
    """Prompts as they stand in the source, repetitions included."""
    return source.load_module().prompts(source, seed)
