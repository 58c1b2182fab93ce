"""The rows of a JSON Lines, CSV or Parquet file, each with its place; what is no row goes to the bad rows.

Files are UTF-8; a byte order mark at the very beginning is allowed. Values come as the file has them: texts in CSV, in JSON and
Parquet also numbers, lists and so on. A field that a JSON row has twice, text that is not UTF-8, a half of a surrogate pair and a
CSV row of the wrong width make a row bad.
"""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from labeling.sources.bad_rows import BadRows, Row
from models.errors import DataError


def read_rows(file: Path, bad: BadRows) -> Iterator[Row]:
    """The good rows of a file in order; the ending (.jsonl, .csv, .parquet) says the format.

    Raises DataError for a missing file, another ending, a file that is no CSV or Parquet, or a column that is there twice.
    """
    readers = {".jsonl": _jsonl_rows, ".csv": _csv_rows, ".parquet": _parquet_rows}
    if file.suffix == ".json":
        raise DataError(f"{file}: a file of rows is JSON Lines here: one object a line, in a file that ends in .jsonl")
    if file.suffix not in readers:
        raise DataError(f"{file}: unknown ending; use one of {', '.join(readers)}")
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    return readers[file.suffix](file, bad)


class _NoRow(ValueError):
    """A line that JSON can read, but that is no row."""


def _jsonl_rows(file: Path, bad: BadRows) -> Iterator[Row]:
    _refuse_array(file)
    decoder = json.JSONDecoder(object_pairs_hook=_mapping)
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip()
                values = decoder.decode(text)
                if not isinstance(values, dict):
                    raise _NoRow(f"expected a JSON object, found {type(values).__name__}")
                broken = _fields_with_half_characters(values) if b"\\u" in line else []
            except (ValueError, RecursionError) as error:
                bad.add(Row(file, number, line.decode(errors="backslashreplace").rstrip()), "", _why_no_row(error))
                continue
            row = Row(file, number, values)
            for field in broken:
                bad.add(row, field, "holds half of a surrogate pair, which is no character")
            if not broken:
                yield row


def _refuse_array(file: Path) -> None:
    """One array of all rows would be an error a line."""
    with file.open("rb") as lines:
        if lines.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] != b"[":
            return
        lines.seek(0)
        try:
            rows = json.loads(lines.read().decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return
    if isinstance(rows, list) and any(isinstance(row, dict) for row in rows):
        raise DataError(f"{file}: it is one JSON array; write JSON Lines instead, one object a line")


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


def _csv_rows(file: Path, bad: BadRows) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)  # texts have no such limit
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        raw: list[str] = []
        reader = csv.reader(_remembered(text, raw), strict=True)
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
            raise DataError(f"{file}:{line}: not CSV ({error}), so it is not known where the next row begins") from None
        if fields:
            yield line, fields


def _check_columns(file: Path, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{file}: two columns have the same name: {', '.join(map(_printable, twice))}")
    if file.suffix == ".csv" and len(names) == 1 and any(sign in names[0] for sign in ";\t|"):
        found = f"the only column is {_printable(names[0])!r}"
        raise DataError(f"{file}:1: {found}; fields are separated by commas here, not by {_separator(names[0])}")
    if any(_printable(name) != name for name in names):
        raise DataError(f"{file}:1: not UTF-8")


def _separator(header: str) -> str:
    return next(name for sign, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")) if sign in header)


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
