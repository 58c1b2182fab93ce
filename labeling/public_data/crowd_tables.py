"""The CSV tables of a crowd-working platform: a line holds what one worker said of the texts that were shown side by side."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from models.errors import DataError

WORKER = "_worker_id"
CHANGED = "Lines joined by what was shown together, ranks added; workers are numbers, and their ids, places and addresses dropped."


class Line(NamedTuple):
    """A line of a table, with where it stands."""

    place: str
    values: dict[str, str]


class Workers:
    """Workers by number, in the order in which they come: nothing else of them is kept."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def name(self, worker: str) -> str:
        """w001 for the first worker, and so on."""
        return self._names.setdefault(worker, f"w{len(self._names) + 1:03d}")


def read_table(content: bytes, place: str, columns: Iterable[str]) -> list[Line]:
    """The lines of a CSV file. Raises DataError if it is not UTF-8, no CSV, or lacks one of the columns."""
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        names = reader.fieldnames or []
        missing = [column for column in columns if column not in names]
        if missing:
            raise DataError(f"{place}: no column {', '.join(missing)}; it has {', '.join(names) or 'none'}")
        lines, begin = [], reader.line_num + 1
        for values in reader:
            line = Line(f"{place}:{begin}", values)
            begin = reader.line_num + 1
            if None in values or None in values.values():
                raise DataError(f"{line.place}: the line has not as many fields as the first")
            lines.append(line)
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: not UTF-8 (at byte {error.start + 1})") from None
    except csv.Error as error:
        raise DataError(f"{place}: not CSV ({error})") from None
    if not lines:
        raise DataError(f"{place}: nothing stands below the names of the columns")
    return lines


def numbered(column: str, num_texts: int) -> list[str]:
    """`column` for each of the texts side by side: column1, column2 and so on."""
    return [f"{column}{number}" for number in range(1, num_texts + 1)]


def several(line: Line, column: str, num_texts: int) -> list[str]:
    """What a line says in such columns."""
    return [line.values[one] for one in numbered(column, num_texts)]


def scores_of(line: Line, column: str, num_texts: int) -> list[float]:
    """The worker's scores of the texts. Raises DataError for what is no number."""
    scores = []
    for name in numbered(column, num_texts):
        try:
            score = float(line.values[name])
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise DataError(f"{line.place}: {name}: expected a number, found {line.values[name]!r}")
        scores.append(score)
    return scores


def annotation(line: Line, scores: Sequence[float], workers: Workers) -> dict[str, Any]:
    """Who gave which scores, and the ranks that they mean: 1 for the highest, equal scores share theirs."""
    ranks = [1 + sum(other > score for other in scores) for score in scores]
    return {"annotator": workers.name(line.values[WORKER]), "scores": list(scores), "ranks": ranks}


class Rows:
    """Gathers the annotations of those who were shown the same."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}

    def add(self, line: Line, shown: dict[str, Any], said: dict[str, Any]) -> None:
        """Adds an annotation to the row of `shown["id"]`. Raises DataError if an earlier line says that something else was shown."""
        row = self._rows.setdefault(shown["id"], shown | {"annotations": []})
        differs = [name for name, value in shown.items() if row[name] != value]
        if differs:
            raise DataError(f"{line.place}: {', '.join(differs)}: not what an earlier line says of {shown['id']}")
        row["annotations"].append(said)

    def in_order(self) -> list[dict[str, Any]]:
        """One row for everything that was shown, in the order of their first lines."""
        return list(self._rows.values())
