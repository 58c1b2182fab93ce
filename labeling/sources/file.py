"""Texts, demonstrations and prompts from a file."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path

from labeling.sources.bad_rows import BadRows, Row
from labeling.sources.columns import read_columns, read_text
from labeling.sources.exchanges import read_demonstration, read_prompt
from labeling.sources.row_files import ENDINGS, read_rows
from models.errors import DataError
from models.settings.sources import DemonstrationFile, TextFile


def texts(source: TextFile, seed: int, feedback: Path | None) -> list[str]:
    """The texts of its column."""
    bad = BadRows()
    found = read_columns(source.path, _file_rows(Path(source.path), bad), {"column": source.column}, bad, read_text)
    if bad:
        bad.refuse(source.path)
    return found


def demonstrations(source: DemonstrationFile, seed: int, feedback: Path | None) -> list[tuple[str, str]]:
    """Prompt and completion of its two columns, or of the whole dialogues in its one."""
    bad = BadRows()
    columns = {"prompt_column": source.prompt_column, "completion_column": source.completion_column}
    found = read_columns(source.path, _file_rows(Path(source.path), bad), columns, bad, read_demonstration)
    if bad:
        bad.refuse(source.path)
    return found


def prompts(source: TextFile, seed: int, bad: BadRows) -> list[str]:
    """The texts and conversations of its column."""
    return read_columns(source.path, _file_rows(Path(source.path), bad), {"column": source.column}, bad, read_prompt)


def _file_rows(path: Path, bad: BadRows) -> Iterator[Row]:
    """The rows of a file, or the lines of a text file. Raises DataError for one that cannot be read."""
    if path.suffix not in (*ENDINGS, ".txt"):
        raise DataError(f"{path}: unknown ending; use one of {', '.join(ENDINGS)}, .txt")
    if path.is_file() and path.stat().st_size == 0:
        raise DataError(f"{path}: the dataset is empty")
    return _lines(path, bad) if path.suffix == ".txt" else read_rows(path, bad)


def _lines(path: Path, bad: BadRows) -> Iterator[Row]:
    """The lines of a text file as they stand, blank ones left out."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    for number, line in enumerate(path.read_bytes().removeprefix(BOM_UTF8).split(b"\n"), start=1):
        try:
            text = line.removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            row = Row(path, number, line.decode(errors="backslashreplace"))
            bad.add(row, "", f"not UTF-8 ({error.reason} at byte {error.start + 1})")
            continue
        if text.strip():
            yield Row(path, number, {"text": text})
