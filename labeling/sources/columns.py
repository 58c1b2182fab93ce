"""Reads texts, demonstrations and prompts from where the config says: the tiny world, files, the hub, or the feedback."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labeling.worlds import household
from models.errors import ConfigError, DataError
from models.records import Artifact, Completion, Prompt, read_jsonl, read_records
from models.settings.sources import (
    DemonstrationFile,
    DemonstrationHub,
    DemonstrationSource,
    FromFeedback,
    Household,
    PromptSource,
    TextFile,
    TextHub,
    TextSource,
)


def read_texts(source: TextSource, seed: int, feedback: Artifact | None) -> list[str]:
    """Raw texts for pretraining. Of feedback only what belongs to training prompts. Raises DataError when there are none."""
    if isinstance(source, Household):
        return household.texts(source.num_rows, seed)
    if isinstance(source, FromFeedback):
        return [f"{prompt}\n{completion}" for prompt, completion in _training_feedback(feedback)]
    return [row[0] for row in _read_columns(source, (source.column,))]


def read_demonstrations(source: DemonstrationSource, seed: int, feedback: Artifact | None) -> list[tuple[str, str]]:
    """(prompt, completion) to imitate. Of feedback only what belongs to training prompts."""
    if isinstance(source, Household):
        return household.demonstrations(source.num_rows, seed)
    if isinstance(source, FromFeedback):
        return _training_feedback(feedback)
    columns = (source.prompt_column, source.completion_column)
    return [(row[0], row[1]) for row in _read_columns(source, columns)]


def read_prompts(source: PromptSource, seed: int) -> list[str]:
    """Prompts as they stand in the source, repetitions included."""
    if isinstance(source, Household):
        return household.prompts(source.num_rows, seed)
    return [row[0] for row in _read_columns(source, (source.column,))]


def _training_feedback(feedback: Artifact | None) -> list[tuple[str, str]]:
    """Prompt and completion texts of the feedback's training prompts, each different text once."""
    if feedback is None:
        raise ConfigError("source.kind feedback: there is no feedback before people have ranked; it is for flow learn")
    prompts = {prompt.id: prompt for prompt in read_records(feedback.folder / "prompts.jsonl", Prompt)}
    completions = read_records(feedback.folder / "completions.jsonl", Completion)
    rows = [(prompts[completion.prompt_id], completion.text) for completion in completions]
    return list(dict.fromkeys((prompt.text, text) for prompt, text in rows if prompt.split == "train"))


def _read_columns(
    source: TextFile | TextHub | DemonstrationFile | DemonstrationHub, columns: tuple[str, ...]
) -> list[tuple[str, ...]]:
    """The named columns of a file or hub dataset.

    Raises DataError naming file and row (from 1) for a missing column or a value that is no text, and for an empty source.
    """
    is_file = isinstance(source, TextFile | DemonstrationFile)
    name = source.path if is_file else source.name
    rows = _file_rows(Path(source.path)) if is_file else _hub_rows(source)
    read = []
    for number, row in rows:
        for column in columns:
            if column not in row:
                raise DataError(f"{name}:{number}: no column {column!r}; there are {', '.join(map(repr, row))}")
            if not isinstance(row[column], str) or not row[column].strip():
                raise DataError(f"{name}:{number}: column {column!r} holds no text")
        read.append(tuple(row[column].strip() for column in columns))
    if not read:
        raise DataError(f"{name}: the dataset is empty")
    return read


def _file_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line or row number, row) of a file. JSON Lines are read here, to name the line that is wrong."""
    readers = {".csv": "csv", ".parquet": "parquet", ".txt": "text"}
    if path.suffix == ".jsonl":
        yield from read_jsonl(path)
        return
    if path.suffix not in readers:
        raise DataError(f"{path}: unknown ending; use one of .jsonl, {', '.join(readers)}")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the dataset is empty")
    import datasets

    try:
        table = datasets.load_dataset(readers[path.suffix], data_files=str(path), split="train")
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"{path}: cannot be read: {error.__cause__ or error}") from None
    yield from enumerate(table, start=1)


def _hub_rows(source: TextHub | DemonstrationHub) -> Iterator[tuple[int, dict[str, Any]]]:
    import datasets

    try:
        table = datasets.load_dataset(source.name, source.subset, split=source.split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"dataset {source.name!r} cannot be loaded: {str(error).splitlines()[0]}") from None
    yield from enumerate(table, start=1)
