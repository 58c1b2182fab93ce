"""Texts, demonstrations and prompts from a file."""

from collections.abc import Iterator
from pathlib import Path

from labeling.sources.columns import Row, read_columns
from models.errors import DataError
from models.records import read_jsonl
from models.settings.sources import DemonstrationFile, TextFile


def texts(source: TextFile, seed: int, feedback: Path | None) -> list[str]:
    """The texts of its column."""
    return prompts(source, seed)


def demonstrations(source: DemonstrationFile, seed: int, feedback: Path | None) -> list[tuple[str, str]]:
    """The texts of its two columns."""
    columns = (source.prompt_column, source.completion_column)
    return [(row[0], row[1]) for row in read_columns(source.path, _file_rows(Path(source.path)), columns)]


def prompts(source: TextFile, seed: int) -> list[str]:
    """The texts of its column."""
    return [row[0] for row in read_columns(source.path, _file_rows(Path(source.path)), (source.column,))]


def _file_rows(path: Path) -> Iterator[Row]:
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
