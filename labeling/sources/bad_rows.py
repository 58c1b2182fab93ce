"""Bad rows: what is wrong with a file's rows, all of it gathered, and then told at once or written beside the good rows.

A reader goes on after a bad row, gives back what fits without it, and drops whatever depends on it (a ranking that names a bad
completion is a bad row too). Who called the reader then refuses everything (`refuse`) or keeps the good rows (`write`).
"""

import json
from pathlib import Path
from reprlib import Repr
from typing import Any, NamedTuple, NoReturn

from models.errors import DataError

MAX_LISTED = 50
_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxstring, _SHORT.maxother = 3, 9, 80, 80


class Row(NamedTuple):
    """A row as read, and where: `line` is the line a row begins on; in Parquet and JSON lists, its place counted from 1.

    `values` is a mapping of columns, or the raw text of a row that could not be taken apart.
    """

    file: Path
    line: int
    values: Any

    @property
    def place(self) -> str:
        """`name:line`, as reasons name another row: without the folder, so that it does not matter where files lie."""
        return f"{self.file.name}:{self.line}"


class BadRows:
    """Rows that say something impossible, each with all its reasons, in the order of files and lines."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Path, int], tuple[Row, list[tuple[str, str]]]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, row: Row) -> bool:
        return (row.file, row.line) in self._rows

    def add(self, row: Row, field: str, reason: str) -> None:
        """Notes one reason why the row is bad. `field` is the column it is about, empty for the row as a whole."""
        _, reasons = self._rows.setdefault((row.file, row.line), (row, []))
        reasons.append((field, reason))

    def refuse(self, source: str) -> NoReturn:
        """Raises DataError with a line `file:line: field: reason; …` for each bad row, the first 50 of them."""
        lines = [
            f"  {row.file}:{row.line}: "
            + "; ".join(f"{field}: {reason}" if field else reason for field, reason in reasons)
            for row, reasons in self._in_order()[:MAX_LISTED]
        ]
        if len(self) > MAX_LISTED:
            lines.append(f"  … and {len(self) - MAX_LISTED} more")
        raise DataError(f"{source} does not fit (bad rows: {len(self)}):\n" + "\n".join(lines))

    def refuse_or_write(self, source: str, set_aside: Path | None, is_anything_left: bool) -> None:
        """Writes the bad rows, if any, to the file to set them aside in; refuses them where there is none, and where nothing is left."""
        if self and (set_aside is None or not is_anything_left):
            self.refuse(source)
        if self:
            self.write(set_aside)

    def write(self, path: Path) -> int:
        """Writes a line `{"file", "line", "reasons": [{"field", "reason"}], "row"}` for each and returns how many.

        `file` is the name without its folder: equal files give equal lines wherever they lie.
        """
        with path.open("w", encoding="utf-8") as file:
            for row, reasons in self._in_order():
                said = [{"field": field, "reason": reason} for field, reason in reasons]
                head = json.dumps({"file": row.file.name, "line": row.line, "reasons": said})
                file.write(f'{head[:-1]}, "row": {_as_json(row.values)}}}\n')
        return len(self)

    def _in_order(self) -> list[tuple[Row, list[tuple[str, str]]]]:
        files = {file: place for place, file in enumerate(dict.fromkeys(file for file, _ in self._rows))}
        return [self._rows[key] for key in sorted(self._rows, key=lambda key: (files[key[0]], key[1]))]


def shown(value: Any) -> str:
    """The value as a reason may quote it: as Python writes it, cut short, in characters that any terminal prints."""
    return _SHORT.repr(value)


def _as_json(values: Any) -> str:
    """JSON in ASCII; of a row that JSON has no form for (it holds NaN, or is nested too deeply) what can be shown of it."""
    try:
        return json.dumps(values, allow_nan=False, default=repr)
    except (ValueError, RecursionError):
        return json.dumps(_SHORT.repr(values))
