"""The rows of a JSON, CSV, TSV or Parquet file, each with its place; what is no row goes to the bad rows.

JSON is one object a line, or one list of objects. Files are UTF-8; a byte order mark at the very beginning is allowed. Values come as the
file has them: texts in CSV and TSV (tables), in JSON and Parquet also numbers, lists and so on. A field that a JSON row has twice, text
that is not UTF-8, a half of a surrogate pair and a row of a table that has the wrong width make a row bad.
"""

import csv
import json
import sys
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from labeling.sources.bad_rows import BadRows, Row
from models.errors import DataError

TABLES = {".csv": ",", ".tsv": "\t"}
"""Endings of files in which every value is text -> what separates fields; quotes are those of CSV."""
ENDINGS = (".jsonl", ".json", *TABLES, ".parquet")
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}


def read_rows(file: Path, bad: BadRows) -> Iterator[Row]:
    """The good rows of a file in order; the ending (one of ENDINGS) says the format.

    Raises DataError for a missing file, another ending, a file that is not of its format, or a column that is there twice.
    """
    if file.suffix not in ENDINGS:
        raise DataError(f"{file}: unknown ending; use one of {', '.join(ENDINGS)}")
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    if file.suffix in TABLES:
        return _table_rows(file, bad)
    return _parquet_rows(file, bad) if file.suffix == ".parquet" else _json_rows(file, bad)


class _NoRow(ValueError):
    """A line that JSON can read, but that is no row."""


def _json_rows(file: Path, bad: BadRows) -> Iterator[Row]:
    decoder = json.JSONDecoder(object_pairs_hook=_mapping)
    for place, (number, line) in enumerate(_elements(file) if _is_list(file) else _lines(file)):
        try:
            values = decoder.decode(line.decode().rstrip())
            if not isinstance(values, dict):
                raise _NoRow(f"expected a JSON object, found {type(values).__name__}")
            broken = _fields_with_half_characters(values) if b"\\u" in line else []
        except (ValueError, RecursionError) as error:
            if place == 0 and isinstance(error, json.JSONDecodeError):
                _refuse_one_object(file)
            bad.add(Row(file, number, line.decode(errors="backslashreplace").rstrip()), "", _why_no_row(error))
            continue
        row = Row(file, number, values)
        for field in broken:
            bad.add(row, field, "holds half of a surrogate pair, which is no character")
        if not broken:
            yield row


def _is_list(file: Path) -> bool:
    """Whether the rows stand in one list. Where lines are meant (.jsonl), a first line that is no object is only a bad row."""
    with file.open("rb") as content:
        if content.read(64).removeprefix(BOM_UTF8).lstrip()[:1] != b"[":
            return False
    if file.suffix == ".json":
        return True
    try:
        rows = json.loads(file.read_bytes().removeprefix(BOM_UTF8))
    except (ValueError, RecursionError):
        return False
    return any(isinstance(row, dict) for row in rows)


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            line = line.removeprefix(BOM_UTF8) if number == 1 else line
            if line.strip():
                yield number, line


def _elements(file: Path) -> Iterator[tuple[int, bytes]]:
    """(place, text) of what stands in a JSON list. Raises DataError where it is not known where an element ends."""
    number, place, decoder = 0, 0, json.JSONDecoder()
    try:
        text = file.read_bytes().removeprefix(BOM_UTF8).decode()
        json.loads(text)
        place = _after_space(text, text.index("[") + 1)
        while text[place] != "]":
            number += 1
            _, end = decoder.raw_decode(text, place)
            yield number, text[place:end].encode()
            place = _after_space(text, end)
            place = _after_space(text, place + 1) if text[place] == "," else place
    except json.JSONDecodeError as error:
        raise DataError(f"{file}:{error.lineno}: {_why_no_row(error)}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: {_why_no_row(error)}") from None


def _after_space(text: str, place: int) -> int:
    """The place of the next character of JSON that is no white space."""
    while text[place] in " \t\n\r":
        place += 1
    return place


def _refuse_one_object(file: Path) -> None:
    """One object over many lines would be an error a line."""
    try:
        whole = json.loads(file.read_bytes().removeprefix(BOM_UTF8))
    except (ValueError, RecursionError):
        return
    if isinstance(whole, dict):
        keys = ", ".join(map(_printable, whole))
        raise DataError(f"{file}: it is one JSON object ({keys}); write a list of objects, or one object a line")


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise _NoRow(f"the same field stands in it more than once: {', '.join(map(_printable, twice))}")
    return values


def _why_no_row(error: ValueError | RecursionError) -> str:
    if isinstance(error, _NoRow):
        return str(error)
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg} at column {error.colno})"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 ({error.reason} at byte {error.start + 1})"
    return "not JSON (nested too deeply)" if isinstance(error, RecursionError) else "not JSON (a number is too long)"


def _fields_with_half_characters(values: dict[str, Any]) -> list[str]:
    return [_printable(name) for name, value in values.items() if not _is_text(name, value)]


def _is_text(name: str, value: Any) -> bool:
    try:
        json.dumps([name, value], ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _printable(text: str) -> str:
    return text.encode("utf-8", errors="backslashreplace").decode()


def _table_rows(file: Path, bad: BadRows) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)  # texts have no such limit
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        raw: list[str] = []
        reader = csv.reader(_remembered(text, raw), delimiter=TABLES[file.suffix], strict=True)
        names: list[str] | None = None
        for line, fields in _records(file, reader, raw):
            if names is None:
                names = fields
                _check_columns(file, names)
                continue
            try:
                "".join(fields).encode()
            except UnicodeEncodeError:
                original = "".join(raw).encode(errors="surrogateescape").decode(errors="backslashreplace")
                bad.add(Row(file, line, original), "", "not UTF-8")
                continue
            if len(fields) == len(names):
                yield Row(file, line, dict(zip(names, fields, strict=True)))
            else:
                bad.add(Row(file, line, "".join(raw)), "", f"expected {len(names)} fields, found {len(fields)}")
        if names is None:
            raise DataError(f"{file}: it is empty; its first line should name the columns")


def _remembered(lines: Iterable[str], raw: list[str]) -> Iterator[str]:
    for line in lines:
        raw.append(line)
        yield line


def _records(file: Path, reader: Any, raw: list[str]) -> Iterator[tuple[int, list[str]]]:
    """(line it begins on, fields) of each CSV record; `raw` then holds its lines. Blank lines are skipped."""
    while True:
        raw.clear()
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{file}:{line}: not {file.suffix[1:].upper()} ({error}), so it is not known where the next row begins"
            ) from None
        if fields:
            yield line, fields


def _check_columns(file: Path, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{file}: two columns have the same name: {', '.join(map(_printable, twice))}")
    if file.suffix in TABLES and len(names) == 1 and (other := _separator(names[0], TABLES[file.suffix])):
        found, ours = f"the only column is {_printable(names[0])!r}", _SEPARATORS[TABLES[file.suffix]]
        raise DataError(f"{file}:1: {found}; fields are separated by {ours} here, not by {other}")
    if any(_printable(name) != name for name in names):
        raise DataError(f"{file}:1: not UTF-8")


def _separator(header: str, own: str) -> str:
    return next((name for sign, name in _SEPARATORS.items() if sign in header and sign != own), "")


def _parquet_rows(file: Path, bad: BadRows) -> Iterator[Row]:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(file) as table:
            _check_columns(file, table.schema_arrow.names)
            for batch in table.iter_batches():
                for values in _batch_values(batch):
                    number += 1
                    if isinstance(values, dict):
                        yield Row(file, number, values)
                    else:
                        bad.add(Row(file, number, None), "", f"cannot be read ({values})")
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{file}: cannot be read as Parquet after row {number}: {error}") from None


def _batch_values(batch: Any) -> Iterator[dict[str, Any] | Exception]:
    """The rows of a record batch, or why one cannot be read: a text that is not UTF-8, a date outside Python's range."""
    try:
        yield from batch.to_pylist()
    except (ValueError, OverflowError):
        for place in range(batch.num_rows):
            try:
                yield batch.slice(place, 1).to_pylist()[0]
            except (ValueError, OverflowError) as error:
                yield error
