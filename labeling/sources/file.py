"""Texts, demonstrations and prompts from a file."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path

from labeling.sources.bad_rows import BadRows
from labeling.sources.columns import Row, read_columns
from labeling.sources.row_files import ENDINGS, read_rows
from models.errors import DataError
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
    """(line or row number, row) of a file. Raises DataError that names what is no row."""
    if path.suffix == ".txt":
        yield from _lines(path)
        return
    if path.suffix not in ENDINGS:
        raise DataError(f"{path}: unknown ending; use one of {', '.join(ENDINGS)}, .txt")
    if path.is_file() and path.stat().st_size == 0:
        raise DataError(f"{path}: the dataset is empty")
    bad = BadRows()
    yield from [(row.line, row.values) for row in read_rows(path, bad)]
    if bad:
        bad.refuse(str(path))


def _lines(path: Path) -> Iterator[Row]:
    """The lines of a text file as they stand, blank ones left out."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    for number, line in enumerate(path.read_bytes().removeprefix(BOM_UTF8).split(b"\n"), start=1):
        try:
            text = line.removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}:{number}: not UTF-8 ({error.reason} at byte {error.start + 1})") from None
        if text.strip():
            yield number, {"text": text}
