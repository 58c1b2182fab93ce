"""Rows of prompts and completions out of a file, and the same rows into another one, each with its score."""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from labeling.sources.bad_rows import BadRows, Row
from labeling.sources.exchanges import read_prompt, read_reply
from labeling.sources.row_files import read_rows
from models.errors import ConfigError, DataError

COLUMNS = ("prompt", "completion")
SCORE = "score"


class RowToScore(NamedTuple):
    """A row, and what it says in its columns `prompt` and `completion`, texts or messages."""

    row: Row
    prompt: str
    completion: str


def read_rows_to_score(file: Path) -> list[RowToScore]:
    """The rows of a file, in any form that feedback is read in.

    Raises DataError naming file, line and column for what is neither text nor messages (a completion may be empty, a prompt may not),
    for a column that no row has, for a `score` that is there already, and for a file without rows.
    """
    bad = BadRows()
    rows = list(read_rows(file, bad))
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    for name in COLUMNS:
        if rows and name not in names:
            raise DataError(f"{file}: no column {name!r}; there are {', '.join(map(repr, names)) or 'none'}")
    if SCORE in names:
        raise DataError(f"{file}: there is a column {SCORE!r} already; give it another name")
    found = []
    for row in rows:
        prompt = read_prompt(row, "prompt", bad)
        found.append(RowToScore(row, prompt, read_reply(row, "completion", prompt, bad)))
    if bad:
        bad.refuse(str(file))
    if not rows:
        raise DataError(f"{file}: it holds no rows")
    return found


def require_writable(to: Path, file: Path) -> None:
    """Raises ConfigError unless scored rows of `file` can be written to `to`: a new file, in JSON Lines or in the form of `file`."""
    forms = [".jsonl", *({file.suffix} & {".csv", ".parquet"})]
    if to.suffix not in forms:
        raise ConfigError(f"{to}: rows of {file} can be written to a file that ends in {' or '.join(forms)}")
    if to.exists():
        raise ConfigError(f"{to}: is there already; name a new file")
    if not os.access(to.parent, os.W_OK):
        raise ConfigError(f"{to}: {to.parent} is no folder that can be written to")


def scored_lines(rows: Sequence[Row], scores: Sequence[float], ensure_ascii: bool) -> Iterator[str]:
    """Each row with its `score` as a line of JSON; with `ensure_ascii` a terminal prints whatever is in it."""
    for row, score in zip(rows, scores, strict=True):
        yield json.dumps(row.values | {SCORE: score}, ensure_ascii=ensure_ascii, default=str)


def write_scored(rows: Sequence[Row], scores: Sequence[float], to: Path) -> None:
    """The rows with their `score`, in a new file; its ending says the form. In Parquet all other columns stay what they were."""
    if to.suffix == ".jsonl":
        text = "".join(f"{line}\n" for line in scored_lines(rows, scores, ensure_ascii=False))
        to.write_text(text, encoding="utf-8")
    elif to.suffix == ".csv":
        with to.open("w", encoding="utf-8", newline="") as written:
            table = csv.DictWriter(written, [*rows[0].values, SCORE], lineterminator="\n")
            table.writeheader()
            table.writerows(row.values | {SCORE: score} for row, score in zip(rows, scores, strict=True))
    else:
        import pyarrow as pa
        from pyarrow import parquet

        read = parquet.read_table(rows[0].file)
        parquet.write_table(read.append_column(SCORE, pa.array(scores, pa.float64())), to)
