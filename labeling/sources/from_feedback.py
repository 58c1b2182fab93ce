"""The prompts and completions of the feedback itself, those of training prompts alone."""

from pathlib import Path

from models.errors import ConfigError
from models.records import Completion, Prompt, read_records
from models.settings.sources import FromFeedback


def texts(source: FromFeedback, seed: int, feedback: Path | None) -> list[str]:
    """Prompt and completion as one text, each different one once."""
    return [f"{prompt}\n{completion}" for prompt, completion in demonstrations(source, seed, feedback)]


def demonstrations(source: FromFeedback, seed: int, feedback: Path | None) -> list[tuple[str, str]]:
    """(prompt, completion), each different one once. Raises ConfigError where there is no feedback yet."""
    if feedback is None:
        raise ConfigError("source.kind feedback: there is no feedback before people have ranked; it is for flow learn")
    prompts = {prompt.id: prompt for prompt in read_records(feedback / "prompts.jsonl", Prompt)}
    completions = read_records(feedback / "completions.jsonl", Completion)
    rows = [(prompts[completion.prompt_id], completion.text) for completion in completions]
    return list(dict.fromkeys((prompt.text, text) for prompt, text in rows if prompt.split == "train"))
