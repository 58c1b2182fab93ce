"""The prompts and completions of the feedback itself, those of training prompts alone."""

from collections import Counter
from pathlib import Path

from models.conversation import transcript
from models.errors import ConfigError
from models.records import Completion, Prompt, Ranking, read_records
from models.settings.sources import FromFeedback


def texts(source: FromFeedback, seed: int, feedback: Path | None) -> list[str]:
    """Prompt, as people read it, and completion as one text, each different one once."""
    return list(
        dict.fromkeys(f"{transcript(prompt.text)}\n{one.text}" for prompt, one in _of_training_prompts(feedback))
    )


def demonstrations(source: FromFeedback, seed: int, feedback: Path | None) -> list[tuple[str, str]]:
    """(prompt, completion), each different one once: only what ended by itself, since the end is imitated too, and is not unusable
    to most of those who ranked it. Raises ConfigError where there is no feedback yet."""
    shown = _of_training_prompts(feedback)
    unusable = _unusable(feedback)
    worth_imitating = [(prompt, one) for prompt, one in shown if one.ended and one.id not in unusable]
    return list(dict.fromkeys((prompt.text, one.text) for prompt, one in worth_imitating))


def _of_training_prompts(feedback: Path | None) -> list[tuple[Prompt, Completion]]:
    if feedback is None:
        raise ConfigError("source.kind feedback: there is no feedback before people have ranked; it is for flow learn")
    prompts = {prompt.id: prompt for prompt in read_records(feedback / "prompts.jsonl", Prompt)}
    completions = read_records(feedback / "completions.jsonl", Completion)
    return [(prompts[one.prompt_id], one) for one in completions if prompts[one.prompt_id].split == "train"]


def _unusable(feedback: Path) -> set[str]:
    """The completions that more than half of the rankings which name them mark so."""
    named: Counter[str] = Counter()
    marked: Counter[str] = Counter()
    for ranking in read_records(feedback / "rankings.jsonl", Ranking, may_be_missing=True):
        named.update(list(ranking.places))
        marked.update(ranking.unusable)
    return {name for name in marked if 2 * marked[name] > named[name]}
